//! Floor 2: the verbs, one file each: what a step asks of the services, and how their answers are read.
//!
//! A verb never waits, never repeats a write, and never sees the database. It makes bulk calls only. Reading an answer
//! is a pure function in every file (it is where the services' traps are), so that it can be tested as a table. A
//! component an observation does not mention is *unseen*: the question about it failed, and nothing may be concluded.

use std::{collections::HashMap, time::Duration};

use crate::{
    clients::Services,
    model::{
        Timestamp,
        plan::Ordinal,
        verb::{Answer, Call, CallError, Member, Power, Seen, Sight, Took, Verb},
    },
};

mod await_boot;
mod await_configuration;
mod configuration;
mod http;
mod inspect;
mod job;
mod power;
mod power_off;
mod power_on;
mod set_boot_parameters;
mod site;
mod stage_configuration;
mod tag_image;
mod transition;
mod words;

/// Makes the verb's one call. Level-triggered: "be off", "have these parameters".
///
/// # Errors
/// See [`CallError`]: each says whether the call may have been taken.
pub async fn act(verb: &Verb, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    match verb {
        Verb::TagImage {} => tag_image::act(at, call).await,
        Verb::PowerOff { .. } => power_off::act(verb, at, call).await,
        Verb::SetBootParameters {} => set_boot_parameters::act(at, call).await,
        Verb::StageConfiguration { enable } => stage_configuration::act(*enable, at, call).await,
        Verb::PowerOn { .. } => power_on::act(verb, at, call).await,
        Verb::Http(step) => http::act(step, at, call).await,
        Verb::Job(step) => job::act(step, at, call).await,
        Verb::Inspect { .. } | Verb::AwaitBoot {} | Verb::AwaitConfiguration {} => {
            Err(rejected(format!("'{}' only watches: it makes no calls", verb.name())))
        }
    }
}

/// Looks for a call whose answer was never recorded. None: not found so far; it may still turn up until it is dead.
/// Verbs that may simply say it again find nothing.
///
/// # Errors
/// As for a read: the service could not be asked.
pub async fn find(
    verb: &Verb,
    at: &Services,
    call: &Call<'_>,
    intended_at: Timestamp,
) -> Result<Option<Answer>, CallError> {
    match verb {
        Verb::PowerOff { .. } => power_off::find(verb, at, call, intended_at).await,
        Verb::PowerOn { .. } => power_on::find(verb, at, call, intended_at).await,
        Verb::Http(step) => http::find(step, at, call).await,
        Verb::Job(step) => job::find(step, at, call).await,
        _ => Ok(None),
    }
}

/// Asks about all components in sight at once. One that is not mentioned in the answer is unseen.
///
/// # Errors
/// Nothing could be learnt of anybody.
pub async fn observe(
    verb: &Verb,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    if sight.members.is_empty() {
        return Ok(Vec::new());
    }
    match verb {
        Verb::Inspect { goal } => inspect::observe(*goal, at, sight).await,
        Verb::PowerOff { .. } => power_off::observe(verb, at, sight).await,
        Verb::PowerOn { .. } => power_on::observe(verb, at, sight).await,
        Verb::AwaitBoot {} => await_boot::observe(at, sight).await,
        Verb::AwaitConfiguration {} => await_configuration::observe(at, sight).await,
        Verb::Http(step) => http::observe(step, at, sight).await,
        Verb::Job(step) => job::observe(step, at, sight).await,
        // Their effect is complete with the answer; there is nothing to look at.
        Verb::TagImage {} | Verb::SetBootParameters {} | Verb::StageConfiguration { .. } => Ok(Vec::new()),
    }
}

/// Asks PCS to abort the transition of a power effect (`cancel --now`, and an overdue hand-over). One that is over or
/// forgotten is as good as aborted; commands already sent are not undone.
///
/// # Errors
/// As for any write.
pub async fn abort(at: &Services, reference: &crate::model::effect::RemoteRef) -> Result<(), CallError> {
    Ok(at.pcs.abort_transition(&reference.0).await?)
}

/// A call that is complete with its answer.
fn done() -> Answer {
    Answer { reference: None, token: None, rest: Took::Done, named: Vec::new() }
}

fn rejected(text: String) -> CallError {
    CallError::Rejected { text, named: Vec::new() }
}

/// The members' names, as services want them.
fn names(members: &[Member<'_>]) -> Vec<String> {
    members.iter().map(|member| member.xname.to_string()).collect()
}

/// Whether PCS' table can no longer show the state before the last power effect on this component.
fn is_calm(member: &Member<'_>, now: Timestamp, staleness: Duration) -> bool {
    member.last_power.is_none_or(|at| since(at, now) >= staleness)
}

/// The time from one moment to another; nothing if they are the other way round.
fn since(at: Timestamp, now: Timestamp) -> Duration {
    (now - at).to_std().unwrap_or_default()
}

/// What was learnt, or why nothing was.
fn learnt(seen: Vec<(Ordinal, Seen)>, trouble: Option<CallError>) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    match trouble {
        Some(error) if seen.is_empty() => Err(error),
        _ => Ok(seen),
    }
}

/// The newest effect that covers each component, by its place in `open`.
fn covering(sight: &Sight<'_>) -> HashMap<Ordinal, usize> {
    let mut order: Vec<usize> = (0..sight.open.len()).collect();
    order.sort_by_key(|index| sight.open[*index].effect);
    order
        .into_iter()
        .flat_map(|index| sight.open[index].members.iter().map(move |ordinal| (*ordinal, index)))
        .collect()
}

/// The direction, in the words of a sentence.
fn goal(power: Power) -> &'static str {
    match power {
        Power::Off => "off",
        Power::On => "on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{component::Report, session::SessionId, verb::Shared, xname::Xname};

    /// What a call shares, for tables.
    pub fn shared<'a>() -> Shared<'a> {
        Shared {
            session: "s",
            session_id: SessionId(7),
            step: "compute/step",
            others: &[],
            artifacts: None,
            artifacts_id: None,
            image: None,
            configuration: None,
            now: moment(0),
        }
    }

    /// A member at rest, for tables.
    pub fn member(xname: &Xname) -> Member<'_> {
        Member {
            ordinal: Ordinal(0),
            xname,
            rung: 0,
            since: moment(0),
            last_power: None,
            powered_on: None,
            noticed: false,
            reported: None::<&Report>,
        }
    }

    /// Seconds after an arbitrary beginning.
    pub fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn the_table_is_stale_for_a_sample_and_a_confirmation() {
        let xname = "x1c0s0b0n0".parse().unwrap();
        let window = Duration::from_secs(45);
        assert!(is_calm(&member(&xname), moment(0), window), "never touched");
        let touched = Member { last_power: Some(moment(0)), ..member(&xname) };
        assert!(!is_calm(&touched, moment(44), window));
        assert!(is_calm(&touched, moment(45), window));
        assert!(!is_calm(&touched, moment(-5), window), "a clock that stepped back concludes nothing");
    }
}
