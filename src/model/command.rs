//! Commands: what operators ask of a session. Kept as rows until the session's writer obeys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    gate::{Gates, Share},
    plan::{Ordinal, StepNo},
};

/// A request, as the flow obeys it. `Components` are ordinals by then; rows keep component numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing new passes a gate; what is past its gate goes on to its end.
    Pause,
    /// The gates open again (after pause, halt or stuck); failures that halted it are accepted.
    Resume,
    /// The next wave may pass; failures that halted it are accepted.
    Approve,
    /// Nothing new enters; what is past its gate is brought to the end of power_on; the rest is skipped.
    Cancel {
        /// Nothing is brought back either: no call is made any more, and power transitions under way are aborted.
        at_once: bool,
    },
    /// Failed components are sent back to their step's `again.from`, or to the step itself.
    Retry {
        /// Who; everybody who failed where empty.
        members: Vec<Ordinal>,
        /// From which step instead: that of the component's slice; where empty, as the workflow says.
        from: Vec<StepNo>,
    },
    /// Components that failed in (or because of) this step start it again.
    Restart {
        /// The step, in each slice that is meant.
        steps: Vec<StepNo>,
        /// Who; everybody who failed in it where empty.
        members: Vec<Ordinal>,
    },
    /// These components go no further.
    Skip {
        /// Who; everybody who is not through the step where empty (then one is needed).
        members: Vec<Ordinal>,
        /// Only who is not settled in this step of its slice.
        steps: Vec<StepNo>,
    },
    /// These components count as through this step, without a call.
    Pass {
        /// The step, in each slice that is meant.
        steps: Vec<StepNo>,
        /// Who, also of those that failed in it.
        members: Vec<Ordinal>,
    },
    /// Thresholds and timeouts of the plan, and what its gates know, are others from now on.
    Set(Settings),
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
    /// See [`Command::Approve`].
    Approve,
    /// See [`Command::Cancel`].
    Cancel,
    /// See [`Command::Retry`].
    Retry,
    /// See [`Command::Restart`].
    Restart,
    /// See [`Command::Skip`].
    Skip,
    /// See [`Command::Pass`].
    Pass,
    /// See [`Command::Set`].
    Set,
    /// See [`Command::Disable`].
    Disable,
    /// See [`Command::RetryPolicy`]; how often is in the components' records.
    RetryPolicy,
}

/// What operators changed of a session's plan; whatever is not named is as it was frozen at admission.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Per cent of a boot set's components that must be well before what waits for it begins, by the boot set's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, u8>,
    /// Seconds that a component may be in a step, by the step's whole name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts_s: BTreeMap<String, u64>,
    /// How many components may be inside at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Share>,
    /// The session halts when so many have failed, or this share of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt_on_failures: Option<Share>,
    /// Per cent of a wave that must not have failed before the next one's turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave_threshold_percent: Option<u8>,
    /// Whoever is outside then is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl Settings {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the gates know with these.
    pub fn apply_to(&self, gates: &mut Gates) {
        gates.max_unavailable = self.max_unavailable.or(gates.max_unavailable);
        gates.halt_on_failures = self.halt_on_failures.or(gates.halt_on_failures);
        gates.wave_threshold_percent = self.wave_threshold_percent.or(gates.wave_threshold_percent);
        gates.not_after = self.not_after.or(gates.not_after);
    }

    /// What was changed later is what holds.
    pub fn merge(&mut self, later: &Self) {
        self.thresholds.extend(later.thresholds.iter().map(|(name, percent)| (name.clone(), *percent)));
        self.timeouts_s.extend(later.timeouts_s.iter().map(|(name, seconds)| (name.clone(), *seconds)));
        self.max_unavailable = later.max_unavailable.or(self.max_unavailable);
        self.halt_on_failures = later.halt_on_failures.or(self.halt_on_failures);
        self.wave_threshold_percent = later.wave_threshold_percent.or(self.wave_threshold_percent);
        self.not_after = later.not_after.or(self.not_after);
    }
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
    /// Of a cancel: see [`Command::Cancel`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
    /// Of a set: what is changed.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

impl CommandRequest {
    /// A command of the whole session.
    pub fn plain(kind: CommandKind) -> Self {
        Self {
            kind,
            step: None,
            components: Vec::new(),
            reason: None,
            at_once: false,
            settings: Settings::default(),
        }
    }
}

/// What commands that were obeyed have left behind, for a worker that begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// All settings, the later ones over the earlier.
    pub settings: Settings,
    /// A cancel that is not over asked to bring nothing back.
    pub at_once: bool,
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
