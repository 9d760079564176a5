//! Faults of services: answers without effect, effects without answer, and counters that tell.

use bosun::sim::{FaultKind, Rule, Service};
use serde_json::{Value, json};

use super::{machine, settings, settings_with};

#[tokio::test]
async fn a_status_has_no_effect_and_passes() {
    let rule = "pcs:POST /transitions:503:skip=1:times=1:retry-after=2".parse().unwrap();
    let machine = machine(settings_with(|s| s.faults = vec![rule])).await;
    machine.transition("On", &[]).await;
    let post = || machine.http.post(machine.url("/transitions")).json(&json!({"operation": "On"})).send();
    let refused = post().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"2".parse().unwrap()));
    assert_eq!(post().await.unwrap().status(), 200);
    let (_, all) = machine.get("/transitions").await;
    assert_eq!(all["transitions"].as_array().unwrap().len(), 2);
    assert_eq!(machine.handle.counters()["pcs"]["POST /transitions"], 3);
    let statuses: Vec<u16> = machine.handle.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 503, 200, 200]);
}

#[tokio::test]
async fn a_lost_answer_is_an_effect_all_the_same() {
    let machine = machine(settings()).await;
    for (kind, effects) in
        [(FaultKind::Reset, 0), (FaultKind::Lost, 1), (FaultKind::Never, 2), (FaultKind::Timeout, 2)]
    {
        let rule = Rule {
            times: Some(1),
            delay_ms: Some(20),
            ..Rule::new(Service::Pcs, "POST", "/transitions", kind)
        };
        machine.handle.set_fault(rule);
        let sent =
            machine.http.post(machine.url("/transitions")).json(&json!({"operation": "On"})).send().await;
        assert!(sent.is_err(), "{kind:?} was answered");
        let (_, all) = machine.get("/transitions").await;
        assert_eq!(all["transitions"].as_array().unwrap().len(), effects, "{kind:?}");
        machine.handle.clear_faults();
    }
}

#[tokio::test]
async fn faults_come_and_go_while_it_runs() {
    let machine = machine(settings()).await;
    let rule = json!({"service": "hsm", "path_contains": "/groups", "kind": "status", "status": 500});
    assert_eq!(machine.post("/sim/faults", rule).await.0, 200);
    assert_eq!(machine.get("/hsm/v2/groups").await.0, 500);
    let (_, rules) = machine.get("/sim/faults").await;
    assert_eq!(rules[0]["hits"], 1);
    machine.send("DELETE", "/sim/faults", &Value::Null).await;
    assert_eq!(machine.get("/hsm/v2/groups").await.0, 200);
    assert_eq!(machine.post("/sim/faults", json!({"kind": "sulk"})).await.0, 400);
    machine.post("/power-status", json!({"xname": machine.xnames})).await;
    assert_eq!(machine.handle.requests().last().unwrap().xnames, 20);
    machine.post("/sim/reset-counters", Value::Null).await;
    assert!(machine.handle.counters().is_empty());
}
