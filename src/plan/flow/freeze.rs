//! Freezes: who is frozen stands before a closed gate, one component at a time. Whoever is inside goes on to its end, and
//! whoever was not begun with waits, however long that is.

use fixedbitset::FixedBitSet;
use serde_json::json;

use super::Flow;
use crate::model::{
    event::EventKind,
    plan::{Ordinal, StepNo},
};

impl Flow {
    /// Exactly these are frozen from now on.
    pub(super) fn freeze(&mut self, members: &[Ordinal]) {
        let mut frozen = FixedBitSet::with_capacity(self.components.len());
        members.iter().for_each(|ordinal| frozen.insert(ordinal.0 as usize));
        if frozen == self.in_freeze {
            return;
        }
        let kept_out = frozen.ones().filter(|index| !self.components[*index].is_inside()).count();
        self.in_freeze = frozen;
        self.recheck_held = true;
        let note = match members.len() {
            0 => "nobody is frozen any more".to_owned(),
            count => format!(
                "{count} components are frozen; {kept_out} of them have not passed their gate, and wait"
            ),
        };
        self.note(EventKind::Note, None, json!({ "note": note, "frozen": members.len() }));
    }

    /// Whether a freeze keeps the component out of the step.
    pub(super) fn is_frozen(&self, ordinal: Ordinal, step: StepNo) -> bool {
        self.in_freeze.contains(ordinal.0 as usize)
            && self.steps[step.0 as usize].acts()
            && !self.components[ordinal.0 as usize].is_inside()
    }
}
