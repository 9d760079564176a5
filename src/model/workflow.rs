//! Workflows: the DAG of an operation as it is declared in `workflows/<operation>.yaml`.

use std::{num::NonZeroU16, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    reason::ReasonCode,
    site::{HttpStep, JobStep},
    verb::Goal,
};

/// A declared workflow, parsed and free of mistakes (`plan::workflow` reads it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workflow {
    /// The stem of its file: the operation.
    pub operation: String,
    /// Its steps, in the order of the file.
    pub steps: Vec<WorkflowStep>,
    /// What ordinals mean in it.
    pub barriers: Vec<WorkflowBarrier>,
}

impl Condition {
    /// Whether it asks what the session template says of the slice, and not what `inspect` decided of a component.
    pub fn asks_the_template(self) -> bool {
        matches!(self, Self::Configured | Self::Projected)
    }
}

impl Workflow {
    /// Whether its nodes boot something, so that every boot set needs artifacts.
    pub fn boots(&self) -> bool {
        self.steps.iter().any(|step| match &step.verb {
            DeclaredVerb::Inspect { goal } => matches!(goal, Goal::Boot | Goal::Reboot),
            DeclaredVerb::TagImage | DeclaredVerb::SetBootParameters | DeclaredVerb::AwaitBoot => true,
            DeclaredVerb::PowerOff { .. }
            | DeclaredVerb::StageConfiguration { .. }
            | DeclaredVerb::PowerOn { .. }
            | DeclaredVerb::AwaitConfiguration
            | DeclaredVerb::Http(_)
            | DeclaredVerb::Job(_) => false,
        })
    }

    /// Whether it says anything to CFS, so that configurations have to exist.
    pub fn configures(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(step.verb, DeclaredVerb::StageConfiguration { .. } | DeclaredVerb::AwaitConfiguration)
        })
    }
}

/// A declared step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowStep {
    /// Its name, unique in the workflow.
    pub name: String,
    /// What it does.
    pub verb: DeclaredVerb,
    /// Names of the steps it needs, per component.
    pub needs: Vec<String>,
    /// All must hold for a component, or it passes the step.
    pub when: Vec<Condition>,
    /// How long a component may be in it; where silent, BOS's options decide at admission.
    #[serde(with = "duration_option")]
    pub timeout: Option<Duration>,
    /// Most effects on one component in one run; where silent, the default retry policy decides.
    pub attempts: Option<NonZeroU16>,
    /// Where failed components are sent back to.
    pub again: Option<WorkflowAgain>,
}

/// `again: {from: power_off, times: 2, on: [boot_timeout]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowAgain {
    /// To which step.
    pub from: String,
    /// How often; where silent, the default retry policy less one.
    pub times: Option<u16>,
    /// For which reasons.
    pub on: Vec<ReasonCode>,
}

/// What boot or shutdown ordinals order: with them, `before` of a later boot set opens when `after` of the earlier
/// ones has settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowBarrier {
    /// Which order.
    pub by: BarrierOrder,
    /// The step that has to settle.
    pub after: String,
    /// The steps that wait.
    pub before: Vec<String>,
    /// Which share of the earlier step (per cent) has to succeed; where silent, the session's own.
    pub threshold_percent: Option<u8>,
}

/// A verb as a workflow declares it: where a parameter is silent, BOS's options as they stand at admission decide
/// (`plan::compile` binds it to a [`super::verb::Verb`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum DeclaredVerb {
    /// See [`super::verb::Verb::Inspect`].
    Inspect {
        /// What the operation wants of a component.
        goal: Goal,
    },
    /// See [`super::verb::Verb::TagImage`].
    TagImage,
    /// See [`super::verb::Verb::PowerOff`].
    PowerOff {
        /// How long PCS may take for Soft-Off.
        #[serde(with = "duration_option")]
        soft_off_within: Option<Duration>,
        /// How long PCS may take for Force-Off.
        #[serde(with = "duration_option")]
        force_off_within: Option<Duration>,
    },
    /// See [`super::verb::Verb::SetBootParameters`].
    SetBootParameters,
    /// See [`super::verb::Verb::StageConfiguration`].
    StageConfiguration {
        /// Whether CFS may begin at once.
        enable: bool,
    },
    /// See [`super::verb::Verb::PowerOn`].
    PowerOn {
        /// How long PCS may take for one try.
        #[serde(with = "duration_option")]
        within: Option<Duration>,
        /// How often On is tried.
        tries: Option<NonZeroU16>,
    },
    /// See [`super::verb::Verb::AwaitBoot`].
    AwaitBoot,
    /// See [`super::verb::Verb::AwaitConfiguration`].
    AwaitConfiguration,
    /// See [`super::verb::Verb::Http`].
    Http(HttpStep),
    /// See [`super::verb::Verb::Job`].
    Job(JobStep),
}

impl DeclaredVerb {
    /// Whether its first call is a component's way through its gate: it changes a node that somebody may be using.
    pub fn disturbs(&self) -> bool {
        matches!(
            self,
            Self::PowerOff { .. } | Self::PowerOn { .. } | Self::StageConfiguration { enable: true }
        )
    }
}

/// The order a barrier follows. Where no boot set has an ordinal there is no barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierOrder {
    /// By `boot_ordinal`; a boot set without one goes last.
    BootOrdinal,
    /// By `shutdown_ordinal`; a boot set without one goes first.
    ShutdownOrdinal,
    /// Everybody's `after` before anybody's `before`, wherever ordinals order anything at all.
    All,
}

/// What a step is meant for. A closed list, not an expression language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The slice has a configuration (`enable_cfs`).
    Configured,
    /// The slice's root file system is projected (`sbps`).
    Projected,
    /// `inspect` decided that the component is to be switched off (off, or power cycle).
    PowersOff,
    /// `inspect` decided that the component is to be switched on (on, or power cycle).
    PowersOn,
    /// `inspect` decided that the component stays up and is only configured.
    StaysUp,
    /// `inspect` decided that the component ends up with its configuration: on, power cycle or configuration only.
    EndsUp,
}

/// Durations as people write them (`90s`, `5m`).
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes `5m`.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    /// Reads `5m`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|error| D::Error::custom(format!("'{text}' is not a duration: {error}")))
    }
}

mod duration_option {
    use std::time::Duration;

    use serde::Serializer;

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }
}
