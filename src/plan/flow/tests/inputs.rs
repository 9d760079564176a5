//! Single inputs, and what follows from each.

use std::sync::Arc;

use super::{
    super::{Flow, Input, Output, Pace, Past},
    Layout, MINUTE, SECOND, at, plan,
};
use crate::model::{
    artifacts::BootToken,
    component::Report,
    effect::{EffectNo, RemoteRef},
    plan::{Ordinal, Plan, StepNo},
    session::Outcome,
    verb::{Answer, CallError, Decision, Seen, Took},
};

fn started(plan: &Arc<Plan>) -> (Flow, Vec<Output>) {
    let claimed = (0..plan.members.len() as u32).map(Ordinal).collect();
    let mut flow = Flow::new(plan.clone(), &Past { claimed, ..Past::default() }, Pace::default());
    let outputs = flow.start(at(0));
    (flow, outputs)
}

fn answer(rest: Took) -> Answer {
    Answer { reference: Some(RemoteRef("transition".to_owned())), token: None, rest, named: Vec::new() }
}

fn calls(outputs: &[Output]) -> Vec<EffectNo> {
    let call = |output: &Output| match output {
        Output::Call { effect, .. } => Some(*effect),
        _ => None,
    };
    outputs.iter().filter_map(call).collect()
}

fn saw(step: i16, asked: i64, seen: Seen) -> Input {
    Input::Saw { step: StepNo(step), asked_at: at(asked), seen: Ok(vec![(Ordinal(0), seen)]) }
}

fn finds(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Find(_)))
}

#[test]
fn a_lost_power_call_is_said_again_only_when_it_can_no_longer_act() {
    let plan = plan("shutdown", Layout::One, 1);
    let (mut flow, _) = started(&plan);
    let outputs = flow.feed(at(10), saw(0, 0, Seen::Reached(Some(Decision::PowerOff))));
    assert_eq!(calls(&outputs), [EffectNo(1)]);
    let lost = CallError::Lost { service: "pcs", text: "timeout".to_owned() };
    let mut outputs = flow.feed(at(9 * SECOND), Input::Answered(EffectNo(1), Err(lost)));
    let dead = 10 + Pace::default().call_alive_for.num_milliseconds();
    let mut now = 9 * SECOND;
    // Looked for again and again; what was asked before its death proves nothing.
    while now < dead {
        assert_eq!(calls(&outputs), []);
        if finds(&outputs) {
            now += 300;
            outputs = flow.feed(at(now), Input::Found(EffectNo(1), Ok(None)));
        } else {
            now += 100;
            outputs = flow.feed(at(now), Input::Tick);
        }
    }
    while !finds(&outputs) {
        assert_eq!(calls(&outputs), []);
        now += 100;
        outputs = flow.feed(at(now), Input::Tick);
    }
    let outputs = flow.feed(at(now + 300), Input::Found(EffectNo(1), Ok(None)));
    assert_eq!(calls(&outputs), [EffectNo(2)]);
}

#[test]
fn a_lost_power_call_that_is_found_is_not_said_again() {
    let plan = plan("shutdown", Layout::One, 1);
    let (mut flow, _) = started(&plan);
    flow.feed(at(10), saw(0, 0, Seen::Reached(Some(Decision::PowerOff))));
    let lost = CallError::Lost { service: "pcs", text: "timeout".to_owned() };
    flow.feed(at(SECOND), Input::Answered(EffectNo(1), Err(lost)));
    flow.feed(at(2 * SECOND), Input::Found(EffectNo(1), Ok(Some(answer(Took::Underway)))));
    let outputs = flow.feed(at(3 * SECOND), saw(1, 2 * SECOND, Seen::Reached(None)));
    assert!(outputs.contains(&Output::Over(Outcome::Succeeded)), "{outputs:?}");
}

fn number(plan: &Plan, name: &str) -> i16 {
    let name = format!("compute/{name}");
    plan.steps.iter().position(|step| step.name == name).map(|index| index as i16).unwrap()
}

/// A boot of one whose On was just called: with which effect, and when.
fn called_on(plan: &Arc<Plan>) -> (Flow, EffectNo, i64) {
    let (mut flow, _) = started(plan);
    let mut outputs = flow.feed(at(10), saw(0, 0, Seen::Reached(Some(Decision::PowerOn))));
    let mut now = 10;
    loop {
        let mut next = Vec::new();
        for output in outputs {
            let Output::Call { effect, step, .. } = output else { continue };
            if plan.steps[step.0 as usize].verb.name() == "power_on" {
                return (flow, effect, now);
            }
            now += SECOND;
            let token = Some(BootToken("ours".to_owned()));
            let done = Answer { reference: None, token, rest: Took::Done, named: Vec::new() };
            next.extend(flow.feed(at(now), Input::Answered(effect, Ok(done))));
        }
        outputs = next;
    }
}

