//! What the cells of the map say. Pure.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::replay::Place;
use crate::model::{
    plan::{Step, StepNo},
    reason::ReasonCode,
    verb::Verb,
};

/// Whom a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// A member, by its ordinal.
    Member(u32),
    /// Somebody who was left out at admission.
    LeftOut(ReasonCode),
}

/// What a place looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Look {
    At { step: StepNo, in_call: bool },
    NotReached(StepNo),
    Done,
    Failed(StepNo),
    Skipped(StepNo),
    LeftOut(ReasonCode),
}

/// The distinct places of one map, numbered as they turn up.
#[derive(Debug)]
pub struct Places<'a> {
    steps: &'a [Step],
    numbers: HashMap<Look, u16>,
    looks: Vec<Look>,
}

impl<'a> Places<'a> {
    /// No place yet.
    pub fn new(steps: &'a [Step]) -> Self {
        Self { steps, numbers: HashMap::new(), looks: Vec::new() }
    }

    /// The number of a member's place.
    pub fn of_member(&mut self, place: Place, in_call: bool, is_over: bool) -> u16 {
        self.number(match place {
            Place::Done => Look::Done,
            Place::Failed(step) => Look::Failed(step),
            Place::Skipped(step) => Look::Skipped(step),
            Place::At(step) if is_over => Look::NotReached(step),
            Place::At(step) => Look::At { step, in_call },
        })
    }

    /// The number of the place of somebody who takes no part.
    pub fn left_out(&mut self, reason: ReasonCode) -> u16 {
        self.number(Look::LeftOut(reason))
    }

    fn number(&mut self, look: Look) -> u16 {
        let looks = &mut self.looks;
        *self.numbers.entry(look).or_insert_with(|| {
            looks.push(look);
            // Fewer steps and reasons than that.
            u16::try_from(looks.len() - 1).unwrap_or(u16::MAX)
        })
    }

    /// What the numbers mean, with how many are there.
    pub fn legend(&self, codes: &[u16]) -> Vec<Value> {
        let mut counts = vec![0_u32; self.looks.len()];
        for code in codes {
            counts[usize::from(*code)] += 1;
        }
        self.looks.iter().zip(counts).map(|(look, count)| self.entry(*look, count)).collect()
    }

    fn entry(&self, look: Look, count: u32) -> Value {
        let step_of = |step: StepNo| usize::try_from(step.0).ok().and_then(|at| self.steps.get(at));
        let name_of = |step: StepNo| step_of(step).map_or("", |step| step.name.as_str());
        let (kind, step, says) = match look {
            Look::At { step, in_call: true } => (step_of(step).map_or("prepare", kind), step, "in"),
            Look::At { step, in_call: false } => ("waiting", step, "waits for"),
            Look::NotReached(step) => ("waiting", step, "never reached"),
            Look::Failed(step) => ("failed", step, "failed in"),
            Look::Skipped(step) => ("skipped", step, "left out in"),
            Look::Done => return json!({"kind": "done", "label": "through", "step": null, "count": count}),
            Look::LeftOut(reason) => {
                let label = format!("left out: {}", reason.label().replace('_', " "));
                return json!({"kind": "skipped", "label": label, "step": null, "count": count});
            }
        };
        json!({"kind": kind, "label": format!("{says} {}", name_of(step)), "step": name_of(step), "count": count})
    }
}

/// The family of what a step does: its colour and letter.
fn kind(step: &Step) -> &'static str {
    match step.verb {
        Verb::PowerOff { .. } => "off",
        Verb::PowerOn { .. } => "on",
        Verb::AwaitBoot {} => "boot",
        Verb::AwaitConfiguration {} => "configure",
        Verb::Inspect { .. }
        | Verb::TagImage {}
        | Verb::SetBootParameters {}
        | Verb::StageConfiguration { .. }
        | Verb::Http(_)
        | Verb::Job(_) => "prepare",
    }
}

/// Equal neighbours as one: `3*120 4 0*7`.
pub fn runs(codes: &[u16]) -> String {
    let mut text = String::new();
    for run in codes.chunk_by(|one, other| one == other) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&run[0].to_string());
        if run.len() > 1 {
            text.push('*');
            text.push_str(&run.len().to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_told_once() {
        assert_eq!(runs(&[3, 3, 3, 4, 0, 0]), "3*3 4 0*2");
        assert_eq!(runs(&[]), "");
        assert_eq!(runs(&vec![1; 50_000]), "1*50000");
    }

    #[test]
    fn places_are_numbered_once() {
        let mut places = Places::new(&[]);
        let codes = [
            places.of_member(Place::Done, false, false),
            places.left_out(ReasonCode::Locked),
            places.of_member(Place::Done, true, true),
        ];
        assert_eq!(codes, [0, 1, 0]);
        let legend = places.legend(&codes);
        assert_eq!((&legend[0]["count"], &legend[1]["label"]), (&json!(2), &json!("left out: locked")));
    }
}
