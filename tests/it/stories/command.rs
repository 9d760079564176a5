//! What operators say to a session, and how their commands end.

use serde_json::json;

use crate::support::{
    dev::{Dev, ended},
    process::{command, run, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_sessions_leave_no_node_dark() {
    let dev = Dev::start(&["--nodes=16", "--soft-off=1200ms", "--never-boots=x1000c0s0b0n0"], &[]).await;
    dev.begin("night", "reboot").await;
    // Not "in flight": whoever looks too late sees that only when the one that never boots is power-cycled again.
    dev.step("night", "compute/power_off", |step| step["attempts"].as_i64() > Some(0)).await;
    dev.bosun(&["session", "cancel", "night", "--reason", "wrong night"]).await.expect(0);
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(6).json();
    assert_eq!((done["state"].as_str(), done["outcome"].as_str()), (Some("ended"), Some("cancelled")));
    ended(&done);
    let events = dev.events("night").await;
    assert!(events.iter().any(|event| event.to_string().contains("wrong night")), "{events:#?}");
    until("no node is left off", || async {
        dev.machine.nodes().await.iter().all(|node| node["powered"] == true).then_some(())
    })
    .await;
    let times = dev.machine.times_on().await;
    assert!(times.values().all(|times| *times <= 1), "{times:#?}\n{events:#?}");
    // The components are free again.
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);
    let late = dev.bosun(&["session", "cancel", "night"]).await.expect(1);
    assert_eq!(late.complaint(), "bosun: session 'night' has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_with_codes_that_scripts_can_use() {
    let dev = Dev::start(&["--nodes=8", "--boot=2s"], &[]).await;
    // The session goes on when the time to wait is over.
    let late = dev.session("night", "reboot", &["--timeout", "300ms"]).await.expect(124);
    assert!(late.err.contains("session night goes on"), "{}", late.err);
    dev.bosun(&["session", "wait", "night", "--timeout", "100ms"]).await.expect(124);
    // Paused, it waits for an operator, and says what to type.
    dev.bosun(&["session", "pause", "night"]).await.expect(0);
    let paused = dev.bosun(&["session", "wait", "night"]).await.expect(7);
    assert!(paused.out.contains("bosun session resume night"), "{}", paused.out);
    dev.bosun(&["session", "resume", "night"]).await.expect(0);
    dev.bosun(&["session", "wait", "night"]).await.expect(0);
    // Nobody succeeded.
    for node in dev.machine.nodes().await {
        let faults = json!({"faults": ["fail_power_off"]});
        dev.machine.change(node["xname"].as_str().unwrap(), faults).await;
    }
    dev.session("none", "shutdown", &[]).await.expect(4);
    dev.bosun(&["session", "wait", "none"]).await.expect(4);
    // Rejected; a mistake; nobody there.
    dev.session("typo", "rebot", &[]).await.expect(5);
    dev.bosun(&["session", "create", "--operation", "reboot"]).await.expect(2);
    dev.bosun(&["session", "wait", "nobody"]).await.expect(1);
    let mut elsewhere = command(&["session", "list", "--url", "http://127.0.0.1:1"]);
    let nobody = run(&mut elsewhere).await.expect(1);
    assert!(nobody.complaint().starts_with("bosun: no bosun answers at http://127.0.0.1:1"), "{nobody:?}");
}