#[test]
fn who_is_through_by_other_evidence_is_held_until_the_call_can_no_longer_act() {
    let plan = plan("boot", Layout::One, 1);
    let (mut flow, _, called) = called_on(&plan);
    let report = Report { token: BootToken("ours".to_owned()), artifacts: None, at: at(called + SECOND) };
    flow.feed(at(called + SECOND), Input::Reported(vec![(Ordinal(0), report)]));
    let await_configuration = number(&plan, "await_configuration");
    let seen = saw(await_configuration, called + 2 * SECOND, Seen::Reached(None));
    let over = |outputs: &[Output]| outputs.contains(&Output::Over(Outcome::Succeeded));
    let mut outputs = flow.feed(at(called + 2 * SECOND), seen);
    assert_eq!(flow.counters()[await_configuration as usize].succeeded, 1);
    assert!(!over(&outputs), "its On has not been answered");
    let dead = called + Pace::default().call_alive_for.num_milliseconds();
    assert!(outputs.contains(&Output::Wake(at(dead))), "{outputs:?}");
    outputs = flow.feed(at(dead), Input::Tick);
    assert!(over(&outputs));
}

#[test]
fn only_a_report_of_our_boot_made_since_the_power_on_settles_anything() {
    let plan = plan("boot", Layout::One, 1);
    let await_boot = number(&plan, "await_boot") as usize;
    let (mut flow, effect, called) = called_on(&plan);
    let now = called + SECOND;
    flow.feed(at(now), Input::Answered(effect, Ok(answer(Took::Underway))));
    let mut report = |token: &str, reported: i64| {
        let report = Report { token: BootToken(token.to_owned()), artifacts: None, at: at(reported) };
        flow.feed(at(now + 3 * MINUTE), Input::Reported(vec![(Ordinal(0), report)]));
        flow.counters()[await_boot].succeeded
    };
    assert_eq!(report("ours", called - 5 * SECOND), 0, "before the power-on");
    assert_eq!(report("another", called + MINUTE), 0, "another token");
    assert_eq!(report("ours", called + 2 * MINUTE), 1);
}

/// A hundred thousand components: what is not linear does not come to an end.
#[test]
fn a_reboot_of_many_is_driven_in_a_moment() {
    let members = 100_000;
    let plan = plan("reboot", Layout::One, members);
    let (mut flow, mut outputs) = started(&plan);
    let mut now = 0;
    let mut tokens = vec![String::new(); members as usize];
    let mut over = false;
    while !over {
        now += SECOND;
        let mut inputs = Vec::new();
        for output in std::mem::take(&mut outputs) {
            match output {
                Output::Call { effect, step, members, .. } => {
                    let verb = plan.steps[step.0 as usize].verb.name();
                    let power = verb.starts_with("power");
                    let mut taken = answer(if power { Took::Underway } else { Took::Done });
                    if verb == "set_boot_parameters" {
                        taken.token = Some(BootToken(format!("{effect:?}")));
                        members.iter().for_each(|member| tokens[member.0 as usize] = format!("{effect:?}"));
                    }
                    inputs.push(Input::Answered(effect, Ok(taken)));
                }
                Output::Observe { step, members, .. } => {
                    let seen = match plan.steps[step.0 as usize].verb.name() {
                        "inspect" => Seen::Reached(Some(Decision::PowerCycle)),
                        "await_boot" => Seen::Pending,
                        _ => Seen::Reached(None),
                    };
                    if seen == Seen::Pending {
                        let report = |member: &Ordinal| {
                            let token = BootToken(tokens[member.0 as usize].clone());
                            (*member, Report { token, artifacts: None, at: at(now) })
                        };
                        inputs.push(Input::Reported(members.iter().map(report).collect()));
                    }
                    let seen = Ok(members.into_iter().map(|member| (member, seen.clone())).collect());
                    inputs.push(Input::Saw { step, asked_at: at(now - SECOND), seen });
                }
                Output::Over(outcome) => {
                    assert_eq!(outcome, Outcome::Succeeded);
                    over = true;
                }
                _ => {}
            }
        }
        if inputs.is_empty() {
            inputs.push(Input::Tick);
        }
        // One at a time: the worst a worker can do.
        for input in inputs {
            outputs.extend(flow.feed(at(now), input));
        }
        assert!(now < 24 * 60 * MINUTE, "it does not end: {:?}", flow.counters());
    }
}

#[test]
fn whoever_is_frozen_is_looked_at_and_not_touched() {
    let plan = plan("shutdown", Layout::One, 1);
    let (mut flow, _) = started(&plan);
    let outputs = flow.feed(at(1), Input::Frozen(vec![Ordinal(0)]));
    assert!(outputs.iter().any(|output| matches!(output, Output::Event(_))), "it is told: {outputs:?}");
    let outputs = flow.feed(at(10), saw(0, 0, Seen::Reached(Some(Decision::PowerOff))));
    assert_eq!(calls(&outputs), []);
    // However long that takes: it is nobody's failure.
    let outputs = flow.feed(at(600 * MINUTE), Input::Tick);
    assert!(calls(&outputs).is_empty() && !outputs.iter().any(|output| matches!(output, Output::Record(_))));
    let outputs = flow.feed(at(601 * MINUTE), Input::Frozen(Vec::new()));
    assert_eq!(calls(&outputs), [EffectNo(1)]);
    // Begun with, it is brought to its end.
    flow.feed(at(601 * MINUTE + 1), Input::Frozen(vec![Ordinal(0)]));
    flow.feed(at(601 * MINUTE + 2), Input::Answered(EffectNo(1), Ok(answer(Took::Underway))));
    let outputs = flow.feed(at(602 * MINUTE), saw(1, 602 * MINUTE - 1, Seen::Reached(None)));
    assert!(outputs.contains(&Output::Over(Outcome::Succeeded)), "{outputs:?}");
}
