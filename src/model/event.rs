//! Events: the narrative of a session, one line each, numbered without gaps.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A line of the narrative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Dense within the session, from 1 (written at admission).
    pub seq: i64,
    /// When it was made durable.
    pub at: Timestamp,
    /// The writer's epoch; 0 for admission.
    pub epoch: i64,
    /// What happened.
    pub kind: EventKind,
    /// Who asked for it, where somebody did.
    pub actor: Option<String>,
    /// Particulars: counts, step names, texts.
    pub data: serde_json::Value,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Admitted: members, skips, claims.
    Admitted,
    /// A worker took the lease; `data.previous` tells of a take-over.
    LeaseAcquired,
    /// A worker gave the lease back (planned stop).
    LeaseReleased,
    /// Results were recorded.
    Results,
    /// Calls are about to be made.
    Intents,
    /// A call's answer was lost, or a dead worker left it open.
    EffectLost,
    /// A lost call was found to have been taken.
    EffectFound,
    /// A service does not answer.
    ServiceDown,
    /// It answers again.
    ServiceUp,
    /// A barrier opened.
    BarrierOpened,
    /// The session's state changed.
    StateChanged,
    /// An operator's command was obeyed, or refused with a reason.
    Command,
    /// A wave may pass, or failures are accepted: somebody approved. Read again by whoever goes on with the session.
    Approved,
    /// Components went to another session.
    TakenOver,
    /// Anything else worth a line.
    Note,
    /// The session is over.
    Ended,
}

impl EventKind {
    /// The stable label, as in SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::LeaseAcquired => "lease_acquired",
            Self::LeaseReleased => "lease_released",
            Self::Results => "results",
            Self::Intents => "intents",
            Self::EffectLost => "effect_lost",
            Self::EffectFound => "effect_found",
            Self::ServiceDown => "service_down",
            Self::ServiceUp => "service_up",
            Self::BarrierOpened => "barrier_opened",
            Self::StateChanged => "state_changed",
            Self::Command => "command",
            Self::Approved => "approved",
            Self::TakenOver => "taken_over",
            Self::Note => "note",
            Self::Ended => "ended",
        }
    }
}

/// A line about to be written: the checkpoint gives it its number and time.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// Who asked for it.
    pub actor: Option<String>,
    /// Particulars.
    pub data: serde_json::Value,
}
