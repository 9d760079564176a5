//! What the commands read of `/bosun/v1`'s answers.

use serde::Deserialize;

use crate::model::{
    Timestamp,
    session::{Outcome, SessionState},
};

/// A session, as `session show -o json` prints it.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct SessionView {
    pub id: i64,
    pub name: String,
    pub operation: String,
    pub state: SessionState,
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub reason: Option<String>,
    pub targeted: i64,
    pub not_reached: i64,
    pub in_flight: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub skipped: i64,
    pub retry_command: Option<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub seconds: Option<f64>,
    #[serde(default)]
    pub steps: Vec<StepView>,
    #[serde(default)]
    pub errors: Vec<ErrorView>,
    #[serde(default)]
    pub hand_overs: Vec<HandOverView>,
    #[serde(default)]
    pub waves: Vec<WaveView>,
}

/// Components that one session still holds and gives to another.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct HandOverView {
    pub from: String,
    pub to: String,
    pub count: i64,
    pub components: String,
}

/// A wave of a session: who waits before its gate, and who is inside.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct WaveView {
    pub wave: i64,
    pub components: i64,
    pub waiting: i64,
    pub inside: i64,
    pub failed: i64,
    pub gate: Option<String>,
}

/// A step of a session.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct StepView {
    pub name: String,
    pub verb: String,
    pub state: String,
    pub targeted: i64,
    pub not_reached: i64,
    pub in_flight: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub skipped: i64,
    pub attempts: i64,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// Components that failed in one step for one reason.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct ErrorView {
    pub step: String,
    pub error: String,
    pub count: i64,
    pub components: String,
}

/// A line of a session's narrative.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the keys are described with the API that writes them")]
pub struct EventView {
    pub seq: i64,
    pub at: Timestamp,
    pub kind: String,
    pub actor: Option<String>,
    pub data: serde_json::Value,
}

impl StepView {
    /// How many components need nothing more from this step.
    pub fn settled(&self) -> i64 {
        self.succeeded + self.failed + self.skipped
    }
}
