//! Steps of a site's own: calls per slice and per session, and who shares their result.

use super::{
    super::{Flow, Input, Output, Pace, Past},
    Layout, MINUTE, SECOND, at,
    driver::{Driver, Order, Script},
    plan,
    world::Nature,
};
use crate::model::{
    command::Command,
    effect::EffectNo,
    plan::{Ordinal, Plan, StepNo},
    reason::ReasonCode,
    result::FactKind,
    session::Outcome,
    site::HttpStep,
    verb::{Answer, CallError, Decision, Seen, Took, Verb},
};

/// An operation with a bit of everything.
pub const OPERATION: (&str, &str) = (
    "site",
    "
steps:
  - {name: inspect, verb: inspect, goal: reboot}
  - {name: announce, verb: http, call: {url: 'http://chat/'}, per: session, disturbs: false, needs: [inspect]}
  - {name: drain, verb: http, call: {url: 'http://wlm/drain'}, per: slice, needs: [announce], when: [powers_off]}
  - {name: power_off, verb: power_off, needs: [drain], when: [powers_off]}
  - {name: set_boot_parameters, verb: set_boot_parameters, needs: [power_off], when: [powers_on]}
  - {name: power_on, verb: power_on, needs: [set_boot_parameters], when: [powers_on]}
  - name: await_boot
    verb: await_boot
    needs: [power_on]
    when: [powers_on]
    again: {from: drain, on: [boot_timeout]}
  - {name: check, verb: job, command: ['true'], per: session, disturbs: false, attempts: 2, needs: [await_boot]}
barriers:
  - {by: boot_ordinal, after: await_boot, before: [power_on]}
",
);

fn on() -> Nature {
    Nature { on: true, ..Nature::default() }
}

fn drive(layout: Layout, natures: Vec<Nature>) -> Driver {
    let plan = plan("site", layout, natures.len() as u32);
    Driver::new(plan, Script { natures, ..Script::default() })
}

impl Driver {
    fn said(&self, verb: &str) -> Vec<Vec<u32>> {
        let of_verb = self.calls.iter().filter(|call| call.1 == verb);
        of_verb.map(|call| call.3.iter().map(|ordinal| ordinal.0).collect()).collect()
    }

    fn failures(&self) -> Vec<ReasonCode> {
        let failed = self.flow.components.iter().filter_map(|component| component.failed.as_ref());
        failed.map(|reason| reason.code).collect()
    }
}

