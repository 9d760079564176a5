//! What a PCS transition says of one component, and what has to be asked before it is believed. Pure.
//!
//! A transition's status says nothing about success; its tasks do, and not all of theirs is to be believed: "already
//! in desired state" comes from a table that may be older than our own last power action.

use std::time::Duration;

use super::{goal, is_calm, since, words::clean};
use crate::{
    clients::pcs::{PowerState, Task, TaskStatus, TransitionStatus},
    model::{
        Timestamp,
        reason::{Reason, ReasonCode},
        verb::{Member, Power, Seen},
    },
};

/// What is heard of a component through its transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// All that is to be known.
    Settled(Seen),
    /// PCS found it at the goal and did nothing.
    AlreadyThere,
    /// Somebody has reserved it, or an administrator locked it; HSM knows which. PCS' words.
    Reserved(String),
    /// PCS is at work.
    Underway,
    /// PCS does no more, and does not say what came of it.
    Unknown,
    /// PCS has forgotten the transition; another replica may still be at it.
    Forgotten,
    /// There is no transition that we know of, or it cannot be asked for now.
    Nothing,
}

/// What is needed to judge a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing more.
    Nothing(Seen),
    /// Its power state: at the goal it is reached, and this otherwise.
    PowerState(Seen),
    /// Whether it is locked. PCS' words.
    Lock(String),
}

/// The times a judgement needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Postgres' time of the observation.
    pub now: Timestamp,
    /// How long PCS' table may lag behind a power action.
    pub staleness: Duration,
}

/// How the open effect on a component stands in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// When its intent was written.
    pub intended_at: Timestamp,
    /// PCS' own deadline for it.
    pub within: Duration,
}

/// The reason for a component that did not get there in time.
pub(super) fn timed_out(power: Power, text: &str) -> Reason {
    let code = match power {
        Power::Off => ReasonCode::PowerOffTimeout,
        Power::On => ReasonCode::PowerOnTimeout,
    };
    Reason::new(code, clean(text))
}

/// The reason for a component that could not be acted on.
pub(super) fn failed(power: Power, text: &str) -> Reason {
    let code = match power {
        Power::Off => ReasonCode::PowerOffFailed,
        Power::On => ReasonCode::PowerOnFailed,
    };
    Reason::new(code, clean(text))
}

/// Reads a task of a transition. While it starts, PCS shows no task at all: that is not "done".
pub(super) fn hear(power: Power, status: TransitionStatus, task: Option<&Task>) -> Heard {
    let is_over = status != TransitionStatus::Underway;
    let unsettled = if is_over { Heard::Unknown } else { Heard::Underway };
    let Some(task) = task else { return unsettled };
    match task.status {
        TaskStatus::Underway => unsettled,
        TaskStatus::Succeeded if task.description.to_ascii_lowercase().contains("confirmed") => {
            Heard::Settled(Seen::Reached(None))
        }
        TaskStatus::Succeeded => Heard::AlreadyThere,
        TaskStatus::Failed => hear_failure(power, task),
        TaskStatus::Unsupported => Heard::Settled(Seen::Spent(failed(power, &all_words(task)))),
    }
}

fn hear_failure(power: Power, task: &Task) -> Heard {
    let words = all_words(task).to_ascii_lowercase();
    let says = |phrase: &str| words.contains(phrase);
    if says("unable to reserve component") || says("invalid deputy key") {
        Heard::Reserved(task.error.clone())
    } else if says("aborted") {
        Heard::Unknown
    } else if says("missing xname") || says("invalid xname") || says("xname not found in hsm") {
        Heard::Settled(Seen::Failed(Reason::new(ReasonCode::UnknownToPowerControl, clean(&task.error))))
    } else if says("hsm data") || says("reservations") {
        // Not this component's trouble: PCS could not ask HSM.
        Heard::Settled(Seen::Busy(Reason::new(ReasonCode::ServiceUnavailable, clean(&all_words(task)))))
    } else if says("timeout waiting") {
        Heard::Settled(Seen::Spent(timed_out(power, &task.error)))
    } else {
        Heard::Settled(Seen::Spent(failed(power, &all_words(task))))
    }
}

