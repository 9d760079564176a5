//! What does not work: a configuration that fails, a node that never boots.

use bosun::sim::{NodeFault, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use super::{NO_ATTEMPTS, at, attempts, begin, calm, component, server, status, statuses, watch};

/// It failed, and nobody acts on it any more.
fn assert_failed(record: &Value, session: &str) {
    assert_eq!((&record["enabled"], &record["session"]), (&json!(false), &json!(session)), "{record}");
    assert_eq!(
        (&record["status"]["status"], &record["status"]["status_override"]),
        (&json!("failed"), &json!("failed"))
    );
    assert_ne!(record["error"], "", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_fails_fails_the_node_and_nobody_else() {
    let (server, xnames) = server(calm(2)).await;
    assert!(server.machine.set_node_fault(&xnames[0], NodeFault::FailConfiguration));
    begin(&server, "b", "reboot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[0], "b").await;
    let seen = statuses(&shown);
    assert!(seen.ends_with(&["power_on_called", "configuring", "failed"]), "{seen:?}");
    assert_failed(&end, "b");
    assert!(end["error"].as_str().unwrap().contains("configuration"), "{end}");
    assert_eq!(component(&server, &xnames[1]).await["status"]["status"], "stable");
    let status = status(&server, "b").await;
    assert_eq!(
        (&status["percent_successful"], &status["percent_failed"], &status["phases"]["percent_complete"]),
        (&json!(50.0), &json!(50.0), &json!(100.0))
    );
    let summary: Vec<_> = status["error_summary"].as_object().unwrap().values().collect();
    assert_eq!(summary, [&json!({"count": 1, "list": xnames[0]})]);
    // Enabled again without its fault, it is driven to what it was to become, and no session of BOS's is made for it.
    let path = format!("/v2/components/{}", xnames[0]);
    server.ok(Method::PATCH, &path, Some(json!({"enabled": true}))).await;
    let held = component(&server, &xnames[0]).await;
    assert!(["on_hold", "stable", "configuring"].contains(&held["status"]["status"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_boots_is_tried_again_as_often_as_its_policy_says() {
    let (server, xnames) = server(Settings { boot: std::time::Duration::from_millis(200), ..calm(2) }).await;
    let options = json!({"max_boot_wait_time": 2, "default_retry_policy": 1});
    server.ok(Method::PATCH, "/v2/options", Some(options)).await;
    for xname in &xnames {
        assert!(server.machine.set_node_fault(xname, NodeFault::NeverBoots));
    }
    let own = format!("/v2/components/{}", xnames[1]);
    server.ok(Method::PATCH, &own, Some(json!({"retry_policy": 2}))).await;
    begin(&server, "b", "reboot", json!({})).await;
    let (shown, end) = watch(&server, &xnames[1], "b").await;
    let seen = statuses(&shown);
    assert!(!seen.contains(&"configuring"), "{seen:?}");
    let on = seen.iter().filter(|status| **status == "power_on_called").count();
    assert_eq!((on, *seen.last().unwrap()), (2, "failed"), "{seen:?}");
    assert_failed(&end, "b");
    assert_eq!(attempts(&end), [2, 2, 0]);
    assert_eq!((&end["last_action"]["failed"], &end["retry_policy"]), (&json!(true), &json!(2)));
    let once = component(&server, &xnames[0]).await;
    assert_failed(&once, "b");
    assert_eq!(attempts(&once), [1, 1, 0]);
    assert_ne!(attempts(at(&shown, "power_on_called")), NO_ATTEMPTS);
    let status = status(&server, "b").await;
    assert_eq!((&status["percent_failed"], &status["percent_successful"]), (&json!(100.0), &json!(0.0)));
}
