//! `power_off` and `power_on` against a PCS that answers as the real one does.

use std::time::Duration;

use axum::http::Method;
use bosun::{
    model::{
        Timestamp,
        effect::{EffectNo, RemoteRef},
        plan::Ordinal,
        reason::ReasonCode,
        verb::{Answer as Called, Call, Member, OpenEffect, Seen, Shared, Sight, Took, Verb},
        xname::Xname,
    },
    steps,
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    loopback::{Answer, Asked, Loopback, problem},
    steps::{member, shared},
};

fn power_off() -> Verb {
    Verb::PowerOff { soft_off_within: Duration::from_secs(300), force_off_within: Duration::from_secs(61) }
}

fn xnames(count: usize) -> Vec<Xname> {
    (0..count).map(|node| format!("x1c0s0b0n{node}").parse().unwrap()).collect()
}

/// The members with these xnames, changed by their place.
fn members<'a>(xnames: &'a [Xname], change: impl Fn(usize, &mut Member<'a>)) -> Vec<Member<'a>> {
    let one = |(place, xname)| {
        let mut member = Member { ordinal: Ordinal(place as u32), ..member(xname) };
        change(place, &mut member);
        member
    };
    xnames.iter().enumerate().map(one).collect()
}

fn task(node: usize, status: &str, description: &str, error: &str) -> Value {
    json!({ "xname": format!("x1c0s0b0n{node}"), "taskStatus": status, "taskStatusDescription": description,
            "error": error })
}

fn transition(id: &str, status: &str, created_at: Timestamp, tasks: Option<Vec<Value>>) -> Value {
    let mut transition = json!({ "transitionID": id, "operation": "Soft-Off", "createTime": created_at.to_rfc3339(),
        "transitionStatus": status, "taskCounts": { "total": 0 } });
    if let Some(tasks) = tasks {
        transition["tasks"] = tasks.into();
    }
    transition
}

#[tokio::test]
async fn a_transition_is_begun_with_the_rungs_operation_and_one_minute() {
    let service =
        Loopback::start(|_| Answer::Json(200, json!({ "transitionID": "t1", "operation": "Force-Off" })))
            .await;
    let xnames = xnames(2);
    let members = members(&xnames, |_, _| ());
    let call = Call { effect: EffectNo(1), rung: 1, members: &members, shared: shared() };
    let answer = steps::act(&power_off(), &service.services(), &call).await.unwrap();
    let begun = Called {
        reference: Some(RemoteRef("t1".to_owned())),
        token: None,
        rest: Took::Underway,
        named: vec![],
    };
    assert_eq!(answer, begun);
    let asked = &service.asked()[0];
    assert_eq!((asked.method.clone(), asked.path.as_str()), (Method::POST, "/transitions"));
    assert_eq!(
        asked.body,
        json!({ "operation": "Force-Off", "taskDeadlineMinutes": 1,
                "location": [{ "xname": "x1c0s0b0n0" }, { "xname": "x1c0s0b0n1" }] })
    );
}

/// What a PCS with one transition answers, whose table says so of node `n`.
fn pcs(transition: Value, states: &'static [&'static str]) -> impl Fn(&Asked) -> Answer {
    move |asked| match asked.path.as_str() {
        "/transitions/t1" => Answer::Json(200, transition.clone()),
        "/power-status" => {
            let wanted = asked.body["xname"].as_array().unwrap();
            let state = |xname: &Value| {
                let node: usize = xname.as_str().unwrap().rsplit('n').next().unwrap().parse().unwrap();
                json!({ "xname": xname, "powerState": states[node], "error": "" })
            };
            Answer::Json(200, json!({ "status": wanted.iter().map(state).collect::<Vec<_>>() }))
        }
        "/hsm/v2/State/Components/Query" => {
            let locked = json!({ "ID": "x1c0s0b0n4", "Type": "Node", "Locked": true });
            Answer::Json(200, json!({ "Components": [locked, { "ID": "x1c0s0b0n5", "Type": "Node" }] }))
        }
        other => problem(404, other),
    }
}

