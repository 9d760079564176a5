//! What must hold of gates, and stories of sessions that halt, wait and go on.

use std::time::Duration;

use super::{
    super::{
        Approval, Flow,
        halt::Stop,
        state::{Room, Standing},
    },
    Layout, MINUTE, SECOND, at,
    driver::{Driver, Order, Script},
    gated, laws,
    world::Nature,
};
use crate::model::{
    command::{Command, Settings},
    effect::{Effect, EffectState},
    event::{EventKind, NewEvent},
    gate::{Gates, Share},
    pace::{PowerInterval, Rate},
    plan::{Ordinal, StepNo},
    reason::ReasonCode,
    result::FactKind,
    session::{Outcome, SessionState},
    verb::Power,
};

/// What a line says of an approval, as memory reads it.
pub fn approval(seq: i64, event: &NewEvent) -> Option<Approval> {
    let wave = event.data["wave"].as_u64().map(|wave| wave as usize - 1);
    let accepts_failures = event.data["accepts_failures"].as_bool() == Some(true);
    (event.kind == EventKind::Approved).then_some(Approval { seq, wave, accepts_failures })
}

impl Driver {
    pub fn awaits_approval(&self) -> bool {
        self.flow.gate.stopped_for == Some(Stop::Approval)
    }

    fn wave(&self, ordinal: Ordinal) -> i16 {
        self.plan.slices[self.plan.members[ordinal.0 as usize].slice.0 as usize].wave
    }

    fn everybody(&self) -> impl Iterator<Item = Ordinal> + use<> {
        (0..self.plan.members.len() as u32).map(Ordinal)
    }

    /// The checkpoint in which it failed last, if nobody has sent it back or accepted that since.
    fn failed_at(&self, ordinal: Ordinal) -> Option<i64> {
        let facts = self.past.facts.iter().filter(|past| past.fact.members.contains(&ordinal));
        let (mut failed, mut of_run, mut taken) = (None, 0, false);
        for past in facts {
            // Whatever else becomes of one that another session took over is no failure of this one's.
            taken = (taken || laws::is_taken(past)) && past.fact.kind != FactKind::SentBack;
            match past.fact.kind {
                FactKind::Failed if of_run != past.fact.run || failed.is_none() => {
                    (failed, of_run) = (Some(past.seq), past.fact.run);
                }
                FactKind::SentBack => failed = None,
                _ => {}
            }
        }
        let accepted = |seq: i64| self.past.approvals.iter().any(|a| a.accepts_failures && a.seq >= seq);
        failed.filter(|seq| !taken && !accepted(*seq))
    }

    /// What the gates know, with what operators changed of it.
    fn gates(&self) -> Gates {
        let mut gates = self.plan.gates.clone();
        self.past.standing.settings.apply_to(&mut gates);
        gates
    }

    /// Somebody outside is called: the gate has to be open.
    pub fn judge_gate(&self, ordinal: Ordinal) {
        let gates = &self.gates();
        let wave = self.wave(ordinal);
        let earlier = self.past.claimed.iter().find(|other| self.wave(**other) < wave);
        assert_eq!(earlier, None, "{ordinal:?} did not wait for the wave before");
        assert!(gates.not_before.is_none_or(|from| at(self.now) >= from), "{ordinal:?} was begun too early");
        assert!(gates.not_after.is_none_or(|until| at(self.now) < until), "{ordinal:?} was begun too late");
        let failed = |of: i16| {
            let of_wave = self.everybody().filter(|other| self.wave(*other) == of);
            of_wave.filter(|other| self.failed_at(*other).is_some()).count()
        };
        let members = |of: i16| self.everybody().filter(|other| self.wave(*other) == of).count();
        let last = self.plan.slices.iter().map(|slice| slice.wave).max().unwrap();
        match gates.halt_on_failures {
            Some(Share::Count(most)) => {
                assert!(
                    (0..=last).map(failed).sum::<usize>() < most as usize,
                    "{ordinal:?} despite failures"
                );
            }
            Some(share) => {
                let too_many = (0..=last).find(|wave| failed(*wave) >= share.at_least(members(*wave)));
                assert_eq!(too_many, None, "{ordinal:?} despite the failures of a wave");
            }
            None => {}
        }
        let allowed = 100 - usize::from(gates.wave_threshold_percent.unwrap_or(0));
        for before in 0..wave {
            assert!(failed(before) * 100 <= members(before) * allowed, "{ordinal:?} despite the wave before");
        }
        let approved = self.past.approvals.iter().filter_map(|approval| approval.wave).max().unwrap_or(0);
        assert!(!gates.approve_between_waves || approved >= wave as usize, "{ordinal:?} was not approved");
    }

