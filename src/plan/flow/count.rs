//! Sums over the session: a component counts once.

use super::Flow;
use crate::model::{
    reason::{Reason, ReasonCode},
    session::{Outcome, SessionState},
    verb::Decision,
};

/// Components of the session by what became of them; `targeted` is the sum of the rest. Those left out at admission
/// are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Nothing was begun with them.
    pub not_reached: i32,
    /// On their way.
    pub in_flight: i32,
    /// Through every step.
    pub succeeded: i32,
    /// Failed.
    pub failed: i32,
    /// Left out.
    pub skipped: i32,
}

impl Flow {
    /// The session's counts as they are now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for component in &self.components {
            let counter = match component {
                c if c.failed.is_some() => &mut counts.failed,
                c if c.skipped.is_some() => &mut counts.skipped,
                c if c.ended => &mut counts.succeeded,
                c if c.is_inside() || c.decision.is_some() => &mut counts.in_flight,
                _ => &mut counts.not_reached,
            };
            *counter += 1;
        }
        counts
    }

    /// Everybody who failed.
    pub fn failed(&self) -> Vec<crate::model::plan::Ordinal> {
        let failed = self.components.iter().enumerate().filter(|(_, component)| component.failed.is_some());
        failed.map(|(index, _)| crate::model::plan::Ordinal(index as u32)).collect()
    }

    /// Everybody who failed, or was not begun with before the session's time window closed: what is left to be done.
    pub fn unfinished(&self) -> Vec<crate::model::plan::Ordinal> {
        let left = |c: &super::state::Component| c.failed.is_some() || is_left_behind(c.skipped.as_deref());
        let left = self.components.iter().enumerate().filter(|(_, component)| left(component));
        left.map(|(index, _)| crate::model::plan::Ordinal(index as u32)).collect()
    }

    /// Why somebody was left out on the way; the first reason there is.
    pub fn skip_reason(&self) -> Option<&crate::model::reason::Reason> {
        self.components.iter().find_map(|component| component.skipped.as_deref())
    }

    /// How the session ended, once everybody's way has.
    pub(super) fn outcome(&self) -> Outcome {
        let counts = self.counts();
        let untouched = |decision: Option<Decision>| decision == Some(Decision::Nothing);
        if self.cancelled {
            Outcome::Cancelled
        } else if counts.failed == 0
            && !self.ever_acted
            && self.components.iter().all(|c| c.skipped.is_none() && untouched(c.decision))
        {
            Outcome::NothingToDo
        } else if counts.succeeded == 0 {
            Outcome::Failed
        } else if counts.failed > 0 || self.components.iter().any(|c| is_left_behind(c.skipped.as_deref())) {
            Outcome::Partial
        } else {
            Outcome::Succeeded
        }
    }

    /// Whether the session is being cancelled.
    pub fn is_cancelling(&self) -> bool {
        self.mode == SessionState::Cancelling
    }
}

/// The time window closed before its turn came.
fn is_left_behind(skipped: Option<&Reason>) -> bool {
    skipped.is_some_and(|reason| reason.code == ReasonCode::WindowClosed)
}
