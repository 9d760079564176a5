//! A checkpoint as the arrays that its statement takes.

use crate::model::{
    checkpoint::{Checkpoint, ProgressChange},
    effect::EffectState,
    verb::Decision,
};

/// Most component ids in one row of results: 4 kB, which stays in line.
const BATCH_MAX: usize = 1_000;

/// Parallel arrays, one group of fields per kind of row. `first` and `last` say which part of the `components` beside
/// them is a row's, counted from 1: SQL knows no ragged arrays.
#[derive(Default)]
pub(super) struct Flat<'a> {
    pub event_kind: Vec<&'a str>,
    pub event_actor: Vec<Option<&'a str>>,
    pub event_data: Vec<&'a serde_json::Value>,
    pub error_no: Vec<i32>,
    pub error_code: Vec<&'a str>,
    pub error_text: Vec<&'a str>,
    pub result_step: Vec<i16>,
    pub result_run: Vec<i16>,
    pub result_kind: Vec<&'a str>,
    pub result_attempts: Vec<i16>,
    pub result_error: Vec<Option<i32>>,
    pub result_decision: Vec<Option<String>>,
    pub result_sent_to: Vec<Option<i16>>,
    pub result_first: Vec<i32>,
    pub result_last: Vec<i32>,
    pub result_components: Vec<i32>,
    pub step_no: Vec<i16>,
    pub step_not_reached: Vec<i32>,
    pub step_in_flight: Vec<i32>,
    pub step_succeeded: Vec<i32>,
    pub step_failed: Vec<i32>,
    pub step_skipped: Vec<i32>,
    pub step_attempts: Vec<i32>,
    pub intent_no: Vec<i32>,
    pub intent_step: Vec<i16>,
    pub intent_rung: Vec<i16>,
    pub intent_rung_name: Vec<&'a str>,
    pub intent_verb: Vec<&'a str>,
    pub intent_alive_for: Vec<f64>,
    pub intent_first: Vec<i32>,
    pub intent_last: Vec<i32>,
    pub intent_components: Vec<i32>,
    pub effect_no: Vec<i32>,
    pub effect_state: Vec<&'a str>,
    pub effect_reference: Vec<Option<&'a str>>,
    pub effect_token: Vec<Option<&'a str>>,
    pub effect_error: Vec<Option<&'a str>>,
    pub token: Vec<&'a str>,
    pub token_artifacts: Vec<i32>,
    pub barrier_from: Vec<i16>,
    pub barrier_to: Vec<i16>,
    pub powering_off_gracefully: Vec<i32>,
    pub powering_off_forcefully: Vec<i32>,
    pub powering_on: Vec<i32>,
    pub configuring: Vec<i32>,
    pub succeeded: Vec<i32>,
    pub failed: Vec<i32>,
    pub failed_error: Vec<i32>,
    pub skipped: Vec<i32>,
    pub skipped_error: Vec<i32>,
    pub disabled: Vec<i32>,
    pub session_state: Option<&'a str>,
    pub session_reason: Option<&'a str>,
    pub session_outcome: Option<&'a str>,
    pub session_succeeded: i32,
    pub session_failed: i32,
    pub session_skipped: i32,
    pub session_retry_command: Option<&'a str>,
    pub command_id: Vec<i64>,
    pub command_answer: Vec<&'a str>,
}

impl<'a> Flat<'a> {
    pub(super) fn of(checkpoint: &'a Checkpoint) -> Self {
        let mut flat = Self::default();
        flat.add_narrative(checkpoint);
        flat.add_results(checkpoint);
        flat.add_steps(checkpoint);
        flat.add_intents(checkpoint);
        flat.add_effects(checkpoint);
        flat.add_progress(checkpoint);
        flat.add_session(checkpoint);
        flat
    }