    /// After intents are stored that bring somebody inside: no more are there than there may be.
    pub fn judge_inside(&self) {
        let Some(share) = self.gates().max_unavailable else { return };
        let most = share.at_most(self.plan.members.len());
        let inside = self.past.claimed.iter().filter(|ordinal| self.is_inside(**ordinal)).count();
        let accepted = self.past.approvals.iter().any(|approval| approval.accepts_failures);
        let gone = |ordinal: &Ordinal| !self.past.claimed.contains(ordinal) && self.is_inside(*ordinal);
        let lost = self.everybody().filter(|o| gone(o) && self.failed_at(*o).is_some()).count();
        let lost = if accepted { 0 } else { lost };
        assert!(inside + lost <= most, "{inside} are inside and {lost} failed there, of {most} at most");
    }

    /// Before a power call's intent is stored: the pace allows it.
    pub fn judge_pace(&self, step: StepNo, members: &[Ordinal]) {
        let gates = &self.plan.gates;
        let Some(power) = self.plan.steps[step.0 as usize].verb.shape().power else { return };
        let taken = |effect: &&Effect| effect.state != EffectState::NotTaken;
        let powers = |effect: &&Effect| self.plan.steps[effect.step.0 as usize].verb.shape().power;
        for interval in &gates.power_intervals {
            for ordinal in members {
                let last = self.effects_on(*ordinal).filter(taken).filter(|e| powers(e).is_some());
                let last = last.map(|effect| effect.intended_at).max();
                let waited = last.is_none_or(|last| last + interval.at_least <= at(self.now));
                assert!(waited, "{ordinal:?} has another power action too early");
            }
        }
        let within = |rate: Rate, ordinals: &dyn Fn(&Effect) -> usize| -> usize {
            let ons = self.effects.values().filter(taken).filter(|e| powers(e) == Some(Power::On));
            ons.filter(|effect| effect.intended_at + rate.per > at(self.now)).map(ordinals).sum()
        };
        if power == Power::On
            && let Some(rate) = gates.power_on_rate
        {
            let count = members.len() + within(rate, &|effect| effect.members.len());
            assert!(count <= rate.count as usize, "{count} powered on within {:?}", rate.per);
        }
        if power == Power::On
            && let Some(rate) = gates.cabinet_power_on_rate
        {
            let cabinet = |ordinal: &Ordinal| self.plan.members[ordinal.0 as usize].xname.cabinet;
            for one in members {
                let of =
                    |whom: &[Ordinal]| whom.iter().filter(|other| cabinet(other) == cabinet(one)).count();
                let count = of(members) + within(rate, &|effect| of(&effect.members));
                assert!(count <= rate.count as usize, "{count} powered on in one cabinet");
            }
        }
    }

