//! The other verbs against services that answer as the real ones do.

use bosun::{
    model::{
        artifacts::{BootArtifacts, BootArtifactsId, BootToken},
        component::Report,
        effect::EffectNo,
        plan::Ordinal,
        reason::ReasonCode,
        session::SessionId,
        verb::{Call, CallError, Decision, Goal, Member, Seen, Shared, Sight, Took, Verb},
        xname::Xname,
    },
    steps,
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::loopback::{Answer, Loopback, problem};

/// A member at rest, long in its step.
pub fn member(xname: &Xname) -> Member<'_> {
    Member {
        ordinal: Ordinal(0),
        xname,
        rung: 0,
        since: Utc::now() - TimeDelta::hours(1),
        last_power: None,
        powered_on: None,
        noticed: false,
        reported: None,
    }
}

/// What a session that boots nothing shares.
pub fn shared() -> Shared<'static> {
    Shared {
        session: "s1",
        session_id: SessionId(1),
        step: "compute/step",
        others: &[],
        artifacts: None,
        artifacts_id: None,
        image: None,
        configuration: None,
        now: Utc::now(),
    }
}

fn xname(node: usize) -> Xname {
    format!("x1c0s0b0n{node}").parse().unwrap()
}

fn cfs_component(id: &str, desired: &str, status: &str, updated: &str) -> Value {
    json!({ "id": id, "enabled": true, "desired_config": desired, "configuration_status": status, "error_count": 0,
            "state": [{ "clone_url": "u", "playbook": "site.yml", "commit": "c", "status": "applied",
                        "last_updated": updated, "session_name": "b" }] })
}

#[tokio::test]
async fn boot_parameters_are_set_and_a_refusal_of_one_node_is_its_own() {
    let service = Loopback::start(|asked| match asked.body["hosts"].as_array().unwrap().as_slice() {
        [only] if only == "x1c0s0b0n1" => problem(400, "no such host x1c0s0b0n1"),
        [_] => Answer::With(200, vec![("BSS-Referral-Token", "token".to_owned())], vec![]),
        _ => problem(400, "one of them is bad"),
    })
    .await;
    let services = service.services();
    let artifacts = BootArtifacts::default();
    let shared = Shared { artifacts: Some(&artifacts), ..shared() };
    let (good, bad) = (xname(0), xname(1));
    let both = [member(&good), member(&bad)];
    let (good, bad) = both.split_at(1);
    let verb = Verb::SetBootParameters {};
    let call = |members| Call { effect: EffectNo(1), rung: 0, members, shared };
    let answer = steps::act(&verb, &services, &call(good)).await.unwrap();
    assert_eq!((answer.token, answer.rest), (Some(BootToken("token".to_owned())), Took::Done));
    let answer = steps::act(&verb, &services, &call(bad)).await.unwrap();
    assert!(matches!(answer.rest, Took::Refused(reason)
        if reason.code == ReasonCode::BootParametersRejected && reason.text == "no such host <component>"));
    let error = steps::act(&verb, &services, &call(&both)).await.unwrap_err();
    assert_eq!(error, CallError::Rejected { text: "one of them is bad".to_owned(), named: vec![] });
}

#[tokio::test]
async fn staging_refuses_whom_cfs_does_not_know() {
    let service = Loopback::start(|_| Answer::Json(200, json!({ "component_ids": ["x1c0s0b0n0"] }))).await;
    let names = [xname(0), xname(1)];
    let members = [member(&names[0]), Member { ordinal: Ordinal(1), ..member(&names[1]) }];
    let shared = Shared { configuration: Some("day2"), ..shared() };
    let call = Call { effect: EffectNo(1), rung: 0, members: &members, shared };
    let verb = Verb::StageConfiguration { enable: false };
    let answer = steps::act(&verb, &service.services(), &call).await.unwrap();
    assert_eq!(answer.rest, Took::Done);
    assert!(matches!(answer.named.as_slice(), [(Ordinal(1), Took::Refused(reason))]
        if reason.code == ReasonCode::ConfigurationMissing));
}

#[tokio::test]
async fn an_image_is_tagged_or_not_managed_or_refused() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/v3/images/good" => Answer::Json(200, json!({ "id": "good" })),
        "/v3/images/bad" => problem(422, "no"),
        "/v3/images/slow" => problem(503, "later"),
        _ => problem(404, "none"),
    })
    .await;
    let services = service.services();
    let name = xname(0);
    let act = async |image| {
        let members = [member(&name)];
        let shared = Shared { image, ..shared() };
        let call = Call { effect: EffectNo(1), rung: 0, members: &members, shared };
        steps::act(&Verb::TagImage {}, &services, &call).await
    };
    for image in [Some("good"), Some("unmanaged"), None] {
        assert_eq!(act(image).await.unwrap().rest, Took::Done, "{image:?}");
    }
    let refused = act(Some("bad")).await.unwrap().rest;
    assert!(matches!(refused, Took::Refused(reason) if reason.code == ReasonCode::ImageTagFailed));
    assert!(matches!(act(Some("slow")).await, Err(CallError::Transient { .. })));
}

