//! Sessions as BOS shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::time;
use crate::{
    db::{
        result::FailureGroup,
        session::{Counts, Session},
    },
    model::session::SessionState,
};

/// How many components of one error are named.
pub const NAMES_SHOWN: i32 = 10;

/// A session with its members.
pub fn show(session: &Session, members: &[String]) -> Value {
    let new = &session.new;
    json!({
        "name": new.name,
        "tenant": if new.tenant.is_empty() { Value::Null } else { json!(new.tenant) },
        "operation": new.operation,
        "template_name": new.template_name,
        "limit": new.limit,
        "stage": new.stage,
        "include_disabled": new.include_disabled,
        "components": members.join(","),
        "status": {
            "status": label(session.state),
            "start_time": time::show(session.created_at),
            "end_time": session.ended_at.map(time::show),
            "error": session.error,
        },
    })
}

/// BOS knows three labels; a session that waits for an operator is still running.
pub fn label(state: SessionState) -> &'static str {
    match state {
        SessionState::Waiting => "pending",
        SessionState::Ended => "complete",
        _ => "running",
    }
}

/// BOS's extended status.
pub fn status(session: &Session, counts: Counts, failures: &[FailureGroup]) -> Value {
    let percent = |count: i64| {
        if counts.components == 0 {
            return 0.0;
        }
        (10_000.0 * count as f64 / counts.components as f64).round() / 100.0
    };
    let mut errors: BTreeMap<String, Value> = BTreeMap::new();
    for group in failures {
        let text = if group.error.is_empty() {
            group.reason.clone()
        } else {
            format!("{}: {}", group.reason, group.error)
        };
        let shown = usize::try_from(NAMES_SHOWN).unwrap_or(usize::MAX).min(group.xnames.len());
        let mut list = group.xnames[..shown].join(",");
        if group.xnames.len() > shown {
            list.push_str("...");
        }
        errors.insert(text, json!({"count": group.count, "list": list}));
    }
    let end = session.ended_at.unwrap_or(session.now);
    // Whole seconds once it is over, as BOS writes them.
    let mut span = end - session.created_at;
    if session.ended_at.is_some() {
        span = chrono::TimeDelta::seconds(span.num_seconds());
    }
    json!({
        "status": label(session.state),
        "managed_components_count": counts.components,
        "phases": {
            "percent_complete": percent(counts.succeeded + counts.failed),
            "percent_powering_on": percent(counts.powering_on),
            "percent_powering_off": percent(counts.powering_off),
            "percent_configuring": percent(counts.configuring),
        },
        "percent_successful": percent(counts.succeeded),
        "percent_failed": percent(counts.failed),
        "percent_staged": 0.0,
        "error_summary": errors,
        "timing": {
            "start_time": time::show(session.created_at),
            "end_time": session.ended_at.map(time::show),
            "duration": time::duration(span),
        },
    })
}
