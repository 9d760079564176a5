//! Stories: what happens to a few nodes, told from beginning to end.

use super::{
    Layout, MINUTE, SECOND, at,
    driver::{Driver, Order, Script},
    plan,
    world::Nature,
};
use crate::model::{
    command::{Command, Settings},
    plan::{EdgeKind, Ordinal, Plan, StepNo},
    reason::ReasonCode,
    result::FactKind,
    session::{Outcome, SessionState},
    verb::Decision,
};

fn on() -> Nature {
    Nature { on: true, ..Nature::default() }
}

fn drive(operation: &str, layout: Layout, natures: Vec<Nature>) -> Driver {
    scripted(operation, layout, Script { natures, ..Script::default() })
}

fn scripted(operation: &str, layout: Layout, script: Script) -> Driver {
    Driver::new(plan(operation, layout, script.natures.len() as u32), script)
}

fn at_second(second: u16, command: Command) -> Vec<(u16, Order)> {
    vec![(second, Order::Command(command))]
}

fn step(plan: &Plan, name: &str) -> StepNo {
    let index = plan.steps.iter().position(|step| step.name == name).unwrap();
    StepNo(index as i16)
}

impl Driver {
    /// Who was called for this verb, call by call.
    fn called(&self, verb: &str) -> Vec<Vec<u32>> {
        let of_verb = self.calls.iter().filter(|call| call.1 == verb);
        of_verb.map(|call| call.3.iter().map(|ordinal| ordinal.0).collect()).collect()
    }

    /// Facts of one kind about one component: (step, run, reason).
    fn facts(&self, ordinal: u32, kind: FactKind) -> Vec<(&str, u16, Option<ReasonCode>)> {
        let facts = self.past.facts.iter().map(|past| &past.fact);
        facts
            .filter(|fact| fact.kind == kind && fact.members.contains(&Ordinal(ordinal)))
            .map(|fact| {
                let name = self.plan.steps[fact.step.0 as usize].name.as_str();
                (name, fact.run, fact.reason.as_ref().map(|reason| reason.code))
            })
            .collect()
    }

    fn failure(&self, ordinal: u32) -> Option<ReasonCode> {
        self.flow.components[ordinal as usize].failed.as_ref().map(|reason| reason.code)
    }
}

#[test]
fn a_reboot_of_four_of_which_one_cannot_be_switched_off() {
    let mut driver =
        drive("reboot", Layout::One, vec![on(), Nature { refused: true, ..on() }, on(), Nature::default()]);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!(driver.called("tag_image"), [[0, 1, 2, 3]]);
    assert_eq!(driver.called("power_off"), [[0, 1, 2]], "the fourth is off already");
    assert_eq!(driver.called("set_boot_parameters"), [vec![3], vec![0, 2]]);
    assert_eq!(driver.called("power_on"), [vec![3], vec![0, 2]], "nobody waits for the others");
    assert_eq!(
        driver.facts(1, FactKind::Failed),
        [("compute/power_off", 1, Some(ReasonCode::UnknownToPowerControl))]
    );
    let counts = driver.flow.counts();
    assert_eq!((counts.succeeded, counts.failed, counts.skipped), (3, 1, 0));
}

