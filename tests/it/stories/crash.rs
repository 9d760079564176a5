//! Story 2: a worker is killed in the middle, at the worst moment; and planned stops.

use serde_json::json;

use crate::support::{
    dev::{Dev, belongs_to, ended},
    process::{kill, processes, until},
};

/// PCS takes the order to switch on and keeps us waiting for its answer; the worker dies before it has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_it_could_record_its_call() {
    let dev = Dev::start(&["--nodes=40"], &[]).await;
    // The second transition is the power-on: the first switched everybody off.
    let slow = json!({"service": "pcs", "method": "POST", "path_contains": "/transitions", "kind": "slow",
        "delay_ms": 60_000, "skip": 1, "times": 1});
    dev.machine.fault(slow).await;
    dev.begin("night", "reboot").await;
    until("the order to switch on was taken", || async {
        dev.machine.orders().await.iter().any(|order| order.action == "on").then_some(())
    })
    .await;
    let session = dev.show("night").await;
    let id = session["id"].to_string();
    let workers = until("its worker", || async {
        Some(processes(&["worker", "--session", &id]))
            .filter(|workers| workers.iter().any(|worker| belongs_to(*worker, &dev)))
    })
    .await;
    let worker = *workers.iter().find(|worker| belongs_to(**worker, &dev)).unwrap();
    kill(worker);

    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (40, 0, 0));
    assert_eq!(done["id"], session["id"]);
    // Nobody was switched off or on a second time.
    let orders = dev.machine.orders().await;
    let of = |action| orders.iter().filter(move |order| order.action == action).count();
    assert_eq!((of("off"), of("on")), (40, 40));
    assert!(dev.machine.times_on().await.values().all(|times| *times == 1));
    // The history tells it.
    let events = dev.events("night").await;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    let place = |kind| {
        kinds.iter().position(|found| *found == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"))
    };
    // Whether PCS told first that it had taken the order, or the nodes that they are on, is chance.
    let found = kinds.iter().position(|kind| *kind == "effect_found").unwrap_or_else(|| place("ended"));
    assert!(place("effect_lost") < found, "{kinds:?}");
    let took_over: Vec<_> = events.iter().filter(|event| event["data"]["take_over"] == true).collect();
    assert_eq!(took_over.len(), 1, "{events:#?}");
    let seqs: Vec<i64> = events.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert!(seqs.iter().copied().eq(1..=i64::try_from(seqs.len()).unwrap()), "no gaps: {seqs:?}");
}

/// SIGTERM in mid-session: the worker gives its lease back within seconds, and another `dev` goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_and_another_start_on_the_same_data() {
    let mut dev = Dev::start(&["--nodes=24", "--boot=2s"], &[]).await;
    dev.begin("night", "reboot").await;
    dev.step("night", "compute/power_on", |step| step["succeeded"].as_i64() > Some(0)).await;
    let asked = std::time::Instant::now();
    dev.stop().await;
    assert!(asked.elapsed().as_secs() < 10, "it took {:?}", asked.elapsed());
    assert!(!dev.log().contains("died"), "a planned stop is no death: {}", dev.log());
    dev.restart().await;
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (24, 0, 0));
    assert!(dev.machine.times_on().await.values().all(|times| *times == 1));
    let events = dev.events("night").await;
    assert!(events.iter().any(|event| event["kind"] == "lease_released"), "{events:#?}");
    let acquired = events.iter().filter(|event| event["kind"] == "lease_acquired").count();
    assert_eq!(acquired, 2);
    let took_over = events.iter().filter(|event| event["data"]["take_over"] == true).count();
    assert_eq!(took_over, 0, "nobody had died");
}