#[tokio::test]
async fn await_boot_notices_who_leaves_ready() {
    let service = Loopback::start(|_| {
        let node = |node: usize, state: &str| {
            json!({ "ID": format!("x1c0s0b0n{node}"), "Type": "Node", "State": state })
        };
        Answer::Json(200, json!({ "Components": [node(0, "Ready"), node(1, "On"), node(2, "Ready")] }))
    })
    .await;
    let names: Vec<Xname> = (0..4).map(xname).collect();
    let members: Vec<Member> = names
        .iter()
        .enumerate()
        .map(|(at, name)| Member { ordinal: Ordinal(at as u32), noticed: at == 2, ..member(name) })
        .collect();
    let sight = Sight { members: &members, open: &[], shared: shared() };
    let services = service.services();
    let seen = steps::observe(&Verb::AwaitBoot {}, &services, &sight).await.unwrap();
    assert_eq!(
        seen,
        [
            (Ordinal(0), Seen::Pending),
            (Ordinal(1), Seen::Noticed),
            (Ordinal(2), Seen::Reached(None)),
            (Ordinal(3), Seen::Pending)
        ]
    );
    assert_eq!(service.asked().len(), 1);
    let nobody = Sight { members: &[], ..sight };
    assert_eq!(steps::observe(&Verb::AwaitBoot {}, &services, &nobody).await.unwrap(), []);
    assert_eq!(service.asked().len(), 1, "nobody to ask about");
}

#[tokio::test]
async fn await_configuration_compares_layers_by_the_clock_of_cfs() {
    // CFS' clock is ten minutes behind ours: its layers look older than they are.
    let now = Utc::now();
    let behind = move |seconds: i64| now - TimeDelta::minutes(10) + TimeDelta::seconds(seconds);
    let service = Loopback::start(move |_| {
        let body = json!({ "components": [
            cfs_component("x1c0s0b0n0", "day2", "configured", &behind(-30).to_rfc3339()),
            cfs_component("x1c0s0b0n1", "day2", "configured", &behind(-90).to_rfc3339()),
            cfs_component("x1c0s0b0n2", "day3", "configured", &behind(0).to_rfc3339()),
        ], "next": null });
        let date = behind(0).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Answer::With(200, vec![("date", date)], body.to_string().into_bytes())
    })
    .await;
    let names: Vec<Xname> = (0..4).map(xname).collect();
    let powered_on = Some(now - TimeDelta::seconds(60));
    let members: Vec<Member> = names
        .iter()
        .enumerate()
        .map(|(at, name)| Member { ordinal: Ordinal(at as u32), powered_on, ..member(name) })
        .collect();
    let shared = Shared { configuration: Some("day2"), now, ..shared() };
    let sight = Sight { members: &members, open: &[], shared };
    let seen = steps::observe(&Verb::AwaitConfiguration {}, &service.services(), &sight).await.unwrap();
    assert_eq!(seen[..2], [(Ordinal(0), Seen::Reached(None)), (Ordinal(1), Seen::Pending)]);
    assert!(matches!(&seen[2].1, Seen::Failed(reason) if reason.code == ReasonCode::ConfigurationFailed));
    assert!(matches!(&seen[3].1, Seen::Failed(reason) if reason.code == ReasonCode::ConfigurationMissing));
}

#[tokio::test]
async fn a_poisoned_record_in_cfs_hides_only_its_own_chunk() {
    let service = Loopback::start(|asked| {
        if asked.path.contains("x1c0s0b0n200,") {
            return problem(500, "poisoned");
        }
        let ids = asked.path.split(['=', '&']).nth(1).unwrap();
        let components: Vec<Value> = ids
            .split(',')
            .map(|id| cfs_component(id, "day2", "configured", "2026-11-22T10:00:00Z"))
            .collect();
        Answer::Json(200, json!({ "components": components }))
    })
    .await;
    let names: Vec<Xname> = (0..450).map(xname).collect();
    let members: Vec<Member> = names
        .iter()
        .enumerate()
        .map(|(at, name)| Member { ordinal: Ordinal(at as u32), ..member(name) })
        .collect();
    let shared = Shared { configuration: Some("day2"), ..shared() };
    let sight = Sight { members: &members, open: &[], shared };
    let services = service.services();
    let seen = steps::observe(&Verb::AwaitConfiguration {}, &services, &sight).await.unwrap();
    let seen: Vec<u32> = seen.into_iter().map(|(ordinal, _)| ordinal.0).collect();
    assert_eq!(seen, (0..200).chain(400..450).collect::<Vec<u32>>());
    let poisoned = Sight { members: &members[200..400], ..sight };
    steps::observe(&Verb::AwaitConfiguration {}, &services, &poisoned).await.unwrap_err();
}

