//! Commands: what operators ask of a session. Kept as rows until the session's writer obeys.

use serde::{Deserialize, Serialize};

use super::plan::{Ordinal, StepNo};

/// A request, as the flow obeys it. `Components` are ordinals by then; rows keep component numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing new passes a gate; what is past its gate goes on to its end.
    Pause,
    /// The gates open again (after pause, halt or stuck).
    Resume,
    /// Nothing new enters; what is past its gate is brought to the end of power_on; the rest is skipped.
    Cancel,
    /// Failed components are sent back to their step's `again.from`, or to the step itself.
    Retry {
        /// Who; everybody who failed where empty.
        members: Vec<Ordinal>,
        /// From which step instead.
        from: Option<StepNo>,
    },
    /// Components that failed in (or because of) this step start it again.
    Restart {
        /// The step.
        step: StepNo,
        /// Who; everybody who failed in it where empty.
        members: Vec<Ordinal>,
    },
    /// These components go no further.
    Skip {
        /// Who; everybody who is not through the step where empty (then `step` is needed).
        members: Vec<Ordinal>,
        /// Only what is not reached or in flight in this step.
        step: Option<StepNo>,
    },
    /// Somebody disabled these components: they go no further.
    Disable {
        /// Who.
        members: Vec<Ordinal>,
    },
    /// How often these components may be tried from now on; none: as the plan says.
    RetryPolicy {
        /// Who, and how often.
        members: Vec<(Ordinal, Option<u16>)>,
    },
}

/// A command's verb, as rows and URLs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// See [`Command::Pause`].
    Pause,
    /// See [`Command::Resume`].
    Resume,
    /// See [`Command::Cancel`].
    Cancel,
    /// See [`Command::Retry`].
    Retry,
    /// See [`Command::Restart`].
    Restart,
    /// See [`Command::Skip`].
    Skip,
    /// See [`Command::Disable`].
    Disable,
    /// See [`Command::RetryPolicy`]; how often is in the components' records.
    RetryPolicy,
}

/// A command as it is asked for and kept (`command.data`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRequest {
    /// What is asked.
    pub kind: CommandKind,
    /// The step's name, where one is meant (`compute/power_off`, or `power_off` for every boot set).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Component numbers; empty = all that the command can mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<i32>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A command row that waits for the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    /// Its row.
    pub id: i64,
    /// What is asked.
    pub request: CommandRequest,
    /// Who asks.
    pub actor: String,
}
