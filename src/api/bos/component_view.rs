//! Components as BOS shows and takes them: sparse, what was never written is not there.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::time;
use crate::{
    admit::STAGED_TENANT,
    api::ApiError,
    db::component::{
        ArtifactsPatch, Component, ComponentPatch, EventStats, LastActionPatch, State, StatePatch,
        StatusPatch,
    },
    model::Timestamp,
};

/// A record; with `computed`, with the status that follows from it.
pub fn show(component: &Component, computed: bool) -> Value {
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            shown.insert(key.to_owned(), value);
        }
    };
    put("id", json!(component.xname));
    put("enabled", json!(component.enabled));
    put("error", json!(component.error));
    put("session", json!(component.session));
    put("retry_policy", json!(component.retry_policy));
    put("actual_state", state(&component.actual));
    put("desired_state", state(&component.desired));
    put("staged_state", staged(component.staged.as_ref()));
    let action = &component.last_action;
    put(
        "last_action",
        object(&[
            ("action", json!(action.action)),
            ("failed", json!(action.failed)),
            ("last_updated", json!(action.last_updated.map(time::show))),
        ]),
    );
    let stats = &component.event_stats;
    put(
        "event_stats",
        object(&[
            ("power_on_attempts", json!(stats.power_on_attempts)),
            ("power_off_graceful_attempts", json!(stats.power_off_graceful_attempts)),
            ("power_off_forceful_attempts", json!(stats.power_off_forceful_attempts)),
        ]),
    );
    put("status", status(component, computed));
    Value::Object(shown)
}

fn status(component: &Component, computed: bool) -> Value {
    if !computed {
        return object(&[
            ("phase", json!(component.phase)),
            ("status_override", json!(component.status_override)),
        ]);
    }
    json!({
        "phase": component.phase.as_deref().unwrap_or_default(),
        "status": component.status,
        "status_override": component.status_override.as_deref().unwrap_or_default(),
    })
}

fn state(state: &State) -> Value {
    let artifacts = state.artifacts.as_ref().map(|artifacts| {
        json!({
            "kernel": artifacts.kernel,
            "initrd": artifacts.initrd,
            "kernel_parameters": artifacts.kernel_parameters,
        })
    });
    object(&[
        ("boot_artifacts", json!(artifacts)),
        ("bss_token", json!(state.token)),
        ("configuration", json!(state.configuration)),
        ("last_updated", json!(state.updated_at.map(time::show))),
    ])
}

/// As it was written, with the time as BOS writes it, and without whose session it is.
fn staged(document: Option<&Value>) -> Value {
    let mut shown = json!(document);
    if let Value::Object(fields) = &mut shown {
        fields.remove(STAGED_TENANT);
    }
    let at = shown["last_updated"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(at) = at {
        shown["last_updated"] = json!(time::show(at));
    } else if let Value::Object(fields) = &mut shown {
        fields.remove("last_updated");
    }
    shown
}

/// The entries that are there; nothing at all without any.
fn object(entries: &[(&str, Value)]) -> Value {
    let there = entries.iter().filter(|(_, value)| !value.is_null());
    let object: Map<String, Value> = there.map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    if object.is_empty() { Value::Null } else { Value::Object(object) }
}

/// A body whose shape has been checked.
#[derive(Deserialize)]
struct Body {
    enabled: Option<bool>,
    error: Option<String>,
    session: Option<String>,
    retry_policy: Option<i32>,
    actual_state: Option<StateBody>,
    desired_state: Option<StateBody>,
    staged_state: Option<Value>,
    status: Option<StatusBody>,
    last_action: Option<LastActionBody>,
    event_stats: Option<EventStatsBody>,
}

#[derive(Deserialize)]
struct StateBody {
    boot_artifacts: Option<ArtifactsBody>,
    configuration: Option<String>,
    bss_token: Option<String>,
}

#[derive(Deserialize)]
struct ArtifactsBody {
    kernel: Option<String>,
    initrd: Option<String>,
    kernel_parameters: Option<String>,
}

#[derive(Deserialize)]
struct StatusBody {
    phase: Option<String>,
    status_override: Option<String>,
}

#[derive(Deserialize)]
struct LastActionBody {
    action: Option<String>,
    failed: Option<bool>,
}

#[derive(Deserialize)]
struct EventStatsBody {
    power_on_attempts: Option<i32>,
    power_off_graceful_attempts: Option<i32>,
    power_off_forceful_attempts: Option<i32>,
}

/// Reads a PATCH or PUT whose shape has been checked.
///
/// # Errors
/// 400: the shape had not been checked after all.
pub fn read(body: Value) -> Result<ComponentPatch, ApiError> {
    let body: Body =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(ComponentPatch {
        enabled: body.enabled,
        error: body.error,
        session: body.session,
        retry_policy: body.retry_policy,
        actual: body.actual_state.map(state_patch),
        desired: body.desired_state.map(state_patch),
        staged: body.staged_state,
        status: body
            .status
            .map(|status| StatusPatch { phase: status.phase, status_override: status.status_override }),
        last_action: body
            .last_action
            .map(|action| LastActionPatch { action: action.action, failed: action.failed }),
        event_stats: body.event_stats.map(|stats| EventStats {
            power_on_attempts: stats.power_on_attempts,
            power_off_graceful_attempts: stats.power_off_graceful_attempts,
            power_off_forceful_attempts: stats.power_off_forceful_attempts,
        }),
    })
}

fn state_patch(body: StateBody) -> StatePatch {
    StatePatch {
        boot_artifacts: body.boot_artifacts.map(|artifacts| ArtifactsPatch {
            kernel: artifacts.kernel,
            initrd: artifacts.initrd,
            kernel_parameters: artifacts.kernel_parameters,
        }),
        configuration: body.configuration,
        bss_token: body.bss_token,
    }
}

/// A body that is nothing but a node's report: its token.
pub fn report(body: &Value) -> Option<&str> {
    let fields = body.as_object()?;
    let only =
        |fields: &Map<String, Value>, known: &[&str]| fields.keys().all(|key| known.contains(&key.as_str()));
    let state = fields.get("actual_state")?.as_object()?;
    let token = state.get("bss_token")?.as_str().filter(|token| !token.is_empty())?;
    (only(fields, &["id", "actual_state"]) && only(state, &["bss_token"])).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_token_and_nothing_else() {
        assert_eq!(report(&json!({"id": "x1", "actual_state": {"bss_token": "t"}})), Some("t"));
        assert_eq!(report(&json!({"actual_state": {"bss_token": "t"}, "enabled": false})), None);
        assert_eq!(report(&json!({"actual_state": {"bss_token": "t", "boot_artifacts": {}}})), None);
        assert_eq!(report(&json!({"actual_state": {"bss_token": ""}})), None);
        assert_eq!(report(&json!({"actual_state": {}})), None);
    }
}
