//! Barriers that cannot open any more, and what operators say to that; and who counts against nothing.

use std::collections::BTreeMap;

use super::{
    super::{Flow, halt::Stop},
    Layout, MINUTE, SECOND, at,
    driver::{Driver, Order, Script},
    gated,
    gates::{begun, command, offs, on, rolling},
    world::Nature,
};
use crate::model::{
    command::{Command, Settings},
    gate::{Gates, Share},
    plan::Ordinal,
    session::{Outcome, SessionState},
};

/// Two boot sets of four that are off, of which the second boots first, and needs 60 per cent; so many of it do not come up.
fn boot(broken: usize) -> Driver {
    let mut natures = vec![Nature::default(); 8];
    natures[4..4 + broken].iter_mut().for_each(|nature| nature.strange = true);
    let script = Script { natures, ..Script::default() };
    let mut driver = Driver::new(gated("boot", Layout::Ordered, 8, Gates::default()), script);
    driver.drive();
    driver
}

fn reason(driver: &mut Driver) -> String {
    let (stop, text) = driver.flow.stop().unwrap();
    assert_eq!((driver.flow.mode(), stop), (SessionState::Halted, Stop::Barrier), "{text}");
    assert!(driver.flow.rests());
    text
}

fn ordered_on(driver: &Driver) -> Vec<u32> {
    let on = driver.calls.iter().filter(|call| call.1 == "power_on");
    let mut on: Vec<u32> = on.flat_map(|call| call.3.iter().map(|ordinal| ordinal.0)).collect();
    on.sort_unstable();
    on.dedup();
    on
}

#[test]
fn enough_of_the_earlier_ones_open_it() {
    let mut driver = boot(1);
    assert_eq!(driver.outcome, Some(Outcome::Partial), "three of four are 75 %");
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
}

#[test]
fn one_that_cannot_open_says_what_may_be_done() {
    let mut driver = boot(2);
    let text = reason(&mut driver);
    let begins = "gateways/await_boot cannot reach 60 % any more (2 failed, 0 skipped of 4), so compute/power_on does not begin: ";
    assert!(text.starts_with(begins), "{text}");
    for word in ["set  --threshold gateways=N%", "retry ", "resume ", "cancel "] {
        assert!(text.contains(&format!("'bosun session {word}")), "{word} is not in {text}");
    }
    assert_eq!(ordered_on(&driver), [4, 5, 6, 7]);
}

#[test]
fn who_resumes_or_approves_goes_on_without_them() {
    for word in [Command::Resume, Command::Approve] {
        let mut driver = boot(2);
        driver.order(Order::Command(word));
        // Also for a worker that comes later.
        let again = Flow::new(driver.plan.clone(), &driver.past(), driver.pace);
        assert_eq!(again.mode(), SessionState::Running);
        driver.die();
        driver.drive();
        assert_eq!(driver.outcome, Some(Outcome::Partial));
        assert_eq!(driver.flow.counts().succeeded, 6);
        assert!(
            driver.past.approvals.iter().all(|approval| approval.accepts_failures && approval.wave.is_none())
        );
        assert_eq!(driver.past.approvals.len(), 1);
    }
}

/// What is said of those that are out holds for them, not for whoever fails afterwards.
#[test]
fn who_fails_after_that_halts_it_again() {
    let mut natures = vec![Nature::default(); 8];
    natures[4..6].iter_mut().for_each(|nature| nature.poisons = true);
    natures[6..8].iter_mut().for_each(|nature| nature.strange = true);
    let script = Script { natures, ..Script::default() };
    let mut driver = Driver::new(gated("boot", Layout::Ordered, 8, Gates::default()), script);
    while driver.flow.mode() == SessionState::Running && driver.step() {}
    assert_eq!(driver.flow.counts().failed, 2);
    driver.order(Order::Command(Command::Resume));
    assert_eq!(driver.flow.mode(), SessionState::Running, "two are on their way, and might do");
    driver.drive();
    let text = reason(&mut driver);
    assert!(text.contains("(2 failed, 2 skipped of 4, 2 of them not counted)"), "{text}");
    command(&mut driver, Command::Resume);
    assert_eq!(driver.outcome, Some(Outcome::Partial));
    assert_eq!(driver.flow.counts().succeeded, 4);
}

