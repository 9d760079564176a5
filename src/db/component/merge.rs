//! BOS's rules for a PATCH of a component: what is merged, and what is set by itself. Pure.

use std::sync::Arc;

use serde_json::Value;

use crate::model::{Timestamp, artifacts::BootArtifacts};

use super::{Component, EventStats, State};

/// A PATCH (or PUT) of a component: what it names. A section that is named but empty counts as named.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComponentPatch {
    /// `enabled`.
    pub enabled: Option<bool>,
    /// `error`.
    pub error: Option<String>,
    /// `session`.
    pub session: Option<String>,
    /// `retry_policy`.
    pub retry_policy: Option<i32>,
    /// `actual_state`.
    pub actual: Option<StatePatch>,
    /// `desired_state`.
    pub desired: Option<StatePatch>,
    /// `staged_state`, as it came.
    pub staged: Option<Value>,
    /// `status`.
    pub status: Option<StatusPatch>,
    /// `last_action`.
    pub last_action: Option<LastActionPatch>,
    /// `event_stats`.
    pub event_stats: Option<EventStatsPatch>,
}

/// A PATCH of `actual_state` or `desired_state`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct StatePatch {
    pub boot_artifacts: Option<ArtifactsPatch>,
    pub configuration: Option<String>,
    pub bss_token: Option<String>,
}

impl StatePatch {
    /// BOS refreshes `last_updated` unless the token is all there is.
    fn refreshes(&self) -> bool {
        self.bss_token.is_none() || self.boot_artifacts.is_some() || self.configuration.is_some()
    }
}

/// A PATCH of `boot_artifacts`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct ArtifactsPatch {
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub kernel_parameters: Option<String>,
}

/// A PATCH of `status`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct StatusPatch {
    pub phase: Option<String>,
    pub status_override: Option<String>,
}

/// A PATCH of `last_action`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct LastActionPatch {
    pub action: Option<String>,
    pub failed: Option<bool>,
}

/// A PATCH of `event_stats`.
pub type EventStatsPatch = EventStats;

impl ComponentPatch {
    /// Whether it says anything that the engine says as well.
    pub(super) fn overrides_progress(&self) -> bool {
        self.error.is_some()
            || self.status.is_some()
            || self.last_action.is_some()
            || self.event_stats.is_some()
            || self.enabled == Some(true)
            || self.resets_attempts()
    }

    fn resets_attempts(&self) -> bool {
        self.desired
            .as_ref()
            .is_some_and(|desired| desired.boot_artifacts.is_some() || desired.configuration.is_some())
    }
}

impl Component {
    /// A record of which nothing was ever written (what a PUT begins with).
    pub(super) fn blank(&self) -> Self {
        Self {
            number: self.number,
            xname: self.xname.clone(),
            claimed_by: self.claimed_by,
            enabled: None,
            error: None,
            session: None,
            retry_policy: None,
            actual: State::default(),
            desired: State::default(),
            staged: None,
            phase: None,
            status_override: None,
            status: String::new(),
            last_action: super::LastAction::default(),
            event_stats: EventStats::default(),
        }
    }

    /// Applies a PATCH. `recorded`: what the token in its `actual_state` stands for, if it is known.
    pub(super) fn merge(
        &mut self,
        patch: &ComponentPatch,
        recorded: Option<Arc<BootArtifacts>>,
        now: Timestamp,
    ) {
        replace(&mut self.enabled, &patch.enabled);
        replace(&mut self.error, &patch.error);
        replace(&mut self.session, &patch.session);
        replace(&mut self.retry_policy, &patch.retry_policy);
        if let Some(actual) = &patch.actual {
            self.actual.merge(actual, now);
            if recorded.is_some() {
                self.actual.artifacts = recorded;
                self.actual.updated_at = Some(now);
            }
        }
        if let Some(desired) = &patch.desired {
            self.desired.merge(desired, now);
            if patch.session.as_deref().is_none_or(str::is_empty) {
                self.session = Some(String::new());
            }
        }
        if let Some(staged) = &patch.staged {
            let mut merged = self.staged.take().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            merge_documents(&mut merged, staged);
            merge_documents(&mut merged, &serde_json::json!({ "last_updated": now }));
            self.staged = Some(merged);
        }
        if patch.resets_attempts() {
            let none = Some(0);
            self.event_stats = EventStats {
                power_on_attempts: none,
                power_off_graceful_attempts: none,
                power_off_forceful_attempts: none,
            };
        }
        if let Some(stats) = &patch.event_stats
            && !patch.resets_attempts()
        {
            replace(&mut self.event_stats.power_on_attempts, &stats.power_on_attempts);
            replace(&mut self.event_stats.power_off_graceful_attempts, &stats.power_off_graceful_attempts);
            replace(&mut self.event_stats.power_off_forceful_attempts, &stats.power_off_forceful_attempts);
        }
        if let Some(status) = &patch.status {
            replace(&mut self.phase, &status.phase);
            replace(&mut self.status_override, &status.status_override);
        }
        if let Some(last_action) = &patch.last_action {
            replace(&mut self.last_action.action, &last_action.action);
            replace(&mut self.last_action.failed, &last_action.failed);
            self.last_action.last_updated = Some(now);
        }
        if patch.enabled == Some(true) {
            self.status_override = Some("on_hold".to_owned());
        }
    }
}

impl State {
    fn merge(&mut self, patch: &StatePatch, now: Timestamp) {
        if let Some(artifacts) = &patch.boot_artifacts {
            let mut merged = self.artifacts.as_deref().cloned().unwrap_or_default();
            let fields = [
                (&mut merged.kernel, &artifacts.kernel),
                (&mut merged.initrd, &artifacts.initrd),
                (&mut merged.kernel_parameters, &artifacts.kernel_parameters),
            ];
            for (field, value) in fields {
                if let Some(value) = value {
                    field.clone_from(value);
                }
            }
            self.artifacts = Some(Arc::new(merged));
        }
        replace(&mut self.configuration, &patch.configuration);
        replace(&mut self.token, &patch.bss_token);
        if patch.refreshes() {
            self.updated_at = Some(now);
        }
    }
}

fn replace<T: Clone>(field: &mut Option<T>, value: &Option<T>) {
    if value.is_some() {
        field.clone_from(value);
    }
}

/// Shallow, but for `boot_artifacts`, which is merged one level deeper.
fn merge_documents(document: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (document, patch) else { return };
    for (name, change) in changes {
        match fields.get_mut(name) {
            Some(field @ Value::Object(_)) if name == "boot_artifacts" => merge_documents(field, change),
            _ => {
                fields.insert(name.clone(), change.clone());
            }
        }
    }
}
