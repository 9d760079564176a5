//! Plans: a workflow bound to one session's members. Data only; `plan/` makes them and says how they move.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    artifacts::{BootArtifacts, BootArtifactsId},
    command::Settings,
    component::ComponentNo,
    gate::Gates,
    reason::ReasonCode,
    verb::{Decision, Verb},
    workflow::Condition,
    xname::Xname,
};

/// The format of stored plans. Another one is parked, never guessed (law 11).
pub const PLAN_FORMAT: i16 = 1;

/// A component's place in its session: its position among the sorted component numbers. In memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u32);

/// A step's place in the plan, counted from 0 in topological order (an edge always leads upwards).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepNo(pub i16);

/// A slice's place in the plan, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SliceNo(pub i16);

/// A workflow bound to one session's members.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Boot sets, per wave.
    pub slices: Vec<Slice>,
    /// Vertices, in topological order.
    pub steps: Vec<Step>,
    /// Edges; `from < to`.
    pub edges: Vec<Edge>,
    /// Who takes part, by ordinal: ascending component numbers.
    pub members: Vec<PlanMember>,
    /// What is done with a node that is on with unknown artifacts.
    pub unknown: UnknownPolicy,
    /// How long a service may be down before the components that need it fail.
    #[serde(with = "super::workflow::duration")]
    pub service_patience: Duration,
    /// What its gates know.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
}

impl Plan {
    /// The plan with what operators changed. A barrier that its workflow opens at 0 per cent stays so: it only waits for
    /// everybody to be settled.
    pub fn apply(&mut self, settings: &Settings) {
        for step in &mut self.steps {
            if let Some(seconds) = settings.timeouts_s.get(&step.name) {
                step.timeout = Duration::from_secs(*seconds);
            }
        }
        for edge in &mut self.edges {
            let slice = self.steps[edge.from.0 as usize].slice;
            let percent = settings.thresholds.get(&self.slices[slice.0 as usize].boot_set);
            if let (EdgeKind::Barrier { threshold_percent: known @ 1.. }, Some(percent)) =
                (&mut edge.kind, percent)
            {
                *known = *percent;
            }
        }
        settings.apply_to(&mut self.gates);
    }

    /// The boot sets of which something waits for a share, and the share in per cent; `set` are those that an operator gave
    /// another share, which may be 0.
    pub fn shares(&self, set: &BTreeMap<String, u8>) -> Vec<(&str, u8)> {
        let mut shares: Vec<(&str, u8)> = Vec::new();
        for edge in &self.edges {
            let EdgeKind::Barrier { threshold_percent } = edge.kind else { continue };
            let slice = self.steps[edge.from.0 as usize].slice;
            let boot_set = self.slices[slice.0 as usize].boot_set.as_str();
            let waits = threshold_percent > 0 || set.contains_key(boot_set);
            if waits && !shares.iter().any(|(known, _)| *known == boot_set) {
                shares.push((boot_set, set.get(boot_set).copied().unwrap_or(threshold_percent)));
            }
        }
        shares
    }
}

/// One member of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMember {
    /// Its number in the database.
    pub component: ComponentNo,
    /// Its name.
    pub xname: Xname,
    /// The slice it belongs to; exactly one.
    pub slice: SliceNo,
}

/// The members of one boot set in one wave, and what they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The boot set's name.
    pub boot_set: String,
    /// The wave, counted from 0.
    pub wave: i16,
    /// What they boot; none for operations that boot nothing.
    pub artifacts: Option<SliceArtifacts>,
    /// The configuration wanted; none where configuration is not enabled.
    pub configuration: Option<String>,
}

/// What a slice boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceArtifacts {
    /// The database's number of it. Not part of the plan's hash.
    pub id: BootArtifactsId,
    /// The artifacts themselves.
    pub artifacts: BootArtifacts,
    /// The IMS image they belong to, if any.
    pub image: Option<String>,
    /// Whether the root file system has to be projected (`root=sbps-s3:…`).
    pub projected: bool,
}

/// A vertex: a verb bound to a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `boot set/step of the workflow`, as in `compute/power_off`; where there are several waves `wave2/compute/power_off`,
    /// waves counted from 1.
    pub name: String,
    /// What it does.
    pub verb: Verb,
    /// Whom it is for.
    pub slice: SliceNo,
    /// All must hold for a component, or it passes the step.
    pub when: Vec<Condition>,
    /// How long a component may be in the step.
    #[serde(with = "super::workflow::duration")]
    pub timeout: Duration,
    /// Most effects on one component in one run.
    pub attempts: u16,
    /// Where failed components are sent back to.
    pub again: Option<Again>,
}

impl Step {
    /// Whether it is meant for a component of its slice; none while `inspect` has not decided.
    pub fn applies(&self, slice: &Slice, decision: Option<Decision>) -> Option<bool> {
        let mut undecided = false;
        for condition in &self.when {
            let holds = match condition {
                Condition::Configured => Some(slice.configuration.is_some()),
                Condition::Projected => {
                    Some(slice.artifacts.as_ref().is_some_and(|artifacts| artifacts.projected))
                }
                Condition::PowersOff => {
                    decision.map(|d| matches!(d, Decision::PowerOff | Decision::PowerCycle))
                }
                Condition::PowersOn => {
                    decision.map(|d| matches!(d, Decision::PowerOn | Decision::PowerCycle))
                }
                Condition::StaysUp => decision.map(|d| d == Decision::ConfigureOnly),
                Condition::EndsUp => decision
                    .map(|d| matches!(d, Decision::PowerOn | Decision::PowerCycle | Decision::ConfigureOnly)),
            };
            match holds {
                Some(false) => return Some(false),
                Some(true) => {}
                None => undecided = true,
            }
        }
        if undecided { None } else { Some(true) }
    }
}

/// Failed components are sent back: the walk may turn, the graph never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// To which step; never a later one.
    pub from: StepNo,
    /// How often, per component, without an operator.
    pub times: u16,
    /// For which reasons.
    pub on: Vec<ReasonCode>,
}

/// An edge: what a step needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The step needed.
    pub from: StepNo,
    /// The step that needs it.
    pub to: StepNo,
    /// How it is needed.
    pub kind: EdgeKind,
}

/// How a step needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// A component enters as soon as *it* is through the step needed.
    PerComponent,
    /// Nobody enters before the step needed has settled for all its components and at least this share of its
    /// targeted components (per cent) succeeded. Opens once and stays open.
    Barrier {
        /// 0 to 100.
        threshold_percent: u8,
    },
}

/// What is done with a node that is on while nobody knows what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// Skipped, with that reason (bosun's own API).
    #[default]
    Leave,
    /// Power-cycled, as BOS does.
    Reboot,
}
