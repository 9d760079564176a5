//! Reboot: off, gracefully or by force, and on again, whatever runs.

use bosun::sim::NodeFault;
use serde_json::json;

use super::{assert_through, at, attempts, begin, calm, nothing, run, server, statuses, watch};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_off_and_comes_up_again() {
    let (server, xnames) = server(calm(1)).await;
    run(&server, "first", "boot", json!({})).await;
    begin(&server, "r", "reboot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "r").await;
    let seen = statuses(&shown);
    let way = ["power_off_gracefully_called", "power_on_called", "configuring", "stable"];
    assert!(seen.ends_with(&way), "{seen:?}");
    let off = at(&shown, "power_off_gracefully_called");
    assert_eq!((&off["status"]["phase"], attempts(off)), (&json!("powering_off"), [0, 1, 0]));
    assert_eq!(off["last_action"]["action"], "powering_off_gracefully");
    let on = at(&shown, "power_on_called");
    assert_eq!((&on["status"]["phase"], attempts(on)), (&json!("powering_on"), [1, 1, 0]));
    assert_eq!(
        (&on["actual_state"]["boot_artifacts"], &on["actual_state"]["bss_token"]),
        (&nothing(), &json!(""))
    );
    assert_through(&end, "r");
    assert_eq!(end["actual_state"]["boot_artifacts"], end["desired_state"]["boot_artifacts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ignores_the_graceful_order_is_forced() {
    let (server, xnames) = server(calm(1)).await;
    assert!(server.machine.set_node_fault(&xnames[0], NodeFault::RefuseSoftOff));
    server.ok(reqwest::Method::PATCH, "/v2/options", Some(json!({"max_power_off_wait_time": 30}))).await;
    begin(&server, "r", "reboot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "r").await;
    let seen = statuses(&shown);
    let way = [
        "power_off_gracefully_called",
        "power_off_forcefully_called",
        "power_on_called",
        "configuring",
        "stable",
    ];
    assert!(seen.ends_with(&way), "{seen:?}");
    let forced = at(&shown, "power_off_forcefully_called");
    assert_eq!(
        (attempts(forced), &forced["last_action"]["action"]),
        ([0, 1, 1], &json!("powering_off_forcefully"))
    );
    assert_through(&end, "r");
}