#[test]
fn a_call_per_session_speaks_for_all_slices_once() {
    let mut driver = drive(Layout::Two, vec![on(); 4]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    // Announced by one for both; drained slice by slice.
    assert_eq!(driver.said("http"), [vec![0, 1], vec![0, 1], vec![2, 3]]);
    assert_eq!(driver.said("job").len(), 1);
    let through = driver.past.facts.iter().filter(|past| past.fact.kind == FactKind::Succeeded);
    let check = |step: StepNo| driver.plan.steps[step.0 as usize].name.ends_with("check");
    let checked: usize =
        through.filter(|past| check(past.fact.step)).map(|past| past.fact.members.len()).sum();
    assert_eq!(checked, 4);
}

/// As where a boot and a shutdown with workflows of the site's own are one session.
#[test]
fn steps_of_one_name_that_call_something_else_make_calls_of_their_own() {
    let mut plan = Plan::clone(&plan("site", Layout::Two, 4));
    let announces = plan.steps.iter_mut().rfind(|step| step.name.ends_with("announce"));
    let Some(Verb::Http(HttpStep { call: Some(call), .. })) = announces.map(|step| &mut step.verb) else {
        panic!("it calls nothing")
    };
    call.url = "http://radio/".to_owned().try_into().unwrap();
    let mut driver = Driver::new(plan.into(), Script { natures: vec![on(); 4], ..Script::default() });
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    let mut said = driver.said("http");
    said.sort();
    assert_eq!(said, [vec![0, 1], vec![0, 1], vec![2, 3], vec![2, 3]]);
}

#[test]
fn a_call_per_slice_waits_for_whoever_is_still_under_way() {
    // One hangs at its first boot: the check is made when it is up as well.
    let mut driver = drive(Layout::One, vec![on(), Nature { hangs: 1, ..on() }, on()]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.said("http"), [vec![0, 1, 2], vec![0, 1, 2], vec![1]]);
    assert_eq!(driver.said("job"), [[0, 1, 2]]);
}

#[test]
fn waves_and_ordinals_get_calls_of_their_own() {
    let mut driver = drive(Layout::Waves, vec![on(); 4]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(
        driver.said("job"),
        [[0], [1], [3]],
        "one for each wave; the third shares that of the second's"
    );
    let mut driver = drive(Layout::Ordered, vec![on(); 4]);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!(driver.said("job"), [[0, 1]], "the first are up, but for the others it is not over yet");
}

#[test]
fn who_shares_a_call_fails_with_it_as_often_as_it_is_tried() {
    let mut driver = drive(Layout::Two, vec![on(), Nature { misconfigured: true, ..on() }, on(), on()]);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    assert_eq!(driver.said("job"), [[0, 1], [0, 1]]);
    assert_eq!(driver.failures(), [ReasonCode::JobFailed; 4]);
}

fn started() -> Flow {
    let plan = plan("site", Layout::Two, 2);
    let claimed = vec![Ordinal(0), Ordinal(1)];
    let mut flow = Flow::new(plan, &Past { claimed, ..Past::default() }, Pace::default());
    flow.start(at(0));
    flow
}

fn number(flow: &Flow, name: &str) -> StepNo {
    let index = flow.plan.steps.iter().position(|step| step.name == name).unwrap();
    StepNo(index as i16)
}

fn inspected(flow: &mut Flow, boot_set: &str, ordinal: u32) -> Vec<Output> {
    let step = number(flow, &format!("{boot_set}/inspect"));
    let seen = Ok(vec![(Ordinal(ordinal), Seen::Reached(Some(Decision::PowerCycle)))]);
    flow.feed(at(10), Input::Saw { step, asked_at: at(0), seen })
}

fn calls(outputs: &[Output]) -> Vec<(EffectNo, StepNo)> {
    let call = |output: &Output| match output {
        Output::Call { effect, step, .. } => Some((*effect, *step)),
        _ => None,
    };
    outputs.iter().filter_map(call).collect()
}

#[test]
fn a_lost_call_per_session_is_looked_for_and_what_it_brings_is_shared() {
    let mut flow = started();
    assert_eq!(calls(&inspected(&mut flow, "compute", 0)), [], "the other slice is still being inspected");
    let announced = calls(&inspected(&mut flow, "gateways", 1));
    assert_eq!(announced, [(EffectNo(1), number(&flow, "compute/announce"))]);
    assert_eq!(flow.sharers(EffectNo(1)).collect::<Vec<_>>(), [Ordinal(1)]);
    let lost = CallError::Lost { service: "webhook", text: "timeout".to_owned() };
    let outputs = flow.feed(at(SECOND), Input::Answered(EffectNo(1), Err(lost)));
    assert!(outputs.contains(&Output::Find(EffectNo(1))), "{outputs:?}");
    let done = Answer { reference: None, token: None, rest: Took::Done, named: Vec::new() };
    let outputs = flow.feed(at(2 * SECOND), Input::Found(EffectNo(1), Ok(Some(done))));
    let drains = [number(&flow, "compute/drain"), number(&flow, "gateways/drain")];
    assert_eq!(calls(&outputs).into_iter().map(|call| call.1).collect::<Vec<_>>(), drains);
}

#[test]
fn a_call_that_was_not_taken_is_made_again_for_all_who_shared_it() {
    let mut flow = started();
    inspected(&mut flow, "compute", 0);
    inspected(&mut flow, "gateways", 1);
    let down = CallError::Transient { service: "webhook", text: "refused".to_owned(), retry_after: None };
    flow.feed(at(SECOND), Input::Answered(EffectNo(1), Err(down)));
    let outputs = flow.feed(at(3 * SECOND), Input::Tick);
    assert_eq!(calls(&outputs).len(), 1, "{outputs:?}");
    assert_eq!(flow.sharers(EffectNo(2)).count(), 1);
    let refused = CallError::Rejected { text: "no".to_owned(), named: Vec::new() };
    let outputs = flow.feed(at(4 * SECOND), Input::Answered(EffectNo(2), Err(refused)));
    assert!(outputs.contains(&Output::Over(Outcome::Failed)), "{outputs:?}");
    assert!(flow.components.iter().all(|component| component.failed.as_ref().unwrap().text == "no"));
}

/// One makes the call for both, and it is never taken: neither waits for ever, nor one after the other.
#[test]
fn a_call_per_session_that_is_never_taken_fails_for_everybody_it_speaks_for() {
    let script =
        Script { natures: vec![on(); 2], outages: vec![("command", 0, 20_000)], ..Script::default() };
    let mut driver = Driver::new(plan("site", Layout::Two, 2), script);
    assert_eq!(driver.drive_to_end(), Outcome::Failed);
    assert_eq!(driver.failures(), [ReasonCode::ServiceUnavailable; 2]);
    assert!(driver.now < 60 * MINUTE, "{}", driver.now);
}

/// Who was to make the call goes no further: somebody else makes it, when the service may be asked again.
#[test]
fn a_call_per_session_is_made_by_whoever_is_left() {
    let skip = Order::Command(Command::Skip { members: vec![Ordinal(0)], steps: Vec::new() });
    let script = Script {
        natures: vec![on(); 2],
        outages: vec![("command", 0, 600)],
        orders: vec![(500, skip)],
        ..Script::default()
    };
    let mut driver = Driver::new(plan("site", Layout::Two, 2), script);
    assert_eq!(driver.drive_to_end(), Outcome::Succeeded);
    assert_eq!((driver.flow.counts().succeeded, driver.flow.counts().skipped), (1, 1));
    assert_eq!(driver.said("job").last(), Some(&vec![1]));
}