fn open(members: &[Member<'_>], reference: Option<&str>) -> Vec<OpenEffect> {
    vec![OpenEffect {
        effect: EffectNo(1),
        rung: 0,
        members: members.iter().map(|member| member.ordinal).collect(),
        reference: reference.map(|reference| RemoteRef(reference.to_owned())),
        intended_at: Utc::now() - TimeDelta::seconds(60),
    }]
}

fn ordered(mut seen: Vec<(Ordinal, Seen)>) -> Vec<String> {
    seen.sort_by_key(|(ordinal, _)| *ordinal);
    let label = |reason: &bosun::model::reason::Reason| reason.code.label();
    let word = |seen: Seen| match seen {
        Seen::Reached(None) => "reached".to_owned(),
        Seen::Reached(Some(decision)) => format!("{decision:?}"),
        Seen::Pending | Seen::Waits(_) => "pending".to_owned(),
        Seen::Noticed => "noticed".to_owned(),
        Seen::Spent(reason) => format!("spent {}", label(&reason)),
        Seen::Busy(reason) => format!("busy {}", label(&reason)),
        Seen::Failed(reason) => format!("failed {}", label(&reason)),
        Seen::Skipped(reason) => format!("skipped {}", label(&reason)),
    };
    seen.into_iter().map(|(ordinal, seen)| format!("{} {}", ordinal.0, word(seen))).collect()
}

#[tokio::test]
async fn tasks_are_read_one_by_one_and_doubted_in_bulk() {
    let failed = "Failed to achieve transition";
    let tasks = vec![
        task(0, "succeeded", "Transition confirmed, gracefulshutdown", ""),
        task(1, "succeeded", "Component already in desired state", ""),
        task(2, "succeeded", "Component already in desired state", ""),
        task(3, "succeeded", "Component already in desired state", ""),
        task(4, "failed", failed, "Unable to reserve component"),
        task(5, "failed", failed, "Unable to reserve component"),
        task(6, "failed", failed, "Missing xname"),
        task(7, "failed", failed, "Timeout waiting for transition, gracefulshutdown."),
        task(8, "in-progress", "Confirming successful transition, gracefulshutdown", ""),
    ];
    let told = transition("t1", "completed", Utc::now(), Some(tasks));
    let service =
        Loopback::start(pcs(told, &["on", "off", "on", "off", "on", "on", "on", "on", "off", "on"])).await;
    let xnames = xnames(10);
    let members = members(&xnames, |place, member| {
        // Node 3 was switched a moment ago: the table cannot be trusted.
        member.last_power = (place == 3).then(|| Utc::now() - TimeDelta::seconds(10));
    });
    let open = open(&members, Some("t1"));
    let sight = Sight { members: &members, open: &open, shared: shared() };
    let seen = steps::observe(&power_off(), &service.services(), &sight).await.unwrap();
    assert_eq!(
        ordered(seen),
        [
            "0 reached",
            "1 reached",
            "2 spent power_off_timeout",
            "3 pending",
            "4 skipped locked",
            "5 busy power_off_failed",
            "6 failed unknown_to_power_control",
            "7 spent power_off_timeout",
            "8 reached",
            "9 spent power_off_timeout",
        ]
    );
    let paths: Vec<_> = service.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(
        paths,
        ["/transitions/t1", "/power-status", "/hsm/v2/State/Components/Query"],
        "three questions"
    );
}

#[tokio::test]
async fn nothing_of_nothing_is_not_done() {
    let told = transition("t1", "new", Utc::now(), None);
    let service = Loopback::start(pcs(told, &["off"])).await;
    let xnames = xnames(1);
    let members = members(&xnames, |_, _| ());
    let open = open(&members, Some("t1"));
    let sight = Sight { members: &members, open: &open, shared: shared() };
    let seen = steps::observe(&power_off(), &service.services(), &sight).await.unwrap();
    assert_eq!(ordered(seen), ["0 pending"]);
    assert_eq!(service.asked().len(), 1, "no need to ask for its power");
}

#[tokio::test]
async fn without_a_transition_the_table_alone_decides_and_never_that_it_failed() {
    let service = Loopback::start(pcs(Value::Null, &["off", "on", "off"])).await;
    let xnames = xnames(3);
    let members = members(&xnames, |place, member| {
        member.last_power = (place == 2).then(|| Utc::now() - TimeDelta::seconds(10));
    });
    let sight = Sight { members: &members, open: &open(&members, None), shared: shared() };
    let seen = steps::observe(&power_off(), &service.services(), &sight).await.unwrap();
    assert_eq!(ordered(seen), ["0 reached", "1 pending", "2 pending"]);
}

#[tokio::test]
async fn a_forgotten_transition_is_waited_for_until_it_can_no_longer_act() {
    let service = Loopback::start(pcs(Value::Null, &["on"])).await;
    let services = service.services();
    let xnames = xnames(1);
    let members = members(&xnames, |_, _| ());
    let mut open = open(&members, Some("gone"));
    for (age, expected) in [(104, "0 pending"), (106, "0 spent power_off_timeout")] {
        open[0].intended_at = shared().now - TimeDelta::seconds(age);
        let sight = Sight { members: &members, open: &open, shared: shared() };
        let seen = steps::observe(&power_off(), &services, &sight).await.unwrap();
        assert_eq!(ordered(seen), [expected], "{age} s");
    }
}

#[tokio::test]
async fn with_pcs_down_nothing_is_seen() {
    let service = Loopback::start(|_| problem(503, "down")).await;
    let xnames = xnames(1);
    let members = members(&xnames, |_, _| ());
    let sight = Sight { members: &members, open: &open(&members, Some("t1")), shared: shared() };
    let error = steps::observe(&power_off(), &service.services(), &sight).await.unwrap_err();
    assert!(error.to_string().starts_with("pcs did not take it"), "{error}");
}

#[tokio::test]
async fn an_old_pcs_is_asked_by_url() {
    let service = Loopback::start(|asked| match asked.method {
        Method::GET => {
            let states: Vec<Value> = asked
                .path
                .split("xname=")
                .skip(1)
                .map(|xname| json!({ "xname": xname.trim_end_matches('&'), "powerState": "off" }))
                .collect();
            Answer::Json(200, json!({ "status": states }))
        }
        _ => Answer::With(405, vec![], vec![]),
    })
    .await;
    let services = service.services();
    let names: Vec<String> = (0..250).map(|node| format!("x1c0s0b0n{node}")).collect();
    assert_eq!(services.pcs.power_status(&names).await.unwrap().len(), 250);
    assert_eq!(service.asked().len(), 3, "one refusal, two chunks");
    assert_eq!(services.pcs.power_status(&names).await.unwrap().len(), 250);
    assert_eq!(service.asked().len(), 5, "found out once");
    assert_eq!(services.pcs.power_status(&[]).await.unwrap(), []);
    assert_eq!(service.asked().len(), 5, "none would mean all");
}

#[tokio::test]
async fn a_lost_call_is_found_by_operation_age_and_components() {
    let intended_at = Utc::now();
    // PCS' clock is an hour behind; its `Date` says so.
    let hour = TimeDelta::hours(1);
    let behind = move |seconds| intended_at - hour + TimeDelta::seconds(seconds);
    let ours = || {
        Some(vec![
            task(0, "new", "", ""),
            task(1, "new", "", ""),
            json!({ "xname": "x1c0r0b0", "taskStatus": "new" }),
        ])
    };
    let service = Loopback::start(move |asked| {
        let told = match asked.path.as_str() {
            "/transitions" => json!({ "transitions": [
                transition("older", "completed", behind(-600), None),
                transition("ours", "in-progress", behind(1), None),
                transition("admins", "in-progress", behind(2), None),
                transition("starting", "new", behind(3), None),
            ] }),
            "/transitions/ours" => transition("ours", "in-progress", behind(1), ours()),
            "/transitions/admins" => {
                transition("admins", "new", behind(2), Some(vec![task(0, "new", "", "")]))
            }
            "/transitions/starting" => transition("starting", "new", behind(3), None),
            other => return problem(400, other),
        };
        let date = behind(0).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Answer::With(200, vec![("date", date)], told.to_string().into_bytes())
    })
    .await;
    let services = service.services();
    let two = xnames(2);
    let members_two = members(&two, |_, _| ());
    let shared = Shared { now: intended_at, ..shared() };
    let call = Call { effect: EffectNo(1), rung: 0, members: &members_two, shared };
    let found = steps::find(&power_off(), &services, &call, intended_at).await.unwrap().unwrap();
    assert_eq!(found.reference, Some(RemoteRef("ours".to_owned())));
    assert!(!service.asked().iter().any(|asked| asked.path.contains("older")), "older than the intent");
    let force_off = Call { rung: 1, ..call };
    assert_eq!(steps::find(&power_off(), &services, &force_off, intended_at).await.unwrap(), None);
    let three = xnames(3);
    let members_three = members(&three, |_, _| ());
    let others = Call { members: &members_three, ..call };
    assert_eq!(steps::find(&power_off(), &services, &others, intended_at).await.unwrap(), None);
}

#[tokio::test]
async fn an_abort_of_what_is_over_is_done() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/transitions/running" => Answer::Json(202, json!({ "abortStatus": "Accepted - abort initiated" })),
        "/transitions/over" => problem(400, "Transition is already finished and cannot be aborted."),
        _ => problem(503, "down"),
    })
    .await;
    let services = service.services();
    for id in ["running", "over"] {
        steps::abort(&services, &RemoteRef(id.to_owned())).await.unwrap();
    }
    steps::abort(&services, &RemoteRef("other".to_owned())).await.unwrap_err();
    assert!(service.asked().iter().all(|asked| asked.method == Method::DELETE));
}

#[tokio::test]
async fn a_service_text_names_no_node() {
    let error = "Post \"https://x1c0s0b0/redfish/v1/Systems/Node0\": dial tcp 10.1.2.3:443: connect: no route to host";
    let tasks = vec![task(0, "failed", "Failed to apply transition, on", error)];
    let service = Loopback::start(pcs(transition("t1", "completed", Utc::now(), Some(tasks)), &[])).await;
    let xnames = xnames(1);
    let members = members(&xnames, |_, _| ());
    let open = open(&members, Some("t1"));
    let on = Verb::PowerOn { within: Duration::from_secs(120), tries: 2 };
    let services = service.services();
    let sight = Sight { members: &members, open: &open, shared: shared() };
    let seen = steps::observe(&on, &services, &sight).await.unwrap();
    let [(_, Seen::Spent(reason))] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(reason.code, ReasonCode::PowerOnFailed);
    let words = "Failed to apply transition, on: Post <url>: dial tcp <address>: connect: no route to host";
    assert_eq!(reason.text, words);
}
