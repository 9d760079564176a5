//! What `power_off` and `power_on` share: one transition per call, found again by what it is about, and read task by
//! task.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    covering, learnt, names, rejected,
    transition::{Heard, Need, Sent, Times, hear, need, reserved, settle},
};
use crate::{
    clients::{
        Services,
        pcs::{PowerState, Task, TaskStatus, Transition, TransitionStatus},
    },
    model::{
        Timestamp,
        effect::{EffectNo, RemoteRef},
        plan::Ordinal,
        verb::{Answer, Call, CallError, Member, OpenEffect, Power, Seen, Sight, Took, Verb},
        xname::Xname,
    },
};

/// Transitions asked for at once.
const TRANSITIONS_AT_ONCE: usize = 8;
/// Most transitions looked into for a lost call. What is older than the call was left out before.
const CANDIDATES_MAX: usize = 64;
/// How much older than our intent a transition may look and still be ours, as a part of PCS' confirmation interval (5 s of
/// 15 s): clocks drift, but nobody's transition is over before PCS has looked once, so an earlier one of the same kind on
/// the same components must not be taken for ours.
const SKEW_SHARE: u32 = 3;

/// Begins a transition.
pub(super) async fn act(verb: &Verb, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let shape = verb.shape();
    let Some(rung) = shape.rungs.get(usize::from(call.rung)) else {
        return Err(rejected(format!("'{}' has no rung {}", verb.name(), call.rung)));
    };
    let minutes = deadline_minutes(verb.shape().power, rung.within);
    let id = at.pcs.create_transition(rung.name, minutes, &names(call.members)).await?;
    Ok(begun(id))
}

/// Looks for the transition of a call whose answer was never recorded: our operation, not older than our intent (by
/// PCS' own clock), about exactly our components. One that shows no tasks yet is not known to be ours, nor not to be.
pub(super) async fn find(
    verb: &Verb,
    at: &Services,
    call: &Call<'_>,
    intended_at: Timestamp,
) -> Result<Option<Answer>, CallError> {
    let shape = verb.shape();
    let Some(rung) = shape.rungs.get(usize::from(call.rung)) else { return Ok(None) };
    let asked = Instant::now();
    let told = at.pcs.transitions().await?;
    let our_time = call.shared.now + asked.elapsed();
    let ahead = told.date.map_or(TimeDelta::zero(), |date| date - our_time);
    let not_before = intended_at + ahead - at.settings.pcs_confirm_interval / SKEW_SHARE;
    let mut candidates = told.value;
    candidates.retain(|transition| is_candidate(transition, rung.name, not_before));
    candidates.sort_by_key(|transition| std::cmp::Reverse(transition.created_at));
    candidates.truncate(CANDIDATES_MAX);
    let members: BTreeSet<Xname> = call.members.iter().map(|member| *member.xname).collect();
    let asking: Vec<_> = candidates.iter().map(|candidate| at.pcs.transition(&candidate.id)).collect();
    let mut looked_into = stream::iter(asking).buffered(TRANSITIONS_AT_ONCE);
    while let Some(transition) = looked_into.next().await {
        if let Some(transition) = transition?
            && is_about(&transition, &members)
        {
            return Ok(Some(begun(transition.id)));
        }
    }
    Ok(None)
}

