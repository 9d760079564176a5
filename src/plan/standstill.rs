//! Whether a session would stand still: a barrier that keeps those inside waiting for others who find no place inside.

use std::collections::BTreeMap;

use crate::model::{
    gate::Share,
    plan::{EdgeKind, Plan, StepNo},
};

/// Why a plan would stand still if no more were inside at once than this; none if it would not.
pub fn standstill(plan: &Plan, share: Share) -> Option<String> {
    let most = share.at_most(plan.members.len());
    let mut of_waves: BTreeMap<i16, usize> = BTreeMap::new();
    let wave = |slice: usize| plan.slices[slice].wave;
    for member in &plan.members {
        *of_waves.entry(wave(usize::try_from(member.slice.0).ok()?)).or_default() += 1;
    }
    let number = |step: StepNo| usize::try_from(step.0).unwrap_or_default();
    let slice = |step: usize| usize::try_from(plan.steps[step].slice.0).unwrap_or_default();
    let mut into: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
    for edge in &plan.edges {
        into[number(edge.to)].push(number(edge.from));
    }
    let barriers = plan.edges.iter().filter(|edge| edge.kind != EdgeKind::PerComponent);
    for behind in barriers.map(|edge| number(edge.to)) {
        let together = of_waves.get(&wave(slice(behind))).copied().unwrap_or(0);
        if together <= most {
            continue;
        }
        // Edges lead upwards: whatever comes before has a lower number.
        let mut before = vec![false; behind + 1];
        before[behind] = true;
        for step in (0..=behind).rev() {
            if before[step] {
                into[step].iter().for_each(|from| before[*from] = true);
            }
        }
        let waits_inside = (0..behind)
            .any(|step| before[step] && slice(step) == slice(behind) && plan.steps[step].verb.disturbs());
        if waits_inside {
            return Some(format!(
                "boot sets with ordinals go off together before any is switched on: {together} at once, and \
                 max_unavailable allows {most}; allow more, use waves of {most} at most, or one boot set at a time"
            ));
        }
    }
    None
}
