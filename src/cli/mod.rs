//! The client commands: our own HTTP client, and what people and scripts see of it. Data goes to stdout, talk to stderr.
//!
//! The commands know `model` and the JSON of `/bosun/v1`, nothing of the database or the engine.

pub mod client;
pub mod component;
pub mod confirm;
pub mod error;
pub mod event;
pub mod follow;
pub mod freeze;
pub mod import;
pub mod listing;
pub mod options;
pub mod output;
pub mod plan;
pub mod progress;
pub mod quarantine;
pub mod rollout;
pub mod selection;
pub mod session;
pub mod session_template;
pub mod sql;
pub mod step;
pub mod stuck;
pub mod summary;
pub mod view;

use std::process::ExitCode;

use crate::model::session::{Outcome, SessionState};

pub use error::CliError;

/// How a command ends: what scripts ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All succeeded, or there was nothing to do.
    Done,
    /// The command could not be carried out.
    Error,
    /// The command line is wrong.
    Usage,
    /// Some components succeeded, some failed.
    Partial,
    /// No component succeeded.
    Failed,
    /// The session was not admitted.
    Rejected,
    /// The session was cancelled.
    Cancelled,
    /// The session waits for an operator.
    Waits,
    /// The time to wait is over; the session goes on.
    TimedOut,
}

impl Exit {
    /// The process' exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Failed => 4,
            Self::Rejected => 5,
            Self::Cancelled => 6,
            Self::Waits => 7,
            Self::TimedOut => 124,
        }
    }

    /// What a session's end, or its waiting for somebody, amounts to. None while it goes on by itself.
    pub fn of_session(state: SessionState, outcome: Option<Outcome>) -> Option<Self> {
        match (state, outcome) {
            (_, Some(outcome)) => Some(match outcome {
                Outcome::Succeeded | Outcome::NothingToDo => Self::Done,
                Outcome::Partial => Self::Partial,
                Outcome::Failed => Self::Failed,
                Outcome::Cancelled => Self::Cancelled,
                Outcome::Rejected => Self::Rejected,
            }),
            (SessionState::Ended, None) => Some(Self::Error),
            (state, None) => state.waits_for_operator().then_some(Self::Waits),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_end_has_an_exit_code() {
        let of = |state, outcome| Exit::of_session(state, outcome).map(Exit::code);
        assert_eq!(of(SessionState::Ended, Some(Outcome::NothingToDo)), Some(0));
        assert_eq!(of(SessionState::Ended, Some(Outcome::Partial)), Some(3));
        assert_eq!(of(SessionState::Ended, Some(Outcome::Rejected)), Some(5));
        assert_eq!(of(SessionState::Halted, None), Some(7));
        assert_eq!(of(SessionState::Cancelling, None), None);
        assert_eq!(of(SessionState::Waiting, None), None);
    }
}
