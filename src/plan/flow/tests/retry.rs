//! What a retry must not touch, held against how things stood before it.

use std::collections::BTreeSet;

use super::{super::state::Place, driver::Driver};
use crate::model::{
    effect::EffectNo,
    plan::{EdgeKind, Ordinal, StepNo},
    result::FactKind,
};

/// How a session stood.
pub struct Before {
    /// Facts there were.
    facts: usize,
    /// The last effect there was.
    last: Option<EffectNo>,
    components: Vec<Stood>,
}

/// How a component stood.
#[derive(Debug, PartialEq, Eq)]
struct Stood {
    failed: bool,
    run: u16,
    /// How often its node was powered on.
    rises: u32,
    /// Its steps, with the attempts in each.
    steps: Vec<(StepNo, Place, u16)>,
}

impl Driver {
    fn stands(&self, ordinal: Ordinal) -> Stood {
        let component = &self.flow.components[ordinal.0 as usize];
        let cell = |step: StepNo| {
            let cell = self.flow.cell(ordinal, step);
            (step, cell.place, cell.attempts)
        };
        Stood {
            failed: component.failed.is_some(),
            run: component.run,
            rises: self.world.nodes[ordinal.0 as usize].rises,
            steps: self.flow.way(ordinal).into_iter().map(cell).collect(),
        }
    }

    pub fn remember(&self) -> Before {
        let everybody = (0..self.plan.members.len() as u32).map(Ordinal);
        Before {
            facts: self.past.facts.len(),
            last: self.effects.keys().next_back().copied(),
            components: everybody.map(|ordinal| self.stands(ordinal)).collect(),
        }
    }

    /// Whoever had not failed is as it was, and was not called; of whoever was sent back, what it was through before the step
    /// it was sent to.
    pub fn judge_retry(&self, before: &Before) {
        let since = self.past.facts.get(before.facts..).unwrap_or_default();
        for (index, stood) in before.components.iter().enumerate() {
            let ordinal = Ordinal(index as u32);
            let stands = self.stands(ordinal);
            if !stood.failed {
                assert_eq!(*stood, stands, "{ordinal:?} had not failed");
            }
            let of_it = since.iter().filter(|past| past.fact.members.contains(&ordinal));
            let sent_to = of_it
                .filter(|past| past.fact.kind == FactKind::SentBack)
                .filter_map(|past| past.fact.sent_to);
            let closure = self.behind(sent_to.collect());
            let called: BTreeSet<StepNo> = self
                .effects_on(ordinal)
                .filter(|effect| before.last.is_none_or(|last| effect.no > last))
                .map(|effect| effect.step)
                .collect();
            for (step, place, attempts) in &stood.steps {
                if matches!(place, Place::Succeeded | Place::Passed) && !closure.contains(step) {
                    assert!(!called.contains(step), "{ordinal:?} was called in {step:?} again");
                    let now = stands.steps.iter().find(|(other, ..)| other == step);
                    assert_eq!(now, Some(&(*step, *place, *attempts)), "{ordinal:?} was through {step:?}");
                }
            }
        }
    }

    /// These steps, and all that come behind them.
    fn behind(&self, mut steps: BTreeSet<StepNo>) -> BTreeSet<StepNo> {
        for edge in self.plan.edges.iter().filter(|edge| edge.kind == EdgeKind::PerComponent) {
            if steps.contains(&edge.from) {
                steps.insert(edge.to);
            }
        }
        steps
    }
}