/// Reads the tasks of the open effects, and asks PCS' table and HSM where a task alone is not to be believed.
pub(super) async fn observe(
    verb: &Verb,
    power: Power,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    let covering = covering(sight);
    let (told, mut trouble) = ask_transitions(at, sight.open, &covering).await;
    let rungs = verb.shape().rungs;
    let times = Times { now: sight.shared.now, staleness: at.settings.power_staleness() };
    let mut seen = Vec::with_capacity(sight.members.len());
    let mut ask_state: Vec<(&Member<'_>, Seen)> = Vec::new();
    let mut ask_lock: Vec<(&Member<'_>, String)> = Vec::new();
    for member in sight.members {
        let effect = covering.get(&member.ordinal).map(|index| &sight.open[*index]);
        let heard = match effect.and_then(|effect| told.get(&effect.effect)) {
            None => Heard::Nothing,
            Some(None) => Heard::Forgotten,
            Some(Some(told)) => hear(power, told.status, told.tasks.get(member.xname)),
        };
        let sent = effect.map(|effect| {
            let within = rungs.get(usize::from(effect.rung)).map_or(Duration::ZERO, |rung| rung.within);
            Sent {
                intended_at: effect.intended_at,
                within: at.settings.pcs_minute * deadline_minutes(Some(power), within),
            }
        });
        match need(power, heard, member, sent, times) {
            Need::Nothing(verdict) => seen.push((member.ordinal, verdict)),
            Need::PowerState(otherwise) => ask_state.push((member, otherwise)),
            Need::Lock(words) => ask_lock.push((member, words)),
        }
    }
    let states = states(at, ask_state.iter().map(|(member, _)| *member)).await;
    match states {
        Ok(states) => seen.extend(ask_state.into_iter().map(|(member, otherwise)| {
            (member.ordinal, settle(power, states.get(member.xname).copied().flatten(), otherwise))
        })),
        Err(error) => trouble = Some(error),
    }
    // Without HSM's word a reserved component is busy: it will be asked about again.
    let locked = locked(at, ask_lock.iter().map(|(member, _)| *member)).await.unwrap_or_default();
    seen.extend(
        ask_lock
            .into_iter()
            .map(|(member, words)| (member.ordinal, reserved(power, locked.contains(member.xname), &words))),
    );
    learnt(seen, trouble)
}

/// What PCS' table says of these members; one that is missing or without state is not known to PCS.
pub(super) async fn states<'m>(
    at: &Services,
    members: impl Iterator<Item = &'m Member<'m>>,
) -> Result<HashMap<Xname, Option<PowerState>>, CallError> {
    let names: Vec<String> = members.map(|member| member.xname.to_string()).collect();
    let statuses = at.pcs.power_status(&names).await?;
    Ok(statuses.into_iter().filter_map(|status| Some((status.xname.parse().ok()?, status.state))).collect())
}

/// Those among these members that an administrator has locked or closed for reservations.
async fn locked<'m>(
    at: &Services,
    members: impl Iterator<Item = &'m Member<'m>>,
) -> Result<HashSet<Xname>, CallError> {
    let names: Vec<String> = members.map(|member| member.xname.to_string()).collect();
    let components = at.hsm.nodes_by_id(&names).await?;
    let locked =
        components.into_iter().filter(|component| component.locked || component.reservation_disabled);
    Ok(locked.filter_map(|component| component.id.parse().ok()).collect())
}

/// What PCS told of a transition.
struct Told {
    status: TransitionStatus,
    /// Those that say more than their transition's status: a task under way is heard like one that is not there.
    tasks: HashMap<Xname, Task>,
}

/// Asks for the transitions of those effects that cover somebody in sight. One that cannot be asked for now is left
/// out, one that PCS has forgotten is there without content.
async fn ask_transitions(
    at: &Services,
    open: &[OpenEffect],
    covering: &HashMap<Ordinal, usize>,
) -> (HashMap<EffectNo, Option<Told>>, Option<CallError>) {
    let wanted: BTreeSet<usize> = covering.values().copied().collect();
    let asked: Vec<(EffectNo, &RemoteRef)> = wanted
        .into_iter()
        .filter_map(|index| Some((open[index].effect, open[index].reference.as_ref()?)))
        .collect();
    let asking: Vec<_> = asked.iter().map(|(_, reference)| at.pcs.transition(&reference.0)).collect();
    let answers: Vec<_> = stream::iter(asking).buffered(TRANSITIONS_AT_ONCE).collect().await;
    let mut told = HashMap::new();
    let mut trouble = None;
    for ((effect, _), answer) in asked.into_iter().zip(answers) {
        match answer {
            Ok(transition) => {
                told.insert(effect, transition.map(Told::from));
            }
            Err(error) => trouble = Some(error.into()),
        }
    }
    (told, trouble)
}

