//! Sessions: one operation applied to the components of a template.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A session's number. Inside, a session is its number; its name is unique per tenant among those not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name of a session, template or boot set: letters, digits, `-`, `.`, `_`; 1 to 127 characters; begins and ends with
/// a letter or digit (BOS's NAME).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A string that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a name: 1 to 127 letters, digits, '-', '.', '_', beginning and ending with a letter or digit"
)]
pub struct InvalidName(pub String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let valid = (1..=127).contains(&text.len())
            && text.chars().all(inner)
            && outer(text.chars().next())
            && outer(text.chars().next_back());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Not admitted yet; holds nothing.
    Waiting,
    /// Under way.
    Running,
    /// An operator closed its gates.
    Paused,
    /// A threshold that can no longer be met closed its gates.
    Halted,
    /// Automation stopped: a spent crash budget, lost commits, an unknown plan.
    Stuck,
    /// Being brought to a defined end.
    Cancelling,
    /// Over; see its outcome.
    Ended,
}

impl SessionState {
    /// The stable label, as in SQL and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Stuck => "stuck",
            Self::Cancelling => "cancelling",
            Self::Ended => "ended",
        }
    }

    /// Whether it waits for an operator.
    pub fn waits_for_operator(self) -> bool {
        matches!(self, Self::Paused | Self::Halted | Self::Stuck)
    }
}

/// What is done where another session holds components of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The new one is refused, and says who holds what.
    Reject,
    /// The new one waits, holding nothing, until all of its components are free; first come, first served.
    Wait,
    /// They are left out of the new one.
    Skip,
    /// The new one takes them over: their holder begins nothing more with them, and gives each away once the call that
    /// covers it has settled.
    Preempt,
}

impl OnConflict {
    /// The stable label, as in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Wait => "wait",
            Self::Skip => "skip",
            Self::Preempt => "preempt",
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everybody who was not skipped is through.
    Succeeded,
    /// Some are through, some failed.
    Partial,
    /// Nobody is through.
    Failed,
    /// An operator cancelled it.
    Cancelled,
    /// There were members, and all passed every step or were skipped at admission.
    NothingToDo,
    /// Never admitted; the reason is in its error.
    Rejected,
}

impl Outcome {
    /// The stable label, as in SQL and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NothingToDo => "nothing_to_do",
            Self::Rejected => "rejected",
        }
    }
}
