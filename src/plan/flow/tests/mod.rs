//! The flow against a model of the services: a virtual clock, nodes that boot or do not, answers that are lost, workers
//! that are killed.

mod barriers;
mod change;
mod driver;
mod gates;
mod inputs;
mod laws;
mod ledger;
mod properties;
mod retry;
mod services;
mod site;
mod stories;
mod world;

use std::{sync::Arc, time::Duration};

use super::state::timestamp;
use crate::{
    model::{
        Timestamp,
        artifacts::{BootArtifacts, BootArtifactsId},
        component::ComponentNo,
        gate::{Gates, Rollout},
        options::Options,
        plan::{Plan, SliceArtifacts, UnknownPolicy},
        xname::Xname,
    },
    plan::{Binding, BoundBootSet, compile, workflow},
};

/// The moment all tests begin, in milliseconds since the epoch.
const BEGIN: i64 = 1_800_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// A moment so many milliseconds after the beginning.
fn at(elapsed: i64) -> Timestamp {
    timestamp(BEGIN + elapsed)
}

/// How the members are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One boot set.
    One,
    /// Two, without ordinals.
    Two,
    /// Two with ordinals: the second boots first and goes off last.
    Ordered,
    /// Two, cut into three waves.
    Waves,
}

/// The workflow `operation`, bound to so many members: an embedded one, or that of a site.
fn plan(operation: &str, layout: Layout, members: u32) -> Arc<Plan> {
    gated(operation, layout, members, Gates::default())
}

/// The same with gates that know something.
fn gated(operation: &str, layout: Layout, members: u32, gates: Gates) -> Arc<Plan> {
    let waves = (layout == Layout::Waves).then(|| "1,40%,rest".parse().unwrap());
    let power_intervals = gates.power_intervals.clone();
    let mut rollout = Rollout { waves, gates, ..Rollout::default() };
    let first = if layout == Layout::One { members } else { members.div_ceil(2) };
    let ordered = layout == Layout::Ordered;
    let boot_set = |name: &str, from: u32, to: u32, order: u32| BoundBootSet {
        name: name.to_owned(),
        boot_ordinal: ordered.then_some(10 - order),
        shutdown_ordinal: ordered.then_some(order),
        artifacts: Some(SliceArtifacts {
            id: BootArtifactsId(7),
            artifacts: BootArtifacts::default(),
            image: Some("image".to_owned()),
            projected: true,
        }),
        configuration: Some("configuration".to_owned()),
        members: (from..to)
            .map(|n| {
                let xname = Xname { cabinet: 1000 + n / 100, chassis: 0, slot: n % 100, bmc: 0, node: 0 };
                (ComponentNo(n as i32 + 1), xname)
            })
            .collect(),
    };
    let binding = Binding {
        boot_sets: vec![boot_set("compute", 0, first, 1), boot_set("gateways", first, members, 2)],
        options: &Options::default(),
        unknown: UnknownPolicy::Reboot,
        service_patience: Duration::from_secs(1800),
        threshold_percent: 60,
        rollout: &rollout.clone(),
        power_intervals,
    };
    let texts = workflow::EMBEDDED.iter().chain(&[site::OPERATION]);
    let (_, text) = texts.into_iter().find(|(name, _)| *name == operation).unwrap();
    let workflow = &workflow::parse(operation, text).unwrap();
    let compiled = compile(workflow, &binding);
    // A limit under which ordinals would stand still is refused; then without it.
    rollout.gates.max_unavailable = None;
    let plan = compiled.or_else(|_| compile(workflow, &Binding { rollout: &rollout, ..binding })).unwrap();
    Arc::new(plan)
}
