//! Effects: calls that change the world. Intent first, then the call, then what became of it.

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    artifacts::BootToken,
    plan::{Ordinal, StepNo},
};

/// The number of an effect within its session; `flow` counts them from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectNo(pub i32);

/// A service's own name for what it does for us: a PCS transition id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteRef(pub String);

/// What is known of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// The intent is written; the call may be under way.
    Intended,
    /// The service answered; it is at work.
    Accepted,
    /// Its answer was never seen: it may have been taken.
    Lost,
    /// It was lost, and found to have been taken.
    Found,
    /// Surely not taken; whoever it covered gets another effect.
    NotTaken,
    /// All it covered has been judged.
    Settled,
}

impl EffectState {
    /// The stable label, as in SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Lost => "lost",
            Self::Found => "found",
            Self::NotTaken => "not_taken",
            Self::Settled => "settled",
        }
    }

    /// Whether it may still act on its components.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::NotTaken | Self::Settled)
    }
}

/// An effect as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its number in the session.
    pub no: EffectNo,
    /// The step it belongs to.
    pub step: StepNo,
    /// The rung it tries, counted from 0.
    pub rung: u8,
    /// Its components, ascending.
    pub members: Vec<Ordinal>,
    /// What is known of it.
    pub state: EffectState,
    /// The service's name for it.
    pub reference: Option<RemoteRef>,
    /// The BSS token it brought.
    pub token: Option<BootToken>,
    /// The checkpoint that wrote the intent.
    pub seq: i64,
    /// When the intent was written.
    pub intended_at: Timestamp,
    /// The moment after which the call can no longer act.
    pub dead_at: Timestamp,
}