    /// What the gates count, counted anew, and as it is read again.
    pub fn judge_tallies(&self, live: &Flow, read: &Flow) {
        for (number, wave) in live.gate.waves.iter().enumerate() {
            let of_wave = |ordinal: &Ordinal| self.wave(*ordinal) as usize == number;
            let count = |holds: &dyn Fn(usize) -> bool| {
                self.everybody().filter(of_wave).filter(|o| holds(o.0 as usize)).count()
            };
            let component = |index: usize| &live.components[index];
            let stands = |standing| move |index: usize| component(index).standing == standing;
            assert_eq!(wave.outside, count(&stands(Standing::Outside)), "outside of wave {number}");
            assert_eq!(wave.inside, count(&stands(Standing::Inside)), "inside of wave {number}");
            let failed = |index: usize| component(index).failed.is_some() && !component(index).accepted;
            assert_eq!(wave.failed, count(&failed), "failed of wave {number}");
            assert_eq!(wave.failed, read.gate.waves[number].failed, "failed of wave {number}, read again");
        }
        for (number, step) in live.steps.iter().enumerate() {
            let number = StepNo(number as i16);
            let of_step = live.in_step(number).filter(|ordinal| live.components[ordinal.0 as usize].excused);
            let excused = of_step.filter(|ordinal| live.cell(*ordinal, number).place.is_lost()).count();
            assert_eq!(step.excused, excused as i32, "excused in {number:?}");
        }
        let taken = live.components.iter().filter(|component| component.room != Room::None).count();
        assert_eq!(live.gate.taken, taken, "places taken");
        assert_eq!(live.gate.lost, read.gate.lost, "places lost");
        assert_eq!(live.gate.approved, read.gate.approved, "approved");
    }
}

pub fn on(count: usize) -> Vec<Nature> {
    vec![Nature { on: true, ..Nature::default() }; count]
}

pub fn rolling(layout: Layout, natures: Vec<Nature>, gates: Gates) -> Driver {
    let script = Script { natures, ..Script::default() };
    Driver::new(gated("reboot", layout, script.natures.len() as u32, gates), script)
}

pub fn command(driver: &mut Driver, command: Command) {
    driver.order(Order::Command(command));
    driver.drive();
}

/// Who was switched off, and when.
pub fn offs(driver: &Driver) -> Vec<(i64, Vec<u32>)> {
    let off = driver.calls.iter().filter(|call| call.1 == "power_off" && call.2 == 0);
    off.map(|call| (call.0, call.3.iter().map(|ordinal| ordinal.0).collect())).collect()
}

pub fn begun(driver: &Driver) -> Vec<u32> {
    let mut begun: Vec<u32> = offs(driver).into_iter().flat_map(|(_, whom)| whom).collect();
    begun.sort_unstable();
    begun
}

#[test]
fn waves_go_one_after_the_other() {
    let mut driver = rolling(Layout::Waves, on(10), Gates::default());
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let begun: Vec<Vec<u32>> = offs(&driver).into_iter().map(|(_, whom)| whom).collect();
    // One, four (of the ten), and the rest; the boot sets are halves.
    assert_eq!(begun, [vec![0], vec![1, 2, 3, 4], vec![5, 6, 7, 8, 9]]);
    let names: Vec<&str> = driver.plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert!(
        names.contains(&"wave1/compute/power_off") && names.contains(&"wave3/gateways/inspect"),
        "{names:?}"
    );
}

#[test]
fn no_more_are_inside_than_may_be() {
    let gates = Gates { max_unavailable: Some(Share::Count(3)), ..Gates::default() };
    let mut driver = rolling(Layout::One, on(10), gates);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let offs = offs(&driver);
    assert_eq!(offs[0].1, [0, 1, 2]);
    assert!(offs.iter().all(|(_, whom)| whom.len() <= 3) && begun(&driver).len() == 10, "{offs:?}");
    assert!(offs[1].0 >= 3 * MINUTE, "the first places are free when three have booted: {offs:?}");
}

#[test]
fn one_that_failed_inside_keeps_its_place_until_that_is_accepted() {
    let mut natures = on(6);
    natures[0].strange = true;
    let gates = Gates { max_unavailable: Some(Share::Count(1)), ..Gates::default() };
    let mut driver = rolling(Layout::One, natures, gates);
    driver.drive();
    assert_eq!((driver.flow.mode(), begun(&driver).last()), (SessionState::Halted, Some(&0)));
    assert_eq!(driver.flow.gate.stopped_for, Some(Stop::Full));
    command(&mut driver, Command::Resume);
    assert_eq!(driver.outcome, Some(Outcome::Partial));
    assert_eq!(driver.flow.counts().succeeded, 5);
}