#[test]
fn a_lower_threshold_or_a_retry_opens_it() {
    let thresholds = BTreeMap::from([("gateways".to_owned(), 50)]);
    let mut driver = boot(2);
    command(&mut driver, Command::Set(Settings { thresholds, ..Settings::default() }));
    assert_eq!(driver.outcome, Some(Outcome::Partial));

    let mut driver = boot(2);
    driver.world.nodes.iter_mut().for_each(|node| node.nature.strange = false);
    command(&mut driver, Command::Retry { members: Vec::new(), from: Vec::new() });
    assert_eq!(driver.outcome, Some(Outcome::Succeeded));
}

#[test]
fn one_at_which_nobody_waits_halts_nothing() {
    let mut natures = vec![Nature::default(); 8];
    natures[4..8].iter_mut().for_each(|nature| nature.strange = true);
    let skip = Command::Skip { members: (0..4).map(Ordinal).collect(), steps: Vec::new() };
    let script = Script { natures, orders: vec![(10, Order::Command(skip))], ..Script::default() };
    let mut driver = Driver::new(gated("boot", Layout::Ordered, 8, Gates::default()), script);
    driver.drive();
    assert_eq!(driver.outcome, Some(Outcome::Failed), "it ends by itself: {:?}", driver.flow.mode());
}

/// A newer session takes a whole boot set over: the other one does not wait for it.
#[test]
fn who_is_taken_over_counts_against_no_barrier() {
    for taken in [vec![4, 5, 6, 7], vec![4, 5, 6]] {
        let wanted = Order::Wanted(taken.iter().copied().map(Ordinal).collect());
        let script =
            Script { natures: vec![Nature::default(); 8], orders: vec![(2, wanted)], ..Script::default() };
        let mut driver = Driver::new(gated("boot", Layout::Ordered, 8, Gates::default()), script);
        driver.drive();
        assert_eq!(driver.outcome, Some(Outcome::Succeeded), "{:?}", driver.flow.mode());
        assert_eq!(driver.flow.counts().skipped, taken.len() as i32);
        assert!((0..4).all(|one| ordered_on(&driver).contains(&one)));
    }
}

/// Nor does it halt a session where the call that covered it then failed.
#[test]
fn who_is_taken_over_and_fails_halts_nothing() {
    let mut natures = on(6);
    natures[0].flaky = 9;
    let gates = Gates {
        halt_on_failures: Some(Share::Count(1)),
        max_unavailable: Some(Share::Count(2)),
        ..Gates::default()
    };
    let mut driver = rolling(Layout::One, natures, gates);
    while offs(&driver).is_empty() && driver.step() {}
    driver.order(Order::Wanted(vec![Ordinal(0)]));
    driver.drive();
    assert_eq!(driver.outcome, Some(Outcome::Succeeded), "{:?}", driver.flow.mode());
    let counts = driver.flow.counts();
    assert_eq!((counts.succeeded, counts.failed + counts.skipped), (5, 1), "{counts:?}");
}

/// Two places, and those first in line are frozen: the others do not wait behind them.
#[test]
fn a_place_that_is_free_goes_to_one_that_is_not_frozen() {
    let gates = Gates { max_unavailable: Some(Share::Count(2)), ..Gates::default() };
    let mut driver = rolling(Layout::One, on(8), gates);
    while offs(&driver).is_empty() && driver.step() {}
    assert_eq!(begun(&driver), [0, 1]);
    driver.order(Order::Frozen([0, 2, 3, 4].map(Ordinal).to_vec()));
    driver.drive();
    assert_eq!(begun(&driver), [0, 1, 5, 6, 7], "and who is inside is brought to its end");
    assert_eq!(driver.flow.counts().succeeded, 5);
    assert_eq!((driver.flow.mode(), driver.flow.gate.taken), (SessionState::Running, 0));
    // A worker that begins is told before it calls anybody.
    driver.die();
    driver.now += 24 * 60 * MINUTE + SECOND;
    driver.drive();
    assert_eq!(begun(&driver), [0, 1, 5, 6, 7]);
    driver.order(Order::Frozen(vec![Ordinal(3)]));
    driver.drive();
    assert_eq!(begun(&driver), [0, 1, 2, 4, 5, 6, 7]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let at_once = offs(&driver).iter().map(|(_, whom)| whom.len()).max();
    assert_eq!(at_once, Some(2));
    assert!(at(driver.now) > at(24 * 60 * MINUTE));
}