impl From<Transition> for Told {
    fn from(transition: Transition) -> Self {
        let ended = transition.tasks.into_iter().filter(|task| task.status != TaskStatus::Underway);
        let tasks = ended.filter_map(|task| Some((task.xname.parse().ok()?, task)));
        Self { status: transition.status, tasks: tasks.collect() }
    }
}

fn begun(id: String) -> Answer {
    Answer { reference: Some(RemoteRef(id)), token: None, rest: Took::Underway, named: Vec::new() }
}

/// PCS' deadline for a call, in its whole minutes, never 0 (which PCS takes but cannot handle).
///
/// Off: one minute, as BOS asks for. PCS keeps every node of a transition reserved until the last one is done, so a longer
/// deadline lets one node that stays on hold back all the others; a straggler is watched for the rest of its time
/// without a transition. On: the whole of the rung's time, since nobody waits for a second power action.
fn deadline_minutes(power: Option<Power>, within: Duration) -> u32 {
    match power {
        Some(Power::Off) => 1,
        Some(Power::On) | None => minutes(within),
    }
}

fn minutes(within: Duration) -> u32 {
    let minutes = within.as_secs().div_ceil(60) + u64::from(within.as_secs() == 0);
    // A week is longer than anybody waits.
    u32::try_from(minutes).unwrap_or(u32::MAX).clamp(1, 7 * 24 * 60)
}

fn is_candidate(transition: &Transition, operation: &str, not_before: Timestamp) -> bool {
    transition.operation.eq_ignore_ascii_case(operation)
        && transition.created_at.is_some_and(|created| created >= not_before)
}

/// Whether a transition's nodes are exactly these. PCS adds tasks for parts of nodes and switches: they do not count.
fn is_about(transition: &Transition, members: &BTreeSet<Xname>) -> bool {
    let nodes: BTreeSet<Xname> = transition.tasks.iter().filter_map(|task| task.xname.parse().ok()).collect();
    !nodes.is_empty() && nodes == *members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_whole_minutes_and_never_none() {
        for (seconds, expected) in [(0, 1), (1, 1), (60, 1), (61, 2), (300, 5)] {
            assert_eq!(minutes(Duration::from_secs(seconds)), expected, "{seconds} s");
        }
        assert_eq!(minutes(Duration::MAX), 7 * 24 * 60);
        assert_eq!(
            deadline_minutes(Some(Power::Off), Duration::from_secs(300)),
            1,
            "nobody is held back longer"
        );
    }

    fn transition(xnames: &[&str]) -> Transition {
        let task = |xname: &&str| Task {
            xname: (*xname).to_owned(),
            status: TaskStatus::Underway,
            description: String::new(),
            error: String::new(),
        };
        Transition {
            id: "t".to_owned(),
            operation: "On".to_owned(),
            status: TransitionStatus::Underway,
            created_at: Some(super::super::tests::moment(0)),
            tasks: xnames.iter().map(task).collect(),
        }
    }

    #[test]
    fn a_lost_call_is_known_by_its_components() {
        let members: BTreeSet<Xname> =
            ["x1c0s0b0n0", "x1c0s0b0n1"].iter().map(|x| x.parse().unwrap()).collect();
        assert!(is_about(&transition(&["x1c0s0b0n1", "x1c0r0b0", "x1c0s0b0n0"]), &members));
        assert!(!is_about(&transition(&[]), &members), "no tasks yet");
        assert!(!is_about(&transition(&["x1c0s0b0n0"]), &members), "an administrator's, about one of ours");
        assert!(!is_about(&transition(&["x1c0s0b0n0", "x1c0s0b0n1", "x1c0s0b0n2"]), &members));
        let moment = super::super::tests::moment;
        assert!(is_candidate(&transition(&[]), "on", moment(0)));
        assert!(!is_candidate(&transition(&[]), "On", moment(1)));
        assert!(!is_candidate(&transition(&[]), "Force-Off", moment(0)));
    }
}
