//! The name of a plan: equal plans have equal hashes.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::{
    artifacts::BootArtifacts,
    gate::Gates,
    plan::{Edge, PLAN_FORMAT, Plan, SliceNo, Step, UnknownPolicy},
    verb::VERB_VERSION,
    xname::Xname,
};

/// A plan as it is hashed: without the database's numbers, so that a preview and the session it becomes agree.
#[derive(Serialize)]
struct Canonical<'a> {
    format: i16,
    verbs: i16,
    slices: Vec<CanonicalSlice<'a>>,
    steps: &'a [Step],
    edges: &'a [Edge],
    members: Vec<(&'a Xname, SliceNo)>,
    unknown: UnknownPolicy,
    service_patience_seconds: u64,
    #[serde(skip_serializing_if = "Gates::is_empty")]
    gates: &'a Gates,
}

#[derive(Serialize)]
struct CanonicalSlice<'a> {
    boot_set: &'a str,
    wave: i16,
    artifacts: Option<&'a BootArtifacts>,
    image: Option<&'a str>,
    projected: bool,
    configuration: Option<&'a str>,
}

/// SHA-256 over a plan, in lower-case hex.
pub fn hash(plan: &Plan) -> String {
    let slices = plan.slices.iter().map(|slice| CanonicalSlice {
        boot_set: &slice.boot_set,
        wave: slice.wave,
        artifacts: slice.artifacts.as_ref().map(|boots| &boots.artifacts),
        image: slice.artifacts.as_ref().and_then(|boots| boots.image.as_deref()),
        projected: slice.artifacts.as_ref().is_some_and(|boots| boots.projected),
        configuration: slice.configuration.as_deref(),
    });
    let mut members: Vec<_> = plan.members.iter().map(|member| (&member.xname, member.slice)).collect();
    members.sort_unstable();
    let canonical = Canonical {
        format: PLAN_FORMAT,
        verbs: VERB_VERSION,
        slices: slices.collect(),
        steps: &plan.steps,
        edges: &plan.edges,
        members,
        unknown: plan.unknown,
        service_patience_seconds: plan.service_patience.as_secs(),
        gates: &plan.gates,
    };
    text_hash(&serde_json::to_vec(&canonical).expect("a plan holds nothing that JSON cannot"))
}

/// SHA-256 over bytes, in lower-case hex: names versions of templates and workflows.
pub fn text_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
