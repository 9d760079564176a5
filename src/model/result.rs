//! Results: append-only facts about components in steps.

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    plan::{Ordinal, StepNo},
    reason::Reason,
    verb::Decision,
};

/// What a fact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// Through the step.
    Succeeded,
    /// Failed in the step: its way in this run ends here.
    Failed,
    /// Left out from here on, for a reason.
    Skipped,
    /// Sent back to an earlier step (or this one): its run rises by one.
    SentBack,
    /// Let through the step by an operator.
    Passed,
    /// Something to be remembered (it left Ready); settles nothing.
    Noticed,
}

impl FactKind {
    /// The stable label, as in SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::SentBack => "sent_back",
            Self::Passed => "passed",
            Self::Noticed => "noticed",
        }
    }
}

/// One thing that became of a group of components in one step. What they were in before is `run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The step.
    pub step: StepNo,
    /// The run the components were in (the old one, for `SentBack`), counted from 1.
    pub run: u16,
    /// What is said.
    pub kind: FactKind,
    /// Effects on these components in this step and run.
    pub attempts: u16,
    /// Why.
    pub reason: Option<Reason>,
    /// What `inspect` decided.
    pub decision: Option<Decision>,
    /// Where `SentBack` sends them.
    pub sent_to: Option<StepNo>,
    /// Who, ascending.
    pub members: Vec<Ordinal>,
}

/// A fact as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastFact {
    /// The checkpoint that wrote it.
    pub seq: i64,
    /// When it was made durable.
    pub at: Timestamp,
    /// What it says.
    pub fact: Fact,
}
