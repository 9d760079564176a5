//! Services that do not answer: pauses, patience, and its end.

use serde_json::json;

use super::{
    Flow,
    state::{Ask, Millis, Place, millis},
};
use crate::model::{
    Timestamp,
    effect::{EffectNo, EffectState},
    event::EventKind,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    verb::CallError,
};

/// First and longest pause after a request that a service did not take.
const BACKOFF: (Millis, Millis) = (500, 30_000);

impl Flow {
    /// The service answered.
    pub(super) fn service_up(&mut self, step: StepNo, ask: Ask) {
        let health = self.steps[step.0 as usize].health(ask);
        health.failures = 0;
        if health.down_since.take().is_some() {
            let (name, service) =
                (self.step_name(step).to_owned(), self.steps[step.0 as usize].shape.service);
            self.note(EventKind::ServiceUp, None, json!({ "step": name, "service": service }));
        }
    }

    /// It did not: a pause that doubles, and a line in the narrative when it begins.
    pub(super) fn service_down(&mut self, now: Timestamp, step: StepNo, ask: Ask, error: &CallError) {
        let salt = i64::from(self.next_effect.0).wrapping_mul(2_654_435_761) & 0xff;
        let name = self.step_name(step).to_owned();
        let state = &mut self.steps[step.0 as usize];
        let (service, retry_after) = match error {
            CallError::Transient { service, retry_after, .. } => (*service, *retry_after),
            CallError::Lost { service, .. } => (*service, None),
            CallError::TooLarge | CallError::Rejected { .. } => (state.shape.service, None),
        };
        let health = state.health(ask);
        let ceiling = (BACKOFF.0 << health.failures.min(6)).min(BACKOFF.1);
        // Half to whole of the ceiling; steps and sessions differ by their effect numbers.
        let pause = ceiling / 2 + ceiling / 2 * salt / 0xff;
        let asked = retry_after.map_or(0, |after| after.as_millis() as Millis);
        health.retry_at = millis(now) + pause.max(asked);
        health.failures += 1;
        health.text = error.to_string();
        if health.down_since.is_none() {
            health.down_since = Some(millis(now));
            let error = error.to_string();
            self.note(
                EventKind::ServiceDown,
                None,
                json!({ "step": name, "service": service, "error": error }),
            );
        }
    }

    /// Patience with a service that is down has an end.
    pub(super) fn give_up_on_services(&mut self, now: Timestamp) {
        let patience = self.plan.service_patience.as_millis() as Millis;
        for index in 0..self.steps.len() {
            for ask in [Ask::Call, Ask::Look] {
                let state = &mut self.steps[index];
                let nobody_asks = state.in_flight() == 0;
                let health = state.health(ask);
                let Some(since) = health.down_since else { continue };
                if nobody_asks {
                    // Nobody has needed it since: whoever comes next is owed the whole of our patience.
                    health.down_since = None;
                    continue;
                }
                if millis(now) - since < patience {
                    continue;
                }
                let step = StepNo(index as i16);
                let reason = Reason::new(ReasonCode::ServiceUnavailable, health.text.clone());
                // Whoever a call would have spoken for waited for it as well.
                let spoken_for = if ask == Ask::Call { self.together(step) } else { vec![step] };
                for step in spoken_for {
                    let stuck: Vec<Ordinal> =
                        self.in_step(step).filter(|ordinal| self.may_give_up(*ordinal, step, ask)).collect();
                    for ordinal in stuck {
                        self.fail(now, ordinal, step, reason.clone());
                    }
                }
                self.steps[index].health(ask).down_since = None;
            }
        }
    }

    /// A call under way is never given up: its answer, or its timeout, comes.
    fn may_give_up(&self, ordinal: Ordinal, step: StepNo, ask: Ask) -> bool {
        let cell = self.cell(ordinal, step);
        let lost =
            || self.effects.get(&EffectNo(cell.effect)).is_some_and(|call| call.state == EffectState::Lost);
        match (cell.place, ask) {
            (Place::Ready, Ask::Call) | (Place::Underway, Ask::Look) => true,
            (Place::Calling, Ask::Look) => lost(),
            _ => false,
        }
    }
}