    fn add_narrative(&mut self, checkpoint: &'a Checkpoint) {
        for event in &checkpoint.events {
            self.event_kind.push(event.kind.label());
            self.event_actor.push(event.actor.as_deref());
            self.event_data.push(&event.data);
        }
        for error in &checkpoint.errors {
            self.error_no.push(error.id);
            self.error_code.push(error.code.label());
            self.error_text.push(&error.text);
        }
        for (from, to) in &checkpoint.barriers {
            self.barrier_from.push(from.0);
            self.barrier_to.push(to.0);
        }
        for (id, answer) in &checkpoint.commands {
            self.command_id.push(*id);
            self.command_answer.push(answer);
        }
    }

    fn add_results(&mut self, checkpoint: &'a Checkpoint) {
        for batch in &checkpoint.results {
            for components in batch.components.chunks(BATCH_MAX) {
                self.result_step.push(batch.step.0);
                self.result_run.push(small(batch.run));
                self.result_kind.push(batch.kind.label());
                self.result_attempts.push(small(batch.attempts));
                self.result_error.push(batch.error);
                self.result_decision.push(batch.decision.map(decision_label));
                self.result_sent_to.push(batch.sent_to.map(|step| step.0));
                append(
                    components,
                    &mut self.result_components,
                    &mut self.result_first,
                    &mut self.result_last,
                );
            }
        }
    }

    fn add_steps(&mut self, checkpoint: &'a Checkpoint) {
        for step in &checkpoint.steps {
            self.step_no.push(step.step);
            self.step_not_reached.push(step.not_reached);
            self.step_in_flight.push(step.in_flight);
            self.step_succeeded.push(step.succeeded);
            self.step_failed.push(step.failed);
            self.step_skipped.push(step.skipped);
            self.step_attempts.push(step.attempts);
        }
    }

    fn add_intents(&mut self, checkpoint: &'a Checkpoint) {
        for intent in &checkpoint.intents {
            self.intent_no.push(intent.effect.0);
            self.intent_step.push(intent.step.0);
            self.intent_rung.push(i16::from(intent.rung));
            self.intent_rung_name.push(intent.rung_name);
            self.intent_verb.push(intent.verb);
            self.intent_alive_for.push(intent.alive_for.as_secs_f64());
            append(
                &intent.components,
                &mut self.intent_components,
                &mut self.intent_first,
                &mut self.intent_last,
            );
        }
    }

    /// One entry per effect: of two updates of one row Postgres would apply one, and not say which.
    fn add_effects(&mut self, checkpoint: &'a Checkpoint) {
        for update in &checkpoint.effects {
            let known = self.effect_no.iter().position(|no| *no == update.effect.0);
            let at = known.unwrap_or_else(|| {
                self.effect_no.push(update.effect.0);
                self.effect_state.push(EffectState::Intended.label());
                self.effect_reference.push(None);
                self.effect_token.push(None);
                self.effect_error.push(None);
                self.effect_no.len() - 1
            });
            self.effect_state[at] = update.state.label();
            if let Some(reference) = &update.reference {
                self.effect_reference[at] = Some(&reference.0);
            }
            if let Some(error) = &update.error {
                self.effect_error[at] = Some(error);
            }
            if let Some((token, artifacts)) = &update.token {
                self.effect_token[at] = Some(&token.0);
                self.token.push(&token.0);
                self.token_artifacts.push(artifacts.0);
            }
        }
    }

    fn add_progress(&mut self, checkpoint: &'a Checkpoint) {
        let mut failed = Vec::new();
        let mut skipped = Vec::new();
        for update in &checkpoint.progress {
            let ids = &update.components;
            match update.change {
                ProgressChange::PoweringOffGracefully => self.powering_off_gracefully.extend(ids),
                ProgressChange::PoweringOffForcefully => self.powering_off_forcefully.extend(ids),
                ProgressChange::PoweringOn => self.powering_on.extend(ids),
                ProgressChange::Configuring => self.configuring.extend(ids),
                ProgressChange::Succeeded => self.succeeded.extend(ids),
                ProgressChange::Failed { error } => failed.extend(ids.iter().map(|id| (*id, error))),
                ProgressChange::Skipped { error } => skipped.extend(ids.iter().map(|id| (*id, error))),
            }
        }
        failed.sort_unstable();
        skipped.sort_unstable();
        (self.failed, self.failed_error) = failed.into_iter().unzip();
        (self.skipped, self.skipped_error) = skipped.into_iter().unzip();
        // Who was left out on the way is not driven any further either.
        self.disabled = [&self.succeeded[..], &self.failed[..], &self.skipped[..]].concat();
        self.disabled.sort_unstable();
    }

