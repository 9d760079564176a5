//! Boot: a node that is off; one that runs the wanted artifacts; one that runs others.

use reqwest::Method;
use serde_json::json;

use super::{
    assert_through, at, attempts, begin, calm, complete, component, run, server, status, statuses, watch,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_off_is_powered_on_and_configured() {
    let (server, xnames) = server(calm(1)).await;
    run(&server, "off", "shutdown", json!({})).await;
    begin(&server, "b", "boot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "b").await;
    let seen = statuses(&shown);
    assert!(seen.ends_with(&["power_on_called", "configuring", "stable"]), "{seen:?}");
    assert!(!seen.iter().any(|status| status.starts_with("power_off")), "{seen:?}");
    let called = at(&shown, "power_on_called");
    assert_eq!((&called["status"]["phase"], &called["enabled"]), (&json!("powering_on"), &json!(true)));
    assert_eq!(
        (&called["last_action"]["action"], &called["last_action"]["failed"]),
        (&json!("powering_on"), &json!(false))
    );
    assert_eq!(attempts(called), [1, 0, 0]);
    assert_eq!(at(&shown, "configuring")["status"]["phase"], "configuring");
    assert_through(&end, "b");
    assert_eq!(end["last_action"]["action"], "powering_on");
    assert_eq!(end["desired_state"]["configuration"], "compute-config");
    assert_eq!(end["actual_state"]["boot_artifacts"], end["desired_state"]["boot_artifacts"]);
    assert_ne!(end["actual_state"]["bss_token"], "");
    let session = complete(&server, "b").await;
    assert_eq!((&session["components"], &session["status"]["error"]), (&json!(xnames[0]), &json!(null)));
    let status = status(&server, "b").await;
    assert_eq!(status["managed_components_count"], 1);
    assert_eq!(
        (&status["percent_successful"], &status["percent_failed"], &status["percent_staged"]),
        (&json!(100.0), &json!(0.0), &json!(0.0))
    );
    assert_eq!(
        status["phases"],
        json!({"percent_complete": 100.0, "percent_configuring": 0.0, "percent_powering_off": 0.0, "percent_powering_on": 0.0})
    );
    assert_eq!(status["error_summary"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_the_wanted_artifacts_is_left_alone_and_one_that_runs_others_is_cycled() {
    let (server, xnames) = server(calm(1)).await;
    run(&server, "first", "boot", json!({})).await;
    let before = component(&server, &xnames[0]).await;
    let edges = || server.machine.edges()[&xnames[0]].len();
    let edges_before = edges();
    begin(&server, "again", "boot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "again").await;
    assert!(statuses(&shown).iter().all(|status| ["on_hold", "stable", "configuring"].contains(status)));
    assert_through(&end, "again");
    assert_eq!(end["last_action"]["action"], "session_setup");
    assert_eq!(end["actual_state"], before["actual_state"]);
    assert_eq!(edges(), edges_before);
    assert_eq!(status(&server, "again").await["percent_successful"], 100.0);

    let mut other = server.template();
    other["boot_sets"]["compute"]["kernel_parameters"] = json!("console=ttyS1");
    server.ok(Method::PUT, "/v2/sessiontemplates/other", Some(other)).await;
    begin(&server, "other", "boot", json!({"template_name": "other"})).await;
    let (shown, end) = watch(&server, &xnames[0], "other").await;
    let seen = statuses(&shown);
    let way = ["power_off_gracefully_called", "power_on_called", "configuring", "stable"];
    assert!(seen.ends_with(&way), "{seen:?}");
    assert_through(&end, "other");
    assert_ne!(end["actual_state"]["boot_artifacts"], before["actual_state"]["boot_artifacts"]);
    assert_eq!(end["actual_state"]["boot_artifacts"], end["desired_state"]["boot_artifacts"]);
    assert_eq!(edges(), edges_before + 2);
}
