//! Sessions as BOS shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::time;
use crate::{
    db::{
        result::FailureGroup,
        session::{Counts, Session},
        session_record::SessionRecord,
    },
    model::session::SessionState,
};

/// How many components of one error are named.
pub const NAMES_SHOWN: i32 = 10;

/// A session with its members, as it is shown unless somebody wrote something over it.
pub fn show(session: &Session, members: &str, record: Option<&SessionRecord>) -> Value {
    let new = &session.new;
    let mut status = json!({
        "status": label(session.state),
        "start_time": time::show(session.created_at),
        "end_time": session.ended_at.map(time::show),
        "error": session.error,
    });
    if let (Some(status), Some(written)) =
        (status.as_object_mut(), record.and_then(|record| record.status.as_object()))
    {
        let moved_on = record.is_some_and(|record| record.over_label != label(session.state));
        let counts = |field: &str| !(moved_on && ["status", "end_time"].contains(&field));
        let written = written.iter().filter(|(field, _)| counts(field));
        status.extend(written.map(|(field, value)| (field.clone(), value.clone())));
    }
    json!({
        "name": new.name,
        "tenant": if new.tenant.is_empty() { Value::Null } else { json!(new.tenant) },
        "operation": new.operation,
        "template_name": new.template_name,
        "limit": new.limit,
        "stage": new.stage,
        "include_disabled": new.include_disabled,
        "components": record.and_then(|record| record.components.as_deref()).unwrap_or(members),
        "status": status,
    })
}

/// What a client sees as a session's status.
pub fn shown_label(session: &Session, record: Option<&SessionRecord>) -> String {
    show(session, "", record)["status"]["status"].as_str().unwrap_or_default().to_owned()
}

/// BOS knows three labels; a session that waits for an operator is still running.
pub fn label(state: SessionState) -> &'static str {
    match state {
        SessionState::Waiting => "pending",
        SessionState::Ended => "complete",
        _ => "running",
    }
}

/// What a session that is over has come to, whoever has its components now.
pub fn final_counts(session: &Session) -> Counts {
    Counts {
        components: i64::from(session.members - session.skipped_at_admission),
        succeeded: session.succeeded.into(),
        failed: session.failed.into(),
        skipped: i64::from(session.skipped - session.skipped_at_admission),
        ..Counts::default()
    }
}

/// BOS's extended status.
pub fn status(session: &Session, mut counts: Counts, staged: i64, failures: &[FailureGroup]) -> Value {
    counts.components += staged;
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
        "percent_staged": percent(staged),
        "error_summary": errors,
        "timing": {
            "start_time": time::show(session.created_at),
            "end_time": session.ended_at.map(time::show),
            "duration": time::duration(span),
        },
    })
}
