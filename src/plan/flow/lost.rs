//! Lost calls: answers never seen, and workers that died with a call open. One case, one rule.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Flow, Output,
    state::{Ask, OpenCall, millis},
};
use crate::model::{
    Timestamp,
    effect::{EffectNo, EffectState},
    event::EventKind,
    reason::{Reason, ReasonCode},
    verb::{Answer, CallError, Lost},
};

/// Pause between two looks for a lost call.
const FIND_PAUSE: TimeDelta = TimeDelta::seconds(1);

impl Flow {
    /// It may have been taken. `died`: because the worker that made the call is gone.
    pub(super) fn lost(&mut self, now: Timestamp, effect: EffectNo, call: &OpenCall, text: &str, died: bool) {
        let shape = &self.steps[call.step.0 as usize].shape;
        let repeats = shape.lost == Lost::Repeat;
        self.note(
            EventKind::EffectLost,
            None,
            json!({ "effect": effect.0, "step": self.step_name(call.step), "components": call.members.len(),
                    "error": text, "then": if repeats { "repeated" } else { "looked for" } }),
        );
        if repeats {
            let attempts_max = self.plan.steps[call.step.0 as usize].attempts;
            for ordinal in self.covered_by(effect, call) {
                let component = &mut self.components[ordinal.0 as usize];
                component.covered_until = component.covered_until.max(call.dead);
                // A service that loses its calls for the whole of the step's time. Workers that die are no fault of theirs.
                let cell = self.cell(ordinal, call.step);
                let late = millis(now) >= cell.entered + self.timeout_millis(call.step);
                if died || !late || cell.attempts < attempts_max {
                    self.requeue(now, ordinal, call.step);
                } else {
                    self.cell_mut(ordinal, call.step).effect = 0;
                    self.fail(now, ordinal, call.step, Reason::new(ReasonCode::TooManyAttempts, text));
                }
            }
            self.forget(effect, EffectState::Lost, Some(text.to_owned()));
            return;
        }
        if let Some(open) = self.effects.get_mut(&effect) {
            open.state = EffectState::Lost;
            open.find_at = Some(millis(now));
        }
        self.out.push(Output::Effect {
            effect,
            state: EffectState::Lost,
            reference: None,
            token: None,
            error: Some(text.to_owned()),
        });
    }

    pub(super) fn find_lost(&mut self, now: Timestamp) {
        let due: Vec<EffectNo> = self
            .effects
            .iter()
            .filter(|(_, call)| call.find_at.is_some_and(|at| at <= millis(now)))
            .map(|(effect, _)| *effect)
            .collect();
        for effect in due {
            if let Some(call) = self.effects.get_mut(&effect) {
                call.find_at = None;
                call.find_asked = millis(now);
            }
            self.out.push(Output::Find(effect));
        }
    }

    pub(super) fn found(
        &mut self,
        now: Timestamp,
        effect: EffectNo,
        answer: Result<Option<Answer>, CallError>,
    ) {
        let Some(call) = self.effects.get(&effect).cloned() else { return };
        match answer {
            Ok(Some(answer)) => {
                self.service_up(call.step, Ask::Look);
                self.note(
                    EventKind::EffectFound,
                    None,
                    json!({ "effect": effect.0, "step": self.step_name(call.step),
                            "components": call.members.len(),
                            "reference": answer.reference.as_ref().map(|reference| reference.0.clone()) }),
                );
                self.accepted(now, effect, &call, answer, EffectState::Found);
            }
            Ok(None) if call.find_asked >= call.dead => {
                self.service_up(call.step, Ask::Look);
                self.not_taken(
                    now,
                    effect,
                    &call,
                    "lost, and not found by the time it could no longer act".to_owned(),
                );
            }
            Ok(None) => {
                self.service_up(call.step, Ask::Look);
                let at = millis(now + FIND_PAUSE).min(call.dead.max(millis(now)));
                if let Some(open) = self.effects.get_mut(&effect) {
                    open.find_at = Some(at);
                }
            }
            Err(error) => {
                self.service_down(now, call.step, Ask::Look, &error);
                let at = self.steps[call.step.0 as usize].looking.retry_at;
                if let Some(open) = self.effects.get_mut(&effect) {
                    open.find_at = Some(at);
                }
            }
        }
    }
}
