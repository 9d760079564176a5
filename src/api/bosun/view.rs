//! A session as our own API shows it. Pure: rows in, JSON out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    db::{
        hand_over::HandOver,
        result::FailureGroup,
        session::{Counts as ComponentCounts, Session},
        step::StepRow,
    },
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
pub fn session(
    session: &Session,
    steps: &[StepRow],
    shown: ComponentCounts,
    errors: Vec<Value>,
    hand_overs: &[HandOver],
) -> Value {
    let counts = Counts::of(session, steps, shown);
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
        "hand_overs": hand_overs.iter().map(hand_over).collect::<Vec<_>>(),
    });
    if let Some(reason) = session.error.as_ref().or(session.reason.as_ref()) {
        shown["reason"] = json!(reason);
    }
    shown
}

/// Components on their way from one session to another.
fn hand_over(hand_over: &HandOver) -> Value {
    let HandOver { holder, wanter, xnames } = hand_over;
    json!({"from": holder, "to": wanter, "count": xnames.len(), "components": fold(xnames)})
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

/// Everybody a step is meant for.
pub fn targeted(counters: &StepCounters) -> i32 {
    counters.not_reached + counters.in_flight + counters.succeeded + counters.failed + counters.skipped
}

/// Where a step is, in one word.
pub fn step_state(counters: &StepCounters, session: SessionState) -> &'static str {
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
pub struct Counts {
    /// Everybody.
    pub targeted: i32,
    /// Nothing has happened to them.
    pub not_reached: i32,
    /// On the way.
    pub in_flight: i32,
    /// Through.
    pub succeeded: i32,
    /// Failed.
    pub failed: i32,
    /// Left out, at admission or on the way.
    pub skipped: i32,
}

impl Counts {
    /// At the end what the writer counted. Before it, from what it holds and what failed or was left out: whoever it
    /// let go otherwise succeeded.
    pub fn of(session: &Session, steps: &[StepRow], shown: ComponentCounts) -> Self {
        let targeted = session.members;
        if session.state == SessionState::Ended {
            let skipped = session.skipped + session.skipped_at_admission;
            let (succeeded, failed) = (session.succeeded, session.failed);
            // A session that was rejected has members of whom nothing was done.
            let not_reached = targeted - succeeded - failed - skipped;
            return Self { targeted, not_reached, in_flight: 0, succeeded, failed, skipped };
        }
        let number = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        let part = targeted - session.skipped_at_admission;
        let held = number(shown.powering_off + shown.powering_on + shown.configuring + shown.resting);
        let skipped = number(shown.skipped).min(part);
        let failed = steps.iter().map(|step| step.counters.failed).sum::<i32>().min(part - skipped);
        let held = held.min(part - skipped - failed);
        // Everybody enters a boot set's first step before any other.
        let not_reached = first_steps(steps).map(|step| step.counters.not_reached).sum::<i32>().min(held);
        Self {
            targeted,
            not_reached: if steps.is_empty() { part } else { not_reached },
            in_flight: held - not_reached,
            succeeded: if steps.is_empty() { 0 } else { part - skipped - failed - held },
            failed,
            skipped: skipped + session.skipped_at_admission,
        }
    }
}

/// The first step of every boot set; they are in the order of the plan.
fn first_steps(steps: &[StepRow]) -> impl Iterator<Item = &StepRow> {
    let mut seen = BTreeSet::new();
    steps.iter().filter(move |step| seen.insert(boot_set(step)))
}

fn boot_set(step: &StepRow) -> &str {
    step.name.rsplit_once('/').map_or("", |(boot_set, _)| boot_set)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        db::session::{Api, NewSession},
        model::session::SessionId,
    };

    pub fn running(members: i32, skipped_at_admission: i32) -> Session {
        let now = chrono::DateTime::UNIX_EPOCH;
        Session {
            id: SessionId(1),
            new: NewSession {
                name: "s".parse().unwrap(),
                tenant: String::new(),
                operation: "reboot".to_owned(),
                template_name: "t".to_owned(),
                api: Api::Bosun,
                limit: String::new(),
                include_disabled: false,
                stage: false,
                request: json!({}),
                actor: "tester".to_owned(),
            },
            state: SessionState::Running,
            reason: None,
            outcome: None,
            error: None,
            members,
            skipped_at_admission,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            retry_command: None,
            plan_hash: None,
            created_at: now,
            admitted_at: Some(now),
            started_at: Some(now),
            ended_at: None,
            now,
        }
    }

    fn row(name: &str, not_reached: i32, in_flight: i32, failed: i32) -> StepRow {
        let counters = StepCounters { not_reached, in_flight, failed, ..StepCounters::default() };
        StepRow { name: name.to_owned(), verb: String::new(), counters, started_at: None, ended_at: None }
    }

    #[test]
    fn a_running_session_counts_everybody_once() {
        let steps = [row("a/inspect", 2, 1, 0), row("b/inspect", 1, 0, 0), row("a/power_off", 3, 2, 1)];
        // Of twelve two were left out at admission and one later, one failed, five are held, the rest is through.
        let shown = ComponentCounts { powering_off: 2, resting: 3, skipped: 1, ..ComponentCounts::default() };
        let counts = Counts::of(&running(12, 2), &steps, shown);
        assert_eq!(
            counts,
            Counts { targeted: 12, not_reached: 3, in_flight: 2, succeeded: 3, failed: 1, skipped: 3 }
        );
        let waiting = Counts::of(&running(0, 0), &[], ComponentCounts::default());
        assert_eq!(waiting, Counts::default());
    }

    #[test]
    fn a_step_is_one_word() {
        let state = |not_reached, in_flight, succeeded, failed, skipped| {
            let counters = StepCounters {
                not_reached,
                in_flight,
                succeeded,
                failed,
                skipped,
                ..StepCounters::default()
            };
            step_state(&counters, SessionState::Ended)
        };
        assert_eq!(state(1, 0, 0, 0, 0), "waiting");
        assert_eq!(state(1, 0, 1, 0, 0), "running");
        assert_eq!(state(0, 0, 1, 1, 1), "partial");
        assert_eq!(state(0, 0, 0, 1, 1), "failed");
        assert_eq!(state(0, 0, 2, 0, 1), "succeeded");
        assert_eq!(state(0, 0, 0, 0, 1), "skipped");
        assert_eq!(state(0, 0, 0, 0, 0), "passed");
    }

    #[test]
    fn what_is_no_node_keeps_its_name() {
        let names = ["x1000c0s0b0n1", "lamp", "x1000c0s0b0n0"].map(str::to_owned);
        assert_eq!(fold(&names), "x1000c0s0b0n[0-1],lamp");
    }
}
