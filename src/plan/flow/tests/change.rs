//! Limits of a running session that operators change, and what that does to whoever is inside, or was left out.

use super::{
    Layout, MINUTE, at,
    driver::{Driver, Order},
    gates::{begun, command, offs, on, rolling},
};
use crate::{
    model::{
        command::{Command, Settings},
        gate::{Gates, Share},
        plan::Ordinal,
        session::{Outcome, SessionState},
    },
    plan::standstill,
};

fn set(settings: Settings) -> Order {
    Order::Command(Command::Set(settings))
}

fn at_most(count: u32) -> Settings {
    Settings { max_unavailable: Some(Share::Count(count)), ..Settings::default() }
}

/// A rolling reboot of eight whose first ones have just been told to go off.
fn begun_with(gates: Gates) -> Driver {
    let mut driver = rolling(Layout::One, on(8), gates);
    while offs(&driver).is_empty() && driver.step() {}
    driver
}

#[test]
fn more_places_are_taken_at_once() {
    let mut driver = begun_with(Gates { max_unavailable: Some(Share::Count(2)), ..Gates::default() });
    assert_eq!(begun(&driver), [0, 1]);
    driver.order(set(at_most(5)));
    assert_eq!(begun(&driver), [0, 1, 2, 3, 4]);
    // It holds for a worker that comes later, too.
    driver.die();
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert!(offs(&driver).iter().all(|(_, whom)| whom.len() <= 5));
}

#[test]
fn fewer_places_send_nobody_out_and_let_nobody_in() {
    let mut driver = begun_with(Gates { max_unavailable: Some(Share::Count(4)), ..Gates::default() });
    driver.order(set(at_most(1)));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let sizes: Vec<usize> = offs(&driver).iter().map(|(_, whom)| whom.len()).collect();
    assert_eq!(sizes, [4, 1, 1, 1, 1]);
}

/// Those who have a place, and whose call could not be made yet, give it back.
#[test]
fn places_that_nobody_has_used_are_dealt_anew() {
    let gates = Gates { max_unavailable: Some(Share::Count(4)), ..Gates::default() };
    let script = super::driver::Script {
        natures: on(8),
        outages: vec![("ims", 0, 60), ("pcs", 30, 300)],
        ..Default::default()
    };
    let mut driver = Driver::new(super::gated("reboot", Layout::One, 8, gates), script);
    while driver.now < 2 * MINUTE && driver.step() {}
    assert_eq!(driver.flow.gate.taken, 4);
    driver.order(set(at_most(1)));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let taken = driver.effects.values().filter(|effect| effect.reference.is_some());
    assert!(taken.map(|effect| effect.members.len()).all(|size| size == 1));
}

#[test]
fn a_session_that_halted_goes_on_when_more_may_fail() {
    let mut natures = on(10);
    natures[0].strange = true;
    let gates = Gates { halt_on_failures: Some(Share::Count(1)), ..Gates::default() };
    let mut driver = rolling(Layout::Waves, natures, gates);
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    let settings = Settings { halt_on_failures: Some(Share::Count(3)), ..Settings::default() };
    command(&mut driver, Command::Set(settings));
    assert_eq!(driver.outcome, Some(Outcome::Partial));
    assert_eq!(driver.flow.counts().succeeded, 9);
}

#[test]
fn a_window_closes_later_or_earlier_than_it_was_to() {
    let gates = |until: i64| Gates {
        max_unavailable: Some(Share::Count(1)),
        not_after: Some(at(until * MINUTE)),
        ..Gates::default()
    };
    let until = |minute: i64| Settings { not_after: Some(at(minute * MINUTE)), ..Settings::default() };
    let mut driver = begun_with(gates(1));
    driver.order(set(until(24 * 60)));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);

    let mut driver = begun_with(gates(24 * 60));
    driver.order(set(until(1)));
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!((driver.flow.counts().succeeded, driver.flow.counts().skipped), (1, 7));
    // Whoever was left out stays out.
    let mut driver = begun_with(gates(1));
    while driver.flow.counts().skipped == 0 && driver.step() {}
    driver.order(set(until(24 * 60)));
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!(begun(&driver), [0]);
}

/// With ordinals all go off before any is switched on: no place is free for the others.
#[test]
fn a_limit_under_which_it_would_stand_still_is_known() {
    let plan = super::plan("reboot", Layout::Ordered, 8);
    assert!(standstill(&plan, Share::Count(7)).unwrap().contains("8 at once, and max_unavailable allows 7"));
    assert_eq!(standstill(&plan, Share::Count(8)), None);
    assert_eq!(standstill(&super::plan("boot", Layout::One, 8), Share::Count(1)), None);
}

/// The session that holds them does not give them: nothing is done with them, and nobody waits for ever.
#[test]
fn what_another_session_keeps_is_left_out() {
    let awaited: Vec<Ordinal> = [0, 1].map(Ordinal).to_vec();
    let script = super::driver::Script { natures: on(4), awaited: awaited.clone(), ..Default::default() };
    let mut driver = Driver::new(super::plan("reboot", Layout::One, 4), script);
    driver.drive();
    assert_eq!((driver.flow.mode(), driver.outcome), (SessionState::Running, None));
    driver.order(Order::Kept(awaited));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!((driver.flow.counts().succeeded, driver.flow.counts().skipped), (2, 2));
    let reason = driver.flow.skip_reason().unwrap().to_string();
    assert_eq!(reason, "claimed: another keeps it: nobody is there to give it away");
    assert_eq!(begun(&driver), [2, 3]);
}