#[test]
fn one_that_does_not_hear_is_forced_when_its_soft_off_has_ended() {
    let mut driver = drive("shutdown", Layout::One, vec![on(), Nature { deaf: true, ..on() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let calls: Vec<_> = driver.calls.iter().map(|(when, _, rung, whom)| (*rung, whom.len(), *when)).collect();
    assert_eq!((calls[0].0, calls[0].1), (0, 2));
    assert_eq!((calls[1].0, calls[1].1), (1, 1));
    assert!(calls[1].2 - calls[0].2 >= 5 * MINUTE, "not by our clock, but when its task ended: {calls:?}");
}

#[test]
fn one_that_somebody_reserved_is_tried_again_on_the_same_rung() {
    let mut driver = drive("shutdown", Layout::One, vec![Nature { reserved: 8, ..on() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert!(driver.calls.iter().all(|call| call.2 == 0), "it was never forced");
    assert_eq!(driver.calls.len(), 9);
}

#[test]
fn one_that_hangs_is_cycled_as_often_as_the_step_says() {
    let mut driver = drive("reboot", Layout::One, vec![Nature { hangs: 9, ..on() }, on()]);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!(driver.failure(0), Some(ReasonCode::BootTimeout));
    assert_eq!(driver.facts(0, FactKind::SentBack).len(), 2, "BOS's retry policy is 3 boots");
    assert_eq!(driver.world.nodes[0].rises, 3);
    assert_eq!(driver.world.nodes[1].rises, 1);
}

#[test]
fn one_that_was_off_is_switched_off_before_its_second_boot() {
    let mut driver = drive("boot", Layout::One, vec![Nature { hangs: 1, ..Nature::default() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.called("power_off"), [[0]]);
    assert_eq!(driver.flow.components[0].decision, Some(Decision::PowerCycle));
    assert_eq!(driver.called("set_boot_parameters").len(), 2, "each boot has its own token");
}

#[test]
fn one_that_boots_something_else_has_not_booted() {
    let mut driver = drive("boot", Layout::One, vec![Nature { strange: true, ..Nature::default() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    assert_eq!(driver.failure(0), Some(ReasonCode::BootTimeout));
}

#[test]
fn one_without_a_reporter_is_believed_when_hsm_has_shown_it_ready_for_a_while() {
    let mut driver = drive("boot", Layout::One, vec![Nature { mute: true, ..Nature::default() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.facts(0, FactKind::Noticed).len(), 1);
    let booted = step(&driver.plan, "compute/await_boot");
    let fact = driver
        .past
        .facts
        .iter()
        .find(|past| past.fact.step == booted && past.fact.kind == FactKind::Succeeded);
    let ready = at(driver.world.nodes[0].ready.unwrap());
    assert!(fact.unwrap().at - ready >= driver.pace.ready_grace);
}

#[test]
fn while_a_service_is_down_nobody_times_out() {
    // Longer than any deadline of power_off, shorter than our patience.
    let outages = vec![("pcs", 2, 1750)];
    let script = Script { natures: vec![on(), on()], outages, ..Script::default() };
    let mut driver = scripted("reboot", Layout::One, script);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
}

#[test]
fn patience_with_a_service_ends_and_the_service_is_named() {
    let outages = vec![("bss", 0, 2000)];
    let script = Script { natures: vec![on(), on()], outages, ..Script::default() };
    let mut driver = scripted("reboot", Layout::One, script);
    driver.drive();
    assert_eq!(driver.outcome, Some(Outcome::Failed));
    assert_eq!(driver.failure(0), Some(ReasonCode::ServiceUnavailable));
    assert!((30 * MINUTE..32 * MINUTE).contains(&driver.now), "{}", driver.now);
    driver.now = 40 * MINUTE;
    driver.retry_ended();
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.called("power_off").len(), 1, "the service had failed: it goes on where it was");
}

#[test]
fn a_poisoned_call_is_halved_until_the_culprit_stands_alone() {
    let mut natures = vec![on(); 8];
    natures[5].poisons = true;
    let mut driver = drive("reboot", Layout::One, natures);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!(driver.failure(5), Some(ReasonCode::BootParametersRejected));
    assert_eq!(driver.called("set_boot_parameters").len(), 7);
    assert_eq!(driver.flow.counts().succeeded, 7);
}

#[test]
fn paused_before_it_began_it_touches_nobody() {
    let orders = at_second(0, Command::Pause);
    let mut driver =
        scripted("reboot", Layout::One, Script { natures: vec![on(); 3], orders, ..Script::default() });
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Paused);
    assert!(driver.calls.is_empty() && driver.flow.is_idle());
    driver.order(Order::Command(Command::Resume));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
}

#[test]
fn cancelled_it_leaves_nobody_dark() {
    // The first is off by then; the second is still held by somebody else and past its gate; nobody waits for boots.
    let natures = vec![on(), Nature { reserved: 3, ..on() }];
    let orders = at_second(10, Command::Cancel { at_once: false });
    let mut driver = scripted("reboot", Layout::One, Script { natures, orders, ..Script::default() });
    assert_eq!(driver.drive_to_end(), Outcome::Cancelled);
    assert!(driver.world.nodes.iter().all(|node| node.on));
    assert_eq!(driver.facts(0, FactKind::Skipped), [("compute/await_boot", 1, Some(ReasonCode::Cancelled))]);
}

#[test]
fn cancelled_behind_a_barrier_that_cannot_open_it_leaves_nobody_dark() {
    // Compute (0, 1) boots after the gateways (2, 3), which hang.
    let hangs = Nature { hangs: 9, ..on() };
    let natures = vec![on(), on(), hangs.clone(), hangs];
    let mut driver = drive("reboot", Layout::Ordered, natures);
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    assert!(!driver.world.nodes[0].on, "it waits for the gateways");
    driver.order(Order::Command(Command::Cancel { at_once: false }));
    assert_eq!(driver.drive_to_end(), Outcome::Cancelled);
    assert!(driver.world.nodes.iter().all(|node| node.on));
}

#[test]
fn a_halted_session_runs_again_when_those_who_failed_are_sent_back() {
    let hangs = Nature { hangs: 3, ..on() };
    let mut driver = drive("reboot", Layout::Ordered, vec![on(), on(), hangs.clone(), hangs]);
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    driver.order(Order::Command(Command::Retry { members: Vec::new(), from: Vec::new() }));
    assert_eq!(driver.flow.mode(), SessionState::Running);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.world.nodes[0].rises, 1, "those who waited were not cycled again");
    assert_eq!(driver.world.nodes[2].rises, 4);
}

#[test]
fn a_retry_repeats_only_what_failed() {
    let mut driver = drive("reboot", Layout::One, vec![on(), Nature { misconfigured: true, ..on() }]);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    let calls = driver.calls.len();
    driver.world.nodes[1].nature.misconfigured = false;
    driver.retry_ended();
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.calls.len(), calls, "to be waited for, not to be booted");
}

#[test]
fn sent_back_to_be_powered_on_once_more_its_old_report_proves_nothing() {
    // Booted and reported, but misconfigured; sent back while power control is away, so that its On has to wait.
    let natures = vec![Nature { misconfigured: true, ..Nature::default() }, Nature { strange: true, ..on() }];
    let from = step(&plan("boot", Layout::One, 2), "compute/set_boot_parameters");
    let orders = at_second(400, Command::Retry { members: Vec::new(), from: vec![from] });
    let outages = vec![("pcs", 1, 600)];
    let script = Script { natures, orders, outages, ..Script::default() };
    let mut driver = scripted("boot", Layout::One, script);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    assert_eq!(
        driver.facts(0, FactKind::SentBack),
        [
            ("compute/await_configuration", 1, Some(ReasonCode::RetriedByActor)),
            ("compute/await_boot", 2, Some(ReasonCode::BootTimeout)),
        ]
    );
    assert_eq!(driver.world.nodes[0].rises, 2, "it boots the parameters that were set anew");
}

#[test]
fn one_that_another_session_wants_is_given_when_its_call_has_settled() {
    let natures = vec![Nature { deaf: true, ..on() }, on()];
    let orders = vec![(3, Order::Wanted(vec![Ordinal(0)]))];
    let mut driver = scripted("reboot", Layout::One, Script { natures, orders, ..Script::default() });
    driver.drive();
    assert_eq!(
        driver.outcome,
        Some(Outcome::Succeeded),
        "the other one is through; who was given away is skipped"
    );
    assert!(driver.facts(0, FactKind::Skipped).iter().all(|fact| fact.2 == Some(ReasonCode::TakenOver)));
    assert_eq!(driver.called("power_off"), [[0, 1]], "no Force-Off any more");
    assert!(driver.now >= 5 * MINUTE + SECOND, "its Soft-Off was let end");
}

#[test]
fn one_that_another_session_still_holds_is_not_even_looked_at() {
    let natures = vec![on(), on()];
    let script = Script { natures, awaited: vec![Ordinal(1)], ..Script::default() };
    let mut driver = scripted("reboot", Layout::One, script);
    driver.drive();
    assert_eq!(driver.outcome, None, "it waits for the other one");
    assert_eq!(driver.called("power_off"), [[0]]);
    assert_eq!(driver.facts(1, FactKind::Succeeded), []);
    driver.order(Order::Given(vec![Ordinal(1)]));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.called("power_off"), [[0], [1]]);
}

#[test]
fn one_that_a_third_session_takes_while_it_is_waited_for_is_left_out() {
    let natures = vec![on(), on()];
    let script = Script { natures, awaited: vec![Ordinal(1)], ..Script::default() };
    let mut driver = scripted("reboot", Layout::One, script);
    driver.order(Order::Wanted(vec![Ordinal(1)]));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.facts(1, FactKind::Skipped), [("compute/inspect", 1, Some(ReasonCode::TakenOver))]);
}

#[test]
fn a_stuck_session_gives_away_what_is_wanted_and_does_nothing_else() {
    // The first is past its gate, and its Soft-Off ends without effect while the session is stuck.
    let natures = vec![Nature { deaf: true, ..on() }, Nature { deaf: true, ..on() }];
    let orders = vec![(3, Order::Parked), (9, Order::Wanted(vec![Ordinal(0)]))];
    let mut driver = scripted("reboot", Layout::One, Script { natures, orders, ..Script::default() });
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Stuck);
    assert_eq!(driver.past.claimed, [Ordinal(1)], "the other one was given away");
    assert_eq!(driver.called("power_off"), [[0, 1]], "nobody was forced off");
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.called("power_off"), [vec![0, 1], vec![1]]);
}

#[test]
fn one_of_an_earlier_wave_that_is_retried_closes_the_gate_of_the_next_also_for_a_new_worker() {
    // The first wave fails at once: BSS refuses it. The retry comes while the second is at its boot parameters.
    let natures = vec![
        Nature { poisons: true, ..Nature::default() },
        Nature { poisons: true, ..Nature::default() },
        Nature::default(),
        Nature::default(),
    ];
    let retry = || Command::Retry { members: Vec::new(), from: Vec::new() };
    for second in 0..60 {
        for kills in [vec![], vec![(2, 1), (0, 1), (3, 2), (1, 1), (0, 2), (2, 1)]] {
            let orders = at_second(second, retry());
            let script = Script { natures: natures.clone(), orders, kills, ..Script::default() };
            let mut driver = scripted("reboot", Layout::Waves, script);
            assert_eq!(driver.drive_to_end(), Outcome::Partial, "retried after {second} s");
            assert!(driver.world.nodes[2..].iter().all(|node| node.rises == 1));
        }
    }
}

#[test]
fn who_is_let_pass_counts_as_through_and_no_call_is_made_for_it() {
    // Neither boots what it should; one of them is let pass while it waits, the other one after it has failed.
    let strange = || Nature { strange: true, ..Nature::default() };
    let natures = vec![Nature::default(), strange(), strange()];
    let mut driver = scripted("boot", Layout::One, Script { natures, ..Script::default() });
    let booted = step(&driver.plan, "compute/await_boot");
    let pass =
        |ordinal| Order::Command(Command::Pass { steps: vec![booted], members: vec![Ordinal(ordinal)] });
    while driver.flow.counters()[booted.0 as usize].in_flight < 3 {
        assert!(driver.step(), "they never wait for their boot");
    }
    driver.order(pass(1));
    let passed = ("compute/await_boot", 1, Some(ReasonCode::PassedByActor));
    assert_eq!(driver.facts(1, FactKind::Passed), [passed]);
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert_eq!(driver.failure(2), Some(ReasonCode::BootTimeout));
    let counts = driver.flow.counts();
    assert_eq!((counts.succeeded, counts.failed), (2, 1));
    let (calls, boots) = (driver.calls.len(), driver.world.nodes[2].rises);

    driver.reopen(Command::Pass { steps: vec![booted], members: vec![Ordinal(2)] });
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.facts(2, FactKind::Passed).len(), 1);
    assert_eq!(driver.facts(2, FactKind::Succeeded).last().unwrap().0, "compute/await_configuration");
    assert_eq!((driver.calls.len(), driver.world.nodes[2].rises), (calls, boots), "nothing was done");
}

#[test]
fn nobody_passes_under_a_call_nor_what_decides() {
    let mut driver =
        scripted("reboot", Layout::One, Script { natures: vec![on(), on()], ..Script::default() });
    let off = step(&driver.plan, "compute/power_off");
    while driver.called("power_off").is_empty() {
        assert!(driver.step());
    }
    let everybody = || vec![Ordinal(0), Ordinal(1)];
    driver.order(Order::Command(Command::Pass { steps: vec![off], members: everybody() }));
    driver.order(Order::Command(Command::Pass { steps: vec![StepNo(0)], members: everybody() }));
    assert!(driver.past.facts.iter().all(|past| past.fact.kind != FactKind::Passed));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
}

#[test]
fn a_lower_threshold_opens_a_halted_barrier_and_a_new_worker_knows_it() {
    let natures = vec![Nature { refused: true, ..on() }, on(), on(), on()];
    let script = Script { natures, ..Script::default() };
    let mut driver = scripted("shutdown", Layout::Ordered, script);
    driver.drive();
    assert_eq!(driver.flow.mode(), SessionState::Halted);
    let thresholds = [("compute".to_owned(), 50)].into();
    let set = Settings { thresholds, ..Settings::default() };
    driver.order(Order::Command(Command::Set(set)));
    assert_eq!(driver.flow.mode(), SessionState::Running, "nobody has to resume it");
    driver.order(Order::Parked);
    let threshold = |driver: &Driver| {
        let edges = driver.flow.plan().edges.clone();
        edges.into_iter().find_map(|edge| match edge.kind {
            EdgeKind::Barrier { threshold_percent } => Some(threshold_percent),
            EdgeKind::PerComponent => None,
        })
    };
    assert_eq!(threshold(&driver), Some(50));
    assert_eq!(driver.drive_to_end(), Outcome::Partial);
    assert!(!driver.world.nodes[2].on && !driver.world.nodes[3].on);
}

#[test]
fn a_longer_timeout_holds_for_those_who_are_in_the_step_already() {
    let natures = vec![Nature { hangs: 1, ..Nature::default() }];
    let mut driver = scripted("boot", Layout::One, Script { natures, ..Script::default() });
    let booted = step(&driver.plan, "compute/await_boot");
    let timeout = driver.plan.steps[booted.0 as usize].timeout;
    let longer = timeout * 3;
    let timeouts_s = [("compute/await_boot".to_owned(), longer.as_secs())].into();
    let set = Command::Set(Settings { timeouts_s, ..Settings::default() });
    let before = u16::try_from(timeout.as_secs()).unwrap();
    driver.order_at(before, Order::Command(set));
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let fell = driver.past.facts.iter().find(|past| past.fact.kind == FactKind::SentBack).unwrap();
    assert!(fell.at >= at(i64::try_from(longer.as_millis()).unwrap()), "it was sent back at {}", fell.at);
}

#[test]
fn cancelled_at_once_it_brings_nothing_back_and_says_whom_it_leaves_off() {
    let natures = vec![on(), Nature { deaf: true, ..on() }, Nature::default()];
    let script = Script { natures, ..Script::default() };
    let mut driver = scripted("reboot", Layout::One, script);
    while driver.called("set_boot_parameters").len() < 2 {
        assert!(driver.step());
    }
    driver.order(Order::Command(Command::Cancel { at_once: true }));
    let (calls, now) = (driver.calls.len(), driver.now);
    assert_eq!(driver.drive_to_end(), Outcome::Cancelled);
    assert_eq!(driver.calls.len(), calls, "no call was made any more");
    assert!(!driver.world.nodes[0].on, "it was off, and stays so");
    assert_eq!(driver.flow.left_off(), [Ordinal(0), Ordinal(1)], "the second was told to go off");
    assert!(driver.now < now + 3 * MINUTE, "its transition was aborted");
    // A plain cancel before, and a worker that dies after: the same.
    let natures = vec![on(), Nature { deaf: true, ..on() }];
    let mut driver = scripted("reboot", Layout::One, Script { natures, ..Script::default() });
    while driver.called("power_off").is_empty() {
        assert!(driver.step());
    }
    driver.order(Order::Command(Command::Cancel { at_once: false }));
    driver.order(Order::Command(Command::Cancel { at_once: true }));
    driver.die();
    assert_eq!(driver.drive_to_end(), Outcome::Cancelled);
    assert_eq!(driver.called("power_off").len(), 1, "nobody is forced off any more");
    assert!(driver.called("power_on").is_empty());
}

#[test]
fn a_retry_from_a_step_finds_it_in_every_boot_set() {
    let natures = vec![Nature { hangs: 9, ..Nature::default() }, Nature { hangs: 9, ..Nature::default() }];
    let mut driver = scripted("boot", Layout::Two, Script { natures, ..Script::default() });
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    let from = ["compute/inspect", "gateways/inspect"].map(|name| step(&driver.plan, name)).to_vec();
    driver.reopen(Command::Retry { members: Vec::new(), from });
    for ordinal in 0..2 {
        let last = driver.facts(ordinal, FactKind::SentBack).last().copied().unwrap();
        assert_eq!(last.2, Some(ReasonCode::RetriedByActor));
    }
    driver.drive_to_end();
}

#[test]
fn killed_after_every_output_it_loses_nobody_and_cycles_nobody_twice() {
    for how in 0..4 {
        for between in 0..6 {
            let kills = vec![(between, how); 60];
            let natures = vec![on(), Nature { deaf: true, ..on() }, Nature::default()];
            let mut driver = scripted("reboot", Layout::One, Script { natures, kills, ..Script::default() });
            assert_eq!(driver.drive_to_end(), Outcome::Succeeded, "{how}, {between}");
            assert!(driver.world.nodes.iter().all(|node| node.rises == 1));
        }
    }
}
