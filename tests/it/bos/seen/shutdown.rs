//! Shutdown: off, and nothing to boot is desired any more.

use serde_json::json;

use super::{assert_through, at, attempts, begin, calm, nothing, run, server, statuses, watch};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_off_and_one_that_is_off_is_left_alone() {
    let (server, xnames) = server(calm(1)).await;
    run(&server, "first", "boot", json!({})).await;
    begin(&server, "off", "shutdown", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "off").await;
    let seen = statuses(&shown);
    assert!(seen.ends_with(&["power_off_gracefully_called", "stable"]), "{seen:?}");
    assert_eq!(attempts(at(&shown, "power_off_gracefully_called")), [0, 1, 0]);
    assert_through(&end, "off");
    assert_eq!(end["last_action"]["action"], "powering_off_gracefully");
    let desired = &end["desired_state"];
    assert_eq!(
        (&desired["boot_artifacts"], &desired["configuration"], &desired["bss_token"]),
        (&nothing(), &json!(""), &json!(""))
    );
    assert_eq!(end["actual_state"]["boot_artifacts"], nothing());
    let edges = || server.machine.edges()[&xnames[0]].len();
    let edges_before = edges();
    begin(&server, "again", "shutdown", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "again").await;
    assert!(statuses(&shown).iter().all(|status| ["on_hold", "stable"].contains(status)));
    assert_through(&end, "again");
    assert_eq!((edges(), &end["last_action"]["action"]), (edges_before, &json!("session_setup")));
}