/// Description and error; the general phrase PCS puts before every failure says nothing.
fn all_words(task: &Task) -> String {
    let description = match task.description.as_str() {
        "Failed to achieve transition" if !task.error.is_empty() => "",
        description => description,
    };
    let parts: Vec<&str> =
        [description, task.error.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

/// What is still needed to judge a component.
pub(super) fn need(
    power: Power,
    heard: Heard,
    member: &Member<'_>,
    sent: Option<Sent>,
    times: Times,
) -> Need {
    let is_calm = is_calm(member, times.now, times.staleness);
    let sent_for = sent.map_or(Duration::ZERO, |sent| since(sent.intended_at, times.now));
    let within = sent.map_or(Duration::ZERO, |sent| sent.within);
    let spent =
        |why: &str| Seen::Spent(timed_out(power, &format!("{why} and the node is not {}", goal(power))));
    let table = |otherwise| if is_calm { Need::PowerState(otherwise) } else { Need::Nothing(Seen::Pending) };
    match heard {
        Heard::Settled(seen) => Need::Nothing(seen),
        Heard::Underway => Need::Nothing(Seen::Pending),
        Heard::Reserved(words) => Need::Lock(words),
        Heard::AlreadyThere => table(spent("power control saw nothing to do,")),
        // Commands that were sent before an abort still take effect, and the table shows that only later.
        Heard::Unknown if sent_for >= times.staleness => {
            table(spent("the transition ended without a result,"))
        }
        Heard::Forgotten if sent_for >= within + times.staleness => {
            table(spent("power control has forgotten the transition,"))
        }
        Heard::Unknown | Heard::Forgotten | Heard::Nothing => table(Seen::Pending),
    }
}

/// The verdict, once the power state is known.
pub(super) fn settle(power: Power, state: Option<PowerState>, otherwise: Seen) -> Seen {
    match (power, state) {
        (Power::Off, Some(PowerState::Off)) | (Power::On, Some(PowerState::On)) => Seen::Reached(None),
        _ => otherwise,
    }
}

/// The verdict on a component that could not be reserved, once HSM was asked.
pub(super) fn reserved(power: Power, is_locked: bool, words: &str) -> Seen {
    if is_locked {
        Seen::Skipped(Reason::new(ReasonCode::Locked, "locked in HSM"))
    } else {
        Seen::Busy(failed(power, words))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{member, moment},
        *,
    };

    fn task(status: TaskStatus, description: &str, error: &str) -> Task {
        Task { xname: String::new(), status, description: description.to_owned(), error: error.to_owned() }
    }

    /// What a failed task is heard as, with PCS' general phrase before it.
    fn failure(error: &str) -> Heard {
        let task = task(TaskStatus::Failed, "Failed to achieve transition", error);
        hear(Power::Off, TransitionStatus::Completed, Some(&task))
    }

    fn code(heard: Heard) -> (&'static str, ReasonCode) {
        match heard {
            Heard::Settled(Seen::Spent(reason)) => ("spent", reason.code),
            Heard::Settled(Seen::Busy(reason)) => ("busy", reason.code),
            Heard::Settled(Seen::Failed(reason)) => ("failed", reason.code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_confirmed_task_is_believed_at_once() {
        let over = TransitionStatus::Completed;
        let confirmed = task(TaskStatus::Succeeded, "Transition confirmed, forceoff", "");
        assert_eq!(hear(Power::Off, over, Some(&confirmed)), Heard::Settled(Seen::Reached(None)));
        let already = task(TaskStatus::Succeeded, "Component already in desired state", "");
        assert_eq!(hear(Power::Off, over, Some(&already)), Heard::AlreadyThere);
        assert_eq!(hear(Power::Off, over, Some(&task(TaskStatus::Succeeded, "", ""))), Heard::AlreadyThere);
    }

    #[test]
    fn completed_is_not_success_and_none_of_none_is_not_done() {
        let working = task(TaskStatus::Underway, "Confirming successful transition, on", "");
        for (status, task, heard) in [
            (TransitionStatus::Underway, None, Heard::Underway),
            (TransitionStatus::Underway, Some(&working), Heard::Underway),
            (TransitionStatus::Completed, None, Heard::Unknown),
            (TransitionStatus::Completed, Some(&working), Heard::Unknown),
            (TransitionStatus::Aborted, Some(&working), Heard::Unknown),
        ] {
            assert_eq!(hear(Power::On, status, task), heard, "{status:?} {task:?}");
        }
    }

    #[test]
    fn every_failure_has_its_name() {
        use ReasonCode::*;
        for (error, verdict) in [
            ("Missing xname", ("failed", UnknownToPowerControl)),
            ("Invalid xname", ("failed", UnknownToPowerControl)),
            ("Xname not found in HSM", ("failed", UnknownToPowerControl)),
            ("Error retrieving HSM data", ("busy", ServiceUnavailable)),
            ("ERROR aquiring needed reservations: status 500", ("busy", ServiceUnavailable)),
            ("Timeout waiting for transition, gracefulshutdown.", ("spent", PowerOffTimeout)),
            ("Post \"https://x1c0s0b0/redfish\": connection refused", ("spent", PowerOffFailed)),
        ] {
            assert_eq!(code(failure(error)), verdict, "{error}");
        }
        for error in ["Unable to reserve component", "Invalid deputy key and unable to reserve component"] {
            assert_eq!(failure(error), Heard::Reserved(error.to_owned()));
        }
        assert_eq!(failure("Transition aborted"), Heard::Unknown);
        let unsupported = task(TaskStatus::Unsupported, "No power control for component type Processor", "");
        let heard = hear(Power::On, TransitionStatus::Completed, Some(&unsupported));
        assert_eq!(code(heard), ("spent", PowerOnFailed));
    }

    #[test]
    fn already_there_counts_only_when_the_table_is_fresh_and_agrees() {
        let xname = "x1c0s0b0n0".parse().unwrap();
        let times = Times { now: moment(100), staleness: Duration::from_secs(45) };
        let stale = Member { last_power: Some(moment(99)), ..member(&xname) };
        assert_eq!(need(Power::Off, Heard::AlreadyThere, &stale, None, times), Need::Nothing(Seen::Pending));
        let fresh = Member { last_power: Some(moment(10)), ..member(&xname) };
        let Need::PowerState(otherwise) = need(Power::Off, Heard::AlreadyThere, &fresh, None, times) else {
            panic!("the table must be asked")
        };
        assert_eq!(settle(Power::Off, Some(PowerState::Off), otherwise.clone()), Seen::Reached(None));
        let Seen::Spent(reason) = settle(Power::Off, Some(PowerState::On), otherwise) else {
            panic!("on is not off")
        };
        assert_eq!(reason.code, ReasonCode::PowerOffTimeout);
    }

    #[test]
    fn an_ended_transition_without_a_result_is_judged_by_the_table_once_it_is_fresh() {
        let xname = "x1c0s0b0n0".parse().unwrap();
        let member = member(&xname);
        let staleness = Duration::from_secs(45);
        let sent = Some(Sent { intended_at: moment(0), within: Duration::from_secs(60) });
        let at =
            |heard, seconds| need(Power::On, heard, &member, sent, Times { now: moment(seconds), staleness });
        assert_eq!(at(Heard::Unknown, 44), Need::PowerState(Seen::Pending));
        assert!(matches!(at(Heard::Unknown, 45), Need::PowerState(Seen::Spent(_))));
        assert_eq!(at(Heard::Forgotten, 104), Need::PowerState(Seen::Pending));
        assert!(matches!(at(Heard::Forgotten, 105), Need::PowerState(Seen::Spent(_))));
        assert_eq!(
            at(Heard::Nothing, 9999),
            Need::PowerState(Seen::Pending),
            "a lost call may still turn up"
        );
    }

    #[test]
    fn undefined_is_no_goal() {
        for power in [Power::Off, Power::On] {
            assert_eq!(settle(power, Some(PowerState::Undefined), Seen::Pending), Seen::Pending);
            assert_eq!(settle(power, None, Seen::Pending), Seen::Pending);
        }
    }

    #[test]
    fn reserved_is_busy_unless_an_administrator_locked_it() {
        let words = "Unable to reserve component";
        assert_eq!(
            code(Heard::Settled(reserved(Power::On, false, words))),
            ("busy", ReasonCode::PowerOnFailed)
        );
        assert!(
            matches!(reserved(Power::On, true, words), Seen::Skipped(reason) if reason.code == ReasonCode::Locked)
        );
    }
}
