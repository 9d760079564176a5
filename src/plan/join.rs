//! Two plans as one: side by side, with nothing between them.

use crate::model::plan::{Again, Edge, Plan, PlanMember, SliceNo, Step, StepNo};

/// The slices and steps of the second plan behind those of the first, and everybody in one list. What holds for the
/// whole session is the first one's.
pub fn join(first: Plan, second: Plan) -> Plan {
    let slices = i16::try_from(first.slices.len()).expect("a plan has fewer than 2^15 slices");
    let steps = i16::try_from(first.steps.len()).expect("a plan has fewer than 2^15 steps");
    let later = |step: StepNo| StepNo(step.0 + steps);
    let mut joined = first;
    joined.slices.extend(second.slices);
    joined.steps.extend(second.steps.into_iter().map(|step| Step {
        slice: SliceNo(step.slice.0 + slices),
        again: step.again.map(|again| Again { from: later(again.from), ..again }),
        ..step
    }));
    let edges = second.edges.into_iter();
    joined.edges.extend(edges.map(|edge| Edge { from: later(edge.from), to: later(edge.to), ..edge }));
    let members = second.members.into_iter();
    joined
        .members
        .extend(members.map(|member| PlanMember { slice: SliceNo(member.slice.0 + slices), ..member }));
    joined.members.sort_unstable_by_key(|member| member.component);
    joined
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{component::ComponentNo, gate::Rollout, options::Options, plan::UnknownPolicy},
        plan::{Binding, BoundBootSet, compile, workflow::embedded},
    };

    fn plan(components: &[i32]) -> Plan {
        let member = |number: &i32| (ComponentNo(*number), format!("x1c0s{number}b0n0").parse().unwrap());
        let boot_set = |name: &str, members: &[i32]| BoundBootSet {
            name: name.to_owned(),
            boot_ordinal: None,
            shutdown_ordinal: None,
            artifacts: None,
            configuration: None,
            members: members.iter().map(member).collect(),
        };
        let (left, right) = components.split_at(1);
        let binding = Binding {
            boot_sets: vec![boot_set("a", left), boot_set("b", right)],
            options: &Options::default(),
            unknown: UnknownPolicy::Reboot,
            service_patience: Duration::from_secs(1),
            threshold_percent: 100,
            rollout: &Rollout::default(),
            power_intervals: Vec::new(),
        };
        compile(&embedded().get("shutdown").unwrap().workflow, &binding).unwrap()
    }

    #[test]
    fn two_plans_stand_side_by_side() {
        let joined = join(plan(&[5, 1]), plan(&[3, 2]));
        let members: Vec<_> =
            joined.members.iter().map(|member| (member.component.0, member.slice.0)).collect();
        assert_eq!(members, [(1, 1), (2, 3), (3, 2), (5, 0)]);
        let names: Vec<_> = joined.steps.iter().map(|step| (step.name.as_str(), step.slice.0)).collect();
        assert_eq!(
            names,
            [
                ("a/inspect", 0),
                ("b/inspect", 1),
                ("a/power_off", 0),
                ("b/power_off", 1),
                ("a/inspect", 2),
                ("b/inspect", 3),
                ("a/power_off", 2),
                ("b/power_off", 3)
            ]
        );
        let edges: Vec<_> = joined.edges.iter().map(|edge| (edge.from.0, edge.to.0)).collect();
        assert_eq!(edges, [(0, 2), (1, 3), (4, 6), (5, 7)]);
    }
}
