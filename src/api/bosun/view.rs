//! A session as our own API shows it. Pure: rows in, JSON out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    db::{result::FailureGroup, session::Session, step::StepRow},
    model::{
        checkpoint::StepCounters,
        session::SessionState,
        xname::{self, Xname},
    },
};

/// Most names of one error that are read where not all are asked for.
pub const NAMES_MAX: i32 = 1_000;
/// Longest list of components that is shown where not all are asked for.
const FOLDED_CHARS_MAX: usize = 2_000;

/// The keys of `bosun session show -o json`.
pub fn session(session: &Session, steps: &[StepRow], errors: Vec<Value>) -> Value {
    let counts = Counts::of(session, steps);
    let end = session.ended_at.unwrap_or(session.now);
    let seconds = session.started_at.map(|start| (end - start).num_milliseconds().max(0) as f64 / 1_000.0);
    let mut shown = json!({
        "id": session.id,
        "name": session.new.name,
        "operation": session.new.operation,
        "state": session.state,
        "outcome": session.outcome,
        "targeted": counts.targeted,
        "not_reached": counts.not_reached,
        "in_flight": counts.in_flight,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "retry_command": session.retry_command,
        "plan_hash": session.plan_hash,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "seconds": seconds,
        "steps": steps.iter().map(|row| step(row, session.state)).collect::<Vec<_>>(),
        "errors": errors,
    });
    if let Some(reason) = session.error.as_ref().or(session.reason.as_ref()) {
        shown["reason"] = json!(reason);
    }
    shown
}

/// A line of the list of sessions.
pub fn line(session: &Session) -> Value {
    json!({
        "id": session.id,
        "name": session.new.name,
        "tenant": if session.new.tenant.is_empty() { Value::Null } else { json!(session.new.tenant) },
        "operation": session.new.operation,
        "template": session.new.template_name,
        "limit": session.new.limit,
        "state": session.state,
        "outcome": session.outcome,
        "reason": session.error.as_ref().or(session.reason.as_ref()),
        "targeted": session.members,
        "succeeded": session.succeeded,
        "failed": session.failed,
        "skipped": session.skipped + session.skipped_at_admission,
        "actor": session.new.actor,
        "created_at": session.created_at,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
    })
}

/// A step with its counters.
pub fn step(row: &StepRow, session: SessionState) -> Value {
    let counters = &row.counters;
    json!({
        "name": row.name,
        "verb": row.verb,
        "state": step_state(counters, session),
        "targeted": targeted(counters),
        "not_reached": counters.not_reached,
        "in_flight": counters.in_flight,
        "succeeded": counters.succeeded,
        "failed": counters.failed,
        "skipped": counters.skipped,
        "attempts": counters.attempts,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    })
}

fn targeted(counters: &StepCounters) -> i32 {
    counters.not_reached + counters.in_flight + counters.succeeded + counters.failed + counters.skipped
}

/// Where a step is, in one word.
fn step_state(counters: &StepCounters, session: SessionState) -> &'static str {
    let open = counters.not_reached + counters.in_flight > 0;
    let begun = counters.in_flight + counters.succeeded + counters.failed > 0;
    match (open, begun, counters.succeeded > 0, counters.failed > 0) {
        (true, false, ..) => "waiting",
        (true, true, ..) => "running",
        (false, _, true, false) => "succeeded",
        (false, _, true, true) => "partial",
        (false, _, false, true) => "failed",
        (false, _, false, false) if counters.skipped > 0 => "skipped",
        // Everybody passed it: whoever is still on the way may, too.
        (false, _, false, false) => {
            if session == SessionState::Ended {
                "passed"
            } else {
                "waiting"
            }
        }
    }
}

/// Equal failures with their components, folded.
pub fn error(group: &FailureGroup, full: bool) -> Value {
    let error = if group.error.is_empty() {
        group.reason.clone()
    } else {
        format!("{}: {}", group.reason, group.error)
    };
    let mut components = fold(&group.xnames);
    let missing = i64::try_from(group.xnames.len()).unwrap_or(i64::MAX) < group.count;
    if !full && (missing || components.len() > FOLDED_CHARS_MAX) {
        let end =
            (0..=FOLDED_CHARS_MAX.min(components.len())).rev().find(|end| components.is_char_boundary(*end));
        components.truncate(end.unwrap_or(0));
        components.push('…');
    }
    json!({"step": group.step, "error": error, "count": group.count, "components": components})
}

/// Folds names; what is no node's name is kept as it is.
pub fn fold(names: &[String]) -> String {
    let mut xnames: Vec<Xname> = Vec::with_capacity(names.len());
    let mut others: Vec<&str> = Vec::new();
    for name in names {
        match name.parse() {
            Ok(xname) => xnames.push(xname),
            Err(_) => others.push(name),
        }
    }
    let folded = xname::fold(&xnames);
    if !folded.is_empty() {
        others.insert(0, &folded);
    }
    others.join(",")
}

/// A session's components by where they are; each counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    targeted: i32,
    not_reached: i32,
    in_flight: i32,
    succeeded: i32,
    failed: i32,
    skipped: i32,
}

impl Counts {
    /// At the end what the writer counted. Before it, what the steps' counters tell: whoever is through the last step
    /// of a boot set succeeded; who passes that step is in flight until the end.
    fn of(session: &Session, steps: &[StepRow]) -> Self {
        let targeted = session.members;
        if session.state == SessionState::Ended {
            let skipped = session.skipped + session.skipped_at_admission;
            let (succeeded, failed) = (session.succeeded, session.failed);
            // A session that was rejected has members of whom nothing was done.
            let not_reached = targeted - succeeded - failed - skipped;
            return Self { targeted, not_reached, in_flight: 0, succeeded, failed, skipped };
        }
        let mut counts = Self { targeted, skipped: session.skipped_at_admission, ..Self::default() };
        let mut boot_sets: BTreeMap<&str, Vec<&StepRow>> = BTreeMap::new();
        for step in steps {
            boot_sets.entry(boot_set(step)).or_default().push(step);
        }
        for slice in boot_sets.values() {
            let failed: i32 = slice.iter().map(|step| step.counters.failed).sum();
            counts.failed += failed;
            counts.not_reached += slice.first().map_or(0, |step| step.counters.not_reached);
            if let Some(last) = slice.iter().rev().find(|step| targeted_by(step) > 0) {
                counts.succeeded += last.counters.succeeded;
                // Downstream of a failure everybody counts as skipped.
                counts.skipped += (last.counters.skipped - (failed - last.counters.failed)).max(0);
            }
        }
        let settled = counts.not_reached + counts.succeeded + counts.failed + counts.skipped;
        if steps.is_empty() {
            counts.not_reached = targeted - counts.skipped;
        } else {
            counts.in_flight = (targeted - settled).max(0);
            counts.not_reached =
                targeted - counts.in_flight - counts.succeeded - counts.failed - counts.skipped;
        }
        counts
    }
}

fn targeted_by(step: &StepRow) -> i32 {
    targeted(&step.counters)
}

fn boot_set(step: &StepRow) -> &str {
    step.name.rsplit_once('/').map_or("", |(boot_set, _)| boot_set)
}