/// The second wave's one is dark, and waits for the first wave's, who must not wait for its place.
#[test]
fn those_sent_back_in_two_waves_do_not_wait_for_each_other() {
    let mut natures = on(2);
    natures.iter_mut().for_each(|nature| nature.strange = true);
    let gates = Gates { max_unavailable: Some(Share::Count(1)), ..Gates::default() };
    let mut driver = rolling(Layout::Waves, natures, gates);
    driver.drive();
    command(&mut driver, Command::Resume);
    driver.world.nodes.iter_mut().for_each(|node| node.nature.strange = false);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    driver.retry_ended();
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
}

#[test]
fn too_many_failures_halt_it_and_the_rest_is_not_touched() {
    let mut natures = on(10);
    natures[2].strange = true;
    let gates = Gates { halt_on_failures: Some(Share::Percent(20)), ..Gates::default() };
    let mut driver = rolling(Layout::Waves, natures, gates);
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    assert!(driver.flow.rests());
    assert_eq!(driver.flow.counts().not_reached + driver.flow.counts().in_flight, 5);
    assert_eq!(driver.past.claimed.len(), 5, "claims are kept");
    // Sent back it fails once more; accepted, the rest has its turn.
    command(&mut driver, Command::Retry { members: Vec::new(), from: Vec::new() });
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    assert!(begun(&driver).iter().all(|one| *one < 5), "{:?}", begun(&driver));
    command(&mut driver, Command::Resume);
    assert_eq!(driver.outcome, Some(Outcome::Partial));
    assert_eq!(driver.flow.counts().failed, 1);
}

#[test]
fn a_halted_session_goes_on_where_more_may_fail_and_a_new_worker_knows_it() {
    let mut natures = on(10);
    natures[2].strange = true;
    natures[7].strange = true;
    let gates = Gates { halt_on_failures: Some(Share::Percent(20)), ..Gates::default() };
    let mut driver = rolling(Layout::Waves, natures, gates);
    driver.drive();
    let set = |halt_on_failures, wave_threshold_percent| {
        Command::Set(Settings { halt_on_failures, wave_threshold_percent, ..Settings::default() })
    };
    command(&mut driver, set(None, Some(50)));
    assert_eq!(driver.flow.mode(), SessionState::Halted, "too many have failed all the same");
    command(&mut driver, set(Some(Share::Percent(30)), Some(90)));
    assert_eq!(driver.flow.gate.stopped_for, Some(Stop::Threshold), "of the first wave nobody failed");
    driver.die();
    command(&mut driver, set(None, Some(70)));
    assert_eq!(driver.outcome, Some(Outcome::Partial), "nobody has to resume it");
    assert_eq!(driver.flow.counts().failed, 2);
}

#[test]
fn a_wave_below_its_threshold_keeps_the_next_one_waiting() {
    let mut natures = on(10);
    natures[0].strange = true;
    let mut driver = rolling(Layout::Waves, natures, Gates::default());
    driver.drive();
    assert_eq!(driver.flow.gate.stopped_for, Some(Stop::Threshold));
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    driver.world.nodes[0].nature.strange = false;
    command(&mut driver, Command::Retry { members: Vec::new(), from: Vec::new() });
    assert_eq!(driver.outcome, Some(Outcome::Succeeded), "mended, it goes on by itself");
}

