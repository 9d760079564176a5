//! Why a component failed, was skipped, or was sent back: a closed list, so that a failure always has a name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a reason. Stable: scripts, SQL and the failure catalogue use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name says what it means; the texts are in `meaning`")]
pub enum ReasonCode {
    PowerOffTimeout,
    PowerOffFailed,
    PowerOnTimeout,
    PowerOnFailed,
    BootTimeout,
    ConfigurationFailed,
    ConfigurationTimeout,
    ConfigurationMissing,
    BootParametersRejected,
    ImageTagFailed,
    WebhookFailed,
    JobFailed,
    UnknownToPowerControl,
    UnknownArtifacts,
    ServiceUnavailable,
    Rejected,
    StepTimeout,
    TooManyAttempts,
    Locked,
    Disabled,
    Empty,
    WrongArchitecture,
    UnknownComponent,
    NotANode,
    Quarantined,
    ParentOff,
    Claimed,
    TakenOver,
    DisabledByActor,
    SkippedByActor,
    PassedByActor,
    Cancelled,
    RetriedByActor,
    WindowClosed,
}

impl ReasonCode {
    /// Failures of a service rather than of the node.
    pub const OF_SERVICES: [Self; 2] = [Self::ServiceUnavailable, Self::ConfigurationMissing];

    /// The stable label, as in SQL and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::PowerOffTimeout => "power_off_timeout",
            Self::PowerOffFailed => "power_off_failed",
            Self::PowerOnTimeout => "power_on_timeout",
            Self::PowerOnFailed => "power_on_failed",
            Self::BootTimeout => "boot_timeout",
            Self::ConfigurationFailed => "configuration_failed",
            Self::ConfigurationTimeout => "configuration_timeout",
            Self::ConfigurationMissing => "configuration_missing",
            Self::BootParametersRejected => "boot_parameters_rejected",
            Self::ImageTagFailed => "image_tag_failed",
            Self::WebhookFailed => "webhook_failed",
            Self::JobFailed => "job_failed",
            Self::UnknownToPowerControl => "unknown_to_power_control",
            Self::UnknownArtifacts => "unknown_artifacts",
            Self::ServiceUnavailable => "service_unavailable",
            Self::Rejected => "rejected",
            Self::StepTimeout => "step_timeout",
            Self::TooManyAttempts => "too_many_attempts",
            Self::Locked => "locked",
            Self::Disabled => "disabled",
            Self::Empty => "empty",
            Self::WrongArchitecture => "wrong_architecture",
            Self::UnknownComponent => "unknown_component",
            Self::NotANode => "not_a_node",
            Self::Quarantined => "quarantined",
            Self::ParentOff => "parent_off",
            Self::Claimed => "claimed",
            Self::TakenOver => "taken_over",
            Self::DisabledByActor => "disabled_by_actor",
            Self::SkippedByActor => "skipped_by_actor",
            Self::PassedByActor => "passed_by_actor",
            Self::Cancelled => "cancelled",
            Self::RetriedByActor => "retried_by_actor",
            Self::WindowClosed => "window_closed",
        }
    }

    /// The reason with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(label.to_owned())).ok()
    }

    /// Whether the service had failed rather than the node: a retry then starts at the step itself, not where
    /// the step sends a failed node back to.
    pub fn is_the_services(self) -> bool {
        Self::OF_SERVICES.contains(&self)
    }
}

/// A reason with what the service said. The text names no component, so that equal failures of a thousand nodes
/// are one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// The name.
    pub code: ReasonCode,
    /// What the service said, or an empty string.
    pub text: String,
}

impl Reason {
    /// A reason that needs no further text.
    pub fn bare(code: ReasonCode) -> Self {
        Self { code, text: String::new() }
    }

    /// A reason with the service's words.
    pub fn new(code: ReasonCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.label())?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}
