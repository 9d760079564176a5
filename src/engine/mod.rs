//! The crank: lease → call → observe → checkpoint. The only writer of progress.
//!
//! # The laws
//!
//! 1. **One writer.** Progress is written only under a [`Lease`](crate::db::lease::Lease), whose epoch rises at each
//!    take-over; a writer whose epoch has passed writes nothing and exits.
//! 2. **Commit before proceed.** A result is durable before any later step acts on its component. A worker that finds
//!    the event log shorter than it remembers parks the session: the database lost commits.
//! 3. **Intent, effect, observation.** An intent commits before its call. A call that timed out and a call whose worker
//!    died are one case: lost. Per run at most one off→on edge per component, no on without a recorded off.
//! 4. **One statement per checkpoint.** One whose answer is lost is sent again; `(session, seq)` says whether it was
//!    written.
//! 5. **Self-fencing.** The heartbeat has its own thread and connection; every write call runs under a `select!` whose
//!    first arm is the lease's safe time, on the monotonic clock.
//! 6. **Everything has a bound**: attempts, deadlines, components per call, calls at once, and a crash budget.
//! 7. **Operators speak through `command` rows**; the writer obeys and answers with an event. NOTIFY is only a hint:
//!    every wait also polls.
//! 8. **A failure has a name and a place.** Nothing succeeded because nobody looked, nothing failed either.
//! 9. **Hand-over.** Only the holder's writer gives or releases a claim, never while an open effect covers the component.
//! 10. **Exit codes**: 0 no worker is needed now; anything else: start me again. See [`Exit`].
//! 11. **A plan is data**: an unknown verb version or plan format parks the session.
//!
//! # The rooms within
//!
//! [`memory`] loads what is past, [`drive`] is the loop, [`record`] turns what the flow says into checkpoints, [`call`]
//! carries calls and observations out, [`journal`] keeps the connection, [`heartbeat`] the lease, [`clock`] the
//! database's time; [`launcher`] sees that every session that needs a worker has one.

pub mod call;
pub mod clock;
pub mod drive;
pub mod heartbeat;
pub mod journal;
pub mod launcher;
pub mod memory;
pub mod record;
mod story;

use std::time::Duration;

use crate::{db::DbError, model::options::Options};

/// Why a session whose crash budget is spent is stuck.
pub const BUDGET_SPENT: &str =
    "its workers died again and again without a new result in between; look at their logs, then resume";

/// How a worker keeps its lease, and how it names itself.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The database.
    pub database_url: String,
    /// The worker's name in the lease; unique per launch, so that a death can be told from a successor.
    pub worker: String,
    /// How long a lease lives without a heartbeat.
    pub lease_time: Duration,
    /// What else of the process heeds BOS's options (its log).
    pub heed: fn(&Options),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The session is over, parked, or waits for an operator; or another worker has it. No worker is needed now.
    Done,
    /// A planned stop: everything is checkpointed and the lease given back. Start again; it costs nothing.
    Planned,
}

impl Exit {
    /// The process' exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Planned => 75,
        }
    }
}

/// What ends a worker without an answer: it is started again, against the crash budget.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The lease could not be kept up in time.
    #[error("the lease could not be renewed in time; stopped before another worker may begin")]
    Fenced,
    /// The machine refused something the worker needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}