#[test]
fn each_wave_waits_for_its_approval_also_over_a_restart() {
    let gates = Gates { approve_between_waves: true, ..Gates::default() };
    let mut driver = rolling(Layout::Waves, on(10), gates);
    driver.drive();
    assert_eq!((driver.flow.mode(), begun(&driver)), (SessionState::Halted, vec![0]));
    command(&mut driver, Command::Resume);
    assert_eq!(
        (driver.flow.mode(), begun(&driver)),
        (SessionState::Halted, vec![0]),
        "resuming is not approving"
    );
    command(&mut driver, Command::Approve);
    assert_eq!((driver.flow.mode(), begun(&driver).len()), (SessionState::Halted, 5));
    let mut again = Flow::new(driver.plan.clone(), &driver.past(), driver.pace);
    again.start(at(driver.now));
    assert_eq!((again.mode(), again.gate.approved), (SessionState::Halted, 1));
    command(&mut driver, Command::Approve);
    assert_eq!(driver.outcome, Some(Outcome::Succeeded));
}

#[test]
fn before_its_window_nobody_is_looked_at_and_after_it_nobody_is_begun() {
    let gates = Gates {
        max_unavailable: Some(Share::Count(2)),
        not_before: Some(at(10 * MINUTE)),
        not_after: Some(at(15 * MINUTE)),
        ..Gates::default()
    };
    let mut driver = rolling(Layout::One, on(9), gates);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    let looked = driver.past.facts.iter().map(|past| past.at).min().unwrap();
    assert!(looked >= at(10 * MINUTE), "{looked}");
    let offs = offs(&driver);
    assert!(offs.iter().all(|(when, _)| (10 * MINUTE..15 * MINUTE).contains(when)), "{offs:?}");
    let counts = driver.flow.counts();
    assert!(counts.succeeded > 0 && counts.skipped > 0 && counts.failed == 0, "{counts:?}");
    let left = driver.flow.skip_reason().map(|reason| reason.code);
    assert_eq!(left, Some(ReasonCode::WindowClosed));
    assert_eq!(driver.flow.unfinished().len() as i32, counts.skipped);
    assert!(driver.world.nodes.iter().all(|node| node.on), "nobody is left dark");
}

#[test]
fn power_comes_at_its_pace_and_waiting_for_it_counts_against_no_deadline() {
    let gates = Gates {
        // An hour for eight, and the step's own time is less.
        power_on_rate: Some("2/15m".parse().unwrap()),
        cabinet_power_on_rate: Some("1/20m".parse().unwrap()),
        power_intervals: vec![PowerInterval { at_least: Duration::from_secs(60), of: String::new() }],
        ..Gates::default()
    };
    let mut driver = rolling(Layout::One, on(8), gates);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let ons: Vec<i64> =
        driver.calls.iter().filter(|call| call.1 == "power_on").map(|call| call.0 / MINUTE).collect();
    assert_eq!(ons.len(), 8, "one at a time, all in one cabinet: {ons:?}");
    assert!(ons.windows(2).all(|pair| pair[1] - pair[0] >= 19), "{ons:?}");
}

/// Power control is away when the window closes: whose call was not taken has not been begun with.
#[test]
fn one_whose_call_was_not_taken_when_the_window_closed_is_left_out() {
    let gates = Gates { not_after: Some(at(MINUTE)), ..Gates::default() };
    let script = Script { natures: on(2), outages: vec![("pcs", 0, 600)], ..Script::default() };
    let mut driver = Driver::new(gated("reboot", Layout::One, 2, gates), script);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    assert_eq!(driver.flow.counts().skipped, 2);
    assert_eq!(driver.flow.skip_reason().map(|reason| reason.code), Some(ReasonCode::WindowClosed));
}

#[test]
fn waiting_before_the_gate_counts_against_no_deadline() {
    let gates = Gates { approve_between_waves: true, ..Gates::default() };
    let mut driver = rolling(Layout::Waves, on(4), gates);
    driver.drive();
    driver.now += 24 * 60 * MINUTE;
    command(&mut driver, Command::Approve);
    driver.now += 24 * 60 * MINUTE + SECOND;
    command(&mut driver, Command::Approve);
    assert_eq!(driver.outcome, Some(Outcome::Succeeded));
}
