//! A session that is to end before its time: nobody is left dark, or, at once, whoever is.

use serde_json::json;

use super::{
    Flow, Output, because,
    state::{Millis, Place, millis},
};
use crate::model::{
    Timestamp,
    effect::{EffectNo, EffectState},
    event::EventKind,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    session::SessionState,
    verb::{CallError, Power},
};

/// Pause before the end of a transition is asked for once more. It ends by itself at its deadline, at the latest.
const ABORT_PAUSE: Millis = 5_000;

impl Flow {
    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        at_once: bool,
        actor: &str,
        why: &Option<String>,
    ) -> String {
        match self.mode {
            SessionState::Ended => return "it is over; there is nothing to cancel".to_owned(),
            SessionState::Cancelling if !at_once || self.at_once => {
                return "it is being cancelled already".to_owned();
            }
            _ => {}
        }
        let text = format!("by {actor}{}", because(why));
        let how = if at_once { "cancelled at once" } else { "cancelled" };
        self.set_mode(SessionState::Cancelling, Some(format!("{how} {text}")), Some(actor));
        self.cancelled = true;
        self.at_once |= at_once;
        let reason = Reason::new(ReasonCode::Cancelled, text);
        if at_once {
            let (left, covered) = self.drop_everybody(now, &reason);
            return format!(
                "{left} components go no further, {covered} of them as soon as the call that covers them is over; \
                 nothing is brought back: the end of the session names whom it leaves off, and the command that boots them"
            );
        }
        let outside = self.cancel_rest(now, &reason);
        format!(
            "{outside} components were not begun and are left as they are; those begun are brought to the end of power_on"
        )
    }

    /// Nobody outside enters any more; those inside are brought to a defined end. Also what a resume of a cancelled
    /// session begins with.
    pub(super) fn cancel_rest(&mut self, now: Timestamp, reason: &Reason) -> usize {
        if self.at_once {
            return self.drop_everybody(now, reason).0;
        }
        let mut outside = 0;
        for index in 0..self.components.len() {
            let ordinal = Ordinal(index as u32);
            if self.components[index].ended {
                continue;
            }
            if self.components[index].is_inside() {
                self.stop_watching(now, ordinal, reason);
            } else {
                outside += 1;
                self.doom(now, ordinal, reason.clone());
            }
        }
        outside
    }

    /// Nobody gets another call; who is covered by one is held until that is over. How many, and how many of them are held.
    fn drop_everybody(&mut self, now: Timestamp, reason: &Reason) -> (usize, usize) {
        let (mut left, mut held) = (0, 0);
        for index in 0..self.components.len() {
            if self.components[index].ended {
                continue;
            }
            left += 1;
            self.doom(now, Ordinal(index as u32), reason.clone());
            held += usize::from(!self.components[index].ended);
        }
        (left, held)
    }

    /// Past the gate and cancelled: what only waits (boot, configuration) is left out; power goes on to its end.
    fn stop_watching(&mut self, now: Timestamp, ordinal: Ordinal, reason: &Reason) {
        for step in self.way(ordinal) {
            let watching =
                !self.steps[step.0 as usize].acts() && self.cell(ordinal, step).place == Place::Underway;
            if watching && !self.components[ordinal.0 as usize].ended {
                self.skip(now, ordinal, step, reason.clone());
            }
        }
    }

    /// Asks for the end of the power transitions of a session that is cancelled at once.
    pub(super) fn abort_transitions(&mut self, now: Timestamp) {
        if !self.at_once {
            return;
        }
        let mut due = Vec::new();
        for (effect, call) in &mut self.effects {
            let power = self.steps[call.step.0 as usize].shape.power.is_some();
            let known = matches!(call.state, EffectState::Accepted | EffectState::Found);
            if power && known && call.reference.is_some() && call.abort_at.is_some_and(|at| at <= millis(now))
            {
                call.abort_at = None;
                due.push(Output::Abort(*effect));
            }
        }
        self.out.append(&mut due);
    }

    /// What a service said to that.
    pub(super) fn aborted(&mut self, now: Timestamp, effect: EffectNo, answer: Result<(), CallError>) {
        let Some(call) = self.effects.get_mut(&effect) else { return };
        let error = answer.err().map(|error| error.to_string());
        if error.is_some() {
            call.abort_at = Some(millis(now) + ABORT_PAUSE);
        }
        let reference = call.reference.clone().map(|reference| reference.0);
        let step = self.plan.steps[call.step.0 as usize].name.clone();
        let data = json!({ "aborted": effect.0, "step": step, "reference": reference, "error": error });
        self.note(EventKind::Note, None, data);
    }

    /// The moment of the next request for an end.
    pub(super) fn abort_at(&self) -> Option<Millis> {
        let power = |step: StepNo| self.steps[step.0 as usize].shape.power.is_some();
        let calls = self.effects.values().filter(|call| self.at_once && power(call.step));
        // 0 is "as soon as it is known by name": that is an answer, not a moment.
        calls.filter_map(|call| call.abort_at.filter(|at| *at > 0)).min()
    }

    /// Whom a session that was cancelled at once has switched off, or told to go off, and not switched on again.
    pub fn left_off(&self) -> Vec<Ordinal> {
        if !self.at_once {
            return Vec::new();
        }
        let of = |ordinal: Ordinal, step: StepNo, power: Power| {
            (self.steps[step.0 as usize].shape.power == Some(power)).then(|| self.cell(ordinal, step))
        };
        let is_left = |ordinal: &Ordinal| {
            let slice = self.plan.members[ordinal.0 as usize].slice;
            let way = self.topology.steps_of(slice);
            let was_told = way.iter().filter_map(|step| of(*ordinal, *step, Power::Off));
            let mut comes_back = way.iter().filter_map(|step| of(*ordinal, *step, Power::On));
            was_told.map(|cell| cell.attempts).sum::<u16>() > 0
                && comes_back.any(|cell| !matches!(cell.place, Place::Succeeded | Place::Passed))
        };
        (0..self.components.len() as u32).map(Ordinal).filter(is_left).collect()
    }
}
