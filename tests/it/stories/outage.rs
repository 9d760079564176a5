//! Story 3: services are away, for a while or for good.

use serde_json::json;

use crate::support::{
    dev::{Dev, ended, errors},
    process::until,
};

fn away(service: &str, status: u16) -> serde_json::Value {
    json!({"service": service, "kind": "status", "status": status})
}

/// HSM was seen to notice that the nodes went down: its next Ready counts.
async fn everybody_left_ready(dev: &Dev) {
    until("everybody was seen to leave Ready", || async {
        let nodes = dev.machine.nodes().await.len();
        let noticed: i64 = sqlx::query_scalar(
            "select count(distinct xname) from step_result where session = 'night' and result = 'noticed'",
        )
        .fetch_one(&dev.pool)
        .await
        .unwrap();
        (usize::try_from(noticed).unwrap() == nodes).then_some(())
    })
    .await;
}

/// HSM answers 503 and CFS 500 for longer than the nodes need: everything waits, and nothing is done twice.
#[tokio::test(flavor = "multi_thread")]
async fn services_that_come_back_cost_time_only() {
    let dev = Dev::start(&["--nodes=24", "--soft-off=1200ms", "--no-reporter", "--boot=5s"], &[]).await;
    dev.begin("night", "reboot").await;
    dev.step("night", "compute/power_off", |step| step["attempts"].as_i64() > Some(0)).await;
    dev.machine.fault(json!([away("hsm", 503), away("cfs", 500)])).await;
    // Staging waits for CFS, so nobody is switched on meanwhile.
    dev.event("night", "service_down").await;
    until("both were asked in vain a few times", || async { (dev.machine.hits().await > 5).then_some(()) })
        .await;
    let session = dev.show("night").await;
    assert_eq!(
        (session["state"].as_str(), session["failed"].as_i64()),
        (Some("running"), Some(0)),
        "{session:#}"
    );
    dev.machine.lift_faults().await;
    // And HSM once more, while the nodes boot.
    everybody_left_ready(&dev).await;
    dev.machine.fault(away("hsm", 503)).await;
    until("all nodes are up", || async {
        dev.machine.nodes().await.iter().all(|node| node["up"] == true).then_some(())
    })
    .await;
    let begun: chrono::DateTime<chrono::Utc> =
        dev.step("night", "compute/await_boot", |_| true).await["started_at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
    until("the step's time is over", || async {
        (chrono::Utc::now() - begun > chrono::TimeDelta::seconds(16)).then_some(())
    })
    .await;
    let session = dev.show("night").await;
    assert_eq!(
        (session["succeeded"].as_i64(), session["failed"].as_i64()),
        (Some(0), Some(0)),
        "{session:#}"
    );
    dev.machine.lift_faults().await;
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (24, 0, 0));
    let orders = dev.machine.orders().await;
    let of = |action| orders.iter().filter(move |order| order.action == action).count();
    assert_eq!((of("off"), of("on")), (24, 24), "nothing was executed again");
    dev.event("night", "service_up").await;
}

/// HSM stays away: its components fail for that reason, and a restart of the step is enough once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stays_away_is_named_and_its_step_restarted() {
    let dev = Dev::start(&["--nodes=16", "--no-reporter", "--boot=5s"], &["--service-patience=2s"]).await;
    dev.begin("night", "reboot").await;
    everybody_left_ready(&dev).await;
    dev.machine.fault(away("hsm", 503)).await;
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(4).json();
    assert_eq!(ended(&done), (0, 16, 0));
    let unavailable = ("compute/await_boot".to_owned(), "service_unavailable".to_owned(), 16);
    assert_eq!(errors(&done), [unavailable]);
    dev.machine.lift_faults().await;
    let orders = dev.machine.orders().await.len();
    let said = dev.bosun(&["step", "restart", "night", "await_boot"]).await.expect(0);
    assert!(said.out.contains("16 components"), "{}", said.out);
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (16, 0, 0));
    assert_eq!(dev.machine.orders().await.len(), orders, "no power action");
}