    fn add_session(&mut self, checkpoint: &'a Checkpoint) {
        let Some(update) = &checkpoint.session else { return };
        self.session_state = Some(update.state.label());
        self.session_reason = update.reason.as_deref();
        self.session_outcome = update.outcome.map(|outcome| outcome.label());
        self.session_succeeded = update.succeeded;
        self.session_failed = update.failed;
        self.session_skipped = update.skipped;
        self.session_retry_command = update.retry_command.as_deref();
    }
}

/// Adds a row's components and remembers which they are.
fn append(components: &[i32], all: &mut Vec<i32>, first: &mut Vec<i32>, last: &mut Vec<i32>) {
    first.push(position(all.len() + 1));
    all.extend(components);
    last.push(position(all.len()));
}

fn position(n: usize) -> i32 {
    i32::try_from(n).expect("a checkpoint has fewer than 2^31 results")
}

/// Runs and attempts are bounded far below this by the flow; a column is 2 bytes.
fn small(n: u16) -> i16 {
    i16::try_from(n).unwrap_or(i16::MAX)
}

fn decision_label(decision: Decision) -> String {
    let text = serde_json::to_value(decision).ok().and_then(|value| value.as_str().map(str::to_owned));
    text.expect("a decision is a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        checkpoint::{EffectUpdate, ProgressUpdate, ResultBatch},
        effect::{EffectNo, RemoteRef},
        plan::StepNo,
        result::FactKind,
    };

    #[test]
    fn a_long_result_is_several_rows_of_one_array() {
        let batch = ResultBatch {
            step: StepNo(1),
            run: 1,
            kind: FactKind::Succeeded,
            attempts: 1,
            error: None,
            decision: Some(Decision::PowerCycle),
            sent_to: None,
            components: (1..=2_500).collect(),
        };
        let checkpoint = Checkpoint { results: vec![batch], ..Default::default() };
        let flat = Flat::of(&checkpoint);
        assert_eq!(flat.result_first, [1, 1_001, 2_001]);
        assert_eq!(flat.result_last, [1_000, 2_000, 2_500]);
        assert_eq!(flat.result_decision[2].as_deref(), Some("power_cycle"));
    }

    #[test]
    fn news_of_one_effect_are_one_row() {
        let update = |state, reference: Option<&str>| EffectUpdate {
            effect: EffectNo(7),
            state,
            reference: reference.map(|text| RemoteRef(text.to_owned())),
            token: None,
            error: None,
        };
        let effects = vec![update(EffectState::Accepted, Some("t-1")), update(EffectState::Settled, None)];
        let checkpoint = Checkpoint { effects, ..Default::default() };
        let flat = Flat::of(&checkpoint);
        assert_eq!((flat.effect_no, flat.effect_state), (vec![7], vec!["settled"]));
        assert_eq!(flat.effect_reference, [Some("t-1")]);
    }

    #[test]
    fn failures_of_several_reasons_are_one_ascending_list() {
        let failed = |error, components: &[i32]| ProgressUpdate {
            change: ProgressChange::Failed { error },
            components: components.to_vec(),
        };
        let succeeded = ProgressUpdate { change: ProgressChange::Succeeded, components: vec![4, 8] };
        let progress = vec![failed(1, &[3, 9]), failed(2, &[5]), succeeded];
        let checkpoint = Checkpoint { progress, ..Default::default() };
        let flat = Flat::of(&checkpoint);
        assert_eq!((flat.failed, flat.failed_error), (vec![3, 5, 9], vec![1, 2, 1]));
        assert_eq!(flat.disabled, [3, 4, 5, 8, 9]);
    }
}