#[tokio::test]
async fn inspect_decides_from_power_report_and_configuration() {
    let service = Loopback::start(|asked| {
        let node = |node: usize, state: &str| {
            json!({ "xname": format!("x1c0s0b0n{node}"), "powerState": state, "error": "" })
        };
        match asked.path.split('?').next().unwrap() {
            "/power-status" => Answer::Json(
                200,
                json!({ "status": [node(0, "off"), node(1, "on"), node(2, "on"), node(3, "on"), node(4, "on"),
                                   node(5, "")] }),
            ),
            "/v3/components" => Answer::Json(
                200,
                json!({ "components": [cfs_component("x1c0s0b0n1", "day2", "configured", "2026-11-22T10:00:00Z"),
                                       cfs_component("x1c0s0b0n2", "day1", "configured", "2026-11-22T10:00:00Z")] }),
            ),
            other => problem(404, other),
        }
    })
    .await;
    let services = service.services();
    let report = |artifacts: i32| Report {
        token: BootToken("t".to_owned()),
        artifacts: Some(BootArtifactsId(artifacts)),
        at: Utc::now(),
    };
    let (wanted, other) = (report(1), report(2));
    let reports = [None, Some(&wanted), Some(&wanted), Some(&other), None, None];
    let names: Vec<Xname> = (0..6).map(xname).collect();
    let members: Vec<Member> = names
        .iter()
        .zip(reports)
        .enumerate()
        .map(|(at, (name, reported))| Member { ordinal: Ordinal(at as u32), reported, ..member(name) })
        .collect();
    let shared = Shared { artifacts_id: Some(BootArtifactsId(1)), configuration: Some("day2"), ..shared() };
    let sight = Sight { members: &members, open: &[], shared };
    let inspect = async |goal| {
        let mut seen = steps::observe(&Verb::Inspect { goal }, &services, &sight).await.unwrap();
        seen.sort_by_key(|(ordinal, _)| *ordinal);
        let decision = |seen: &Seen| match seen {
            Seen::Reached(Some(decision)) => Some(*decision),
            Seen::Failed(reason) if reason.code == ReasonCode::UnknownToPowerControl => None,
            other => panic!("{other:?}"),
        };
        seen.iter().map(|(_, seen)| decision(seen)).collect::<Vec<_>>()
    };
    use Decision::*;
    assert_eq!(
        inspect(Goal::Boot).await,
        [Some(PowerOn), Some(Nothing), Some(ConfigureOnly), Some(PowerCycle), Some(UnknownArtifacts), None]
    );
    assert_eq!(
        inspect(Goal::Shutdown).await,
        [Some(Nothing), Some(PowerOff), Some(PowerOff), Some(PowerOff), Some(PowerOff), None]
    );
    let asked = service.asked().len();
    assert_eq!(inspect(Goal::Reboot).await, [Some(PowerCycle); 6]);
    assert_eq!(service.asked().len(), asked, "a reboot needs no look");
    assert_eq!(
        inspect(Goal::Configure).await,
        [
            Some(ConfigureOnly),
            Some(Nothing),
            Some(ConfigureOnly),
            Some(ConfigureOnly),
            Some(ConfigureOnly),
            Some(ConfigureOnly)
        ]
    );
}

#[tokio::test]
async fn every_verb_can_be_driven_from_a_task_of_its_own() {
    let service = Loopback::start(|_| problem(404, "nothing here")).await;
    let services = std::sync::Arc::new(service.services());
    // The engine spawns its calls, so their futures must be `Send`.
    let driven = tokio::spawn(async move {
        let names = [xname(0)];
        let members = [member(&names[0])];
        let shared = Shared { configuration: Some("day2"), ..shared() };
        let call = Call { effect: EffectNo(1), rung: 0, members: &members, shared };
        let verb = Verb::StageConfiguration { enable: true };
        let acted = steps::act(&verb, &services, &call).await;
        let found = steps::find(&verb, &services, &call, shared.now).await;
        let sight = Sight { members: &members, open: &[], shared };
        let seen = steps::observe(&Verb::Inspect { goal: Goal::Configure }, &services, &sight).await;
        (acted.is_err(), found, seen.is_err())
    });
    assert_eq!(driven.await.unwrap(), (true, Ok(None), true));
}
