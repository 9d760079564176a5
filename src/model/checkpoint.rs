//! A checkpoint: everything one statement makes durable.

use std::time::Duration;

use super::{
    artifacts::{BootArtifactsId, BootToken},
    effect::{EffectNo, EffectState, RemoteRef},
    event::NewEvent,
    plan::StepNo,
    reason::ReasonCode,
    result::FactKind,
    session::{Outcome, SessionState},
    verb::Decision,
};

/// What one checkpoint writes. Component numbers are ascending in every list, and a component is in at most one list
/// of `progress` (the engine keeps the last).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// The number of its first event; its further events follow without a gap.
    pub seq: i64,
    /// At least one line.
    pub events: Vec<NewEvent>,
    /// New facts.
    pub results: Vec<ResultBatch>,
    /// New error texts, referred to by `results` and `progress`.
    pub errors: Vec<ErrorText>,
    /// Steps whose counters changed: absolute values, so that writing twice is writing once.
    pub steps: Vec<StepCounters>,
    /// Calls about to be made.
    pub intents: Vec<Intent>,
    /// News of older effects.
    pub effects: Vec<EffectUpdate>,
    /// Barriers (edges) that opened.
    pub barriers: Vec<(StepNo, StepNo)>,
    /// What the BOS record shows of components.
    pub progress: Vec<ProgressUpdate>,
    /// The session's own row, if it changed.
    pub session: Option<SessionUpdate>,
    /// Commands obeyed or refused: row and answer.
    pub commands: Vec<(i64, String)>,
}

/// One row of facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultBatch {
    /// The step.
    pub step: StepNo,
    /// The run.
    pub run: u16,
    /// What is said.
    pub kind: FactKind,
    /// Effects so far.
    pub attempts: u16,
    /// Why: an error text.
    pub error: Option<i32>,
    /// What `inspect` decided.
    pub decision: Option<Decision>,
    /// Where `SentBack` sends them.
    pub sent_to: Option<StepNo>,
    /// Component numbers, ascending.
    pub components: Vec<i32>,
}

/// A distinct error text of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorText {
    /// Its number in the session, from 1.
    pub id: i32,
    /// The reason's name.
    pub code: ReasonCode,
    /// The service's words; may be empty.
    pub text: String,
}

/// Counters of a step as they are now. `targeted` is the sum of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepCounters {
    /// The step; only meaningful within a plan.
    pub step: i16,
    /// Not there yet.
    pub not_reached: i32,
    /// Being worked on.
    pub in_flight: i32,
    /// Through.
    pub succeeded: i32,
    /// Failed here.
    pub failed: i32,
    /// Left out here, or downstream of a failure or skip.
    pub skipped: i32,
    /// Effects made.
    pub attempts: i32,
}

/// A call about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number.
    pub effect: EffectNo,
    /// The step.
    pub step: StepNo,
    /// The verb, for readers.
    pub verb: &'static str,
    /// The rung's name, for readers.
    pub rung_name: &'static str,
    /// The rung.
    pub rung: u8,
    /// After so long the call can no longer act: `dead_at` is the database's clock plus this.
    pub alive_for: Duration,
    /// Component numbers, ascending.
    pub components: Vec<i32>,
}

/// News of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectUpdate {
    /// Which.
    pub effect: EffectNo,
    /// What is known of it now.
    pub state: EffectState,
    /// The service's name for it, if it came.
    pub reference: Option<RemoteRef>,
    /// The BSS token and what it stands for, if it came.
    pub token: Option<(BootToken, BootArtifactsId)>,
    /// What the service said, if it refused.
    pub error: Option<String>,
}

/// What the BOS record shows of a group of components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressUpdate {
    /// What happened to them.
    pub change: ProgressChange,
    /// Component numbers, ascending.
    pub components: Vec<i32>,
}

/// What happens to a component's public record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressChange {
    /// Soft-Off is about to be sent.
    PoweringOffGracefully,
    /// Force-Off is about to be sent.
    PoweringOffForcefully,
    /// On is about to be sent.
    PoweringOn,
    /// Booted; CFS is at work.
    Configuring,
    /// Through: stable, disabled, released.
    Succeeded,
    /// Failed for the reason with this error text: disabled, released.
    Failed {
        /// The error text's number.
        error: i32,
    },
    /// Left out for the reason with this error text: released as it is.
    Skipped {
        /// The error text's number.
        error: i32,
    },
}

/// A change of the session's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUpdate {
    /// Where it is now.
    pub state: SessionState,
    /// Why (halted, stuck …), for people.
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Components through / failed / skipped, as counted at its end.
    pub succeeded: i32,
    /// See `succeeded`.
    pub failed: i32,
    /// See `succeeded`.
    pub skipped: i32,
    /// The command that retries what failed.
    pub retry_command: Option<String>,
}
