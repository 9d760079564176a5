//! Components that a session holds, and of which a client wants something else now: they are taken over from it.

use bosun::sim::{FaultKind, NodeFault, Rule, Service};
use reqwest::Method;
use serde_json::{Value, json};

use super::{COMPONENTS, artifacts, component_until, edges, server, sessions, settled, until};
use crate::support::server::Server;

const SESSIONS: &str = "/v2/sessions";

/// A session that reboots everybody, and is not over before the first node has booted: which it does not. The others are
/// through.
async fn hanging(server: &Server, xnames: &[String]) {
    assert!(server.machine.set_node_fault(&xnames[0], NodeFault::NeverBoots));
    let reboot = json!({"name": "r", "operation": "reboot", "template_name": "demo"});
    server.ok(Method::POST, SESSIONS, Some(reboot)).await;
    component_until(server, &xnames[0], |record| record["status"]["status"] == "power_on_called").await;
    for xname in &xnames[1..] {
        component_until(server, xname, |record| record["session"] == "r" && record["enabled"] == false).await;
    }
}

/// From now on the node boots.
async fn mend(server: &Server, xname: &str) {
    let url = format!("{}/sim/nodes/{xname}", server.machine.url());
    let answer = reqwest::Client::new().post(url).json(&json!({"faults": []})).send().await.unwrap();
    assert!(answer.status().is_success());
}

async fn complete(server: &Server, name: &str) -> Value {
    until(server, &format!("{SESSIONS}/{name}"), |session| session["status"]["status"] == "complete").await
}

/// The one implicit session there is.
async fn implicit(server: &Server) -> Value {
    let all = sessions(server).await;
    let ours: Vec<_> = all.into_iter().filter(|session| session["operation"] == "implicit").collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    ours[0].clone()
}

/// What the node is to boot now: the same image, and something else on its command line.
async fn other(server: &Server, xname: &str) -> Value {
    let mut artifacts = artifacts(server, xname).await;
    artifacts["kernel_parameters"] = json!("root=sbps-s3:x console=ttyS7");
    artifacts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_desired_state_takes_a_component_over_from_its_session() {
    let (server, xnames) = server(3).await;
    let other = other(&server, &xnames[0]).await;
    hanging(&server, &xnames).await;
    let path = format!("{COMPONENTS}/{}", xnames[0]);
    mend(&server, &xnames[0]).await;
    // It is enabled already: the new desired state is enough.
    let patched =
        server.ok(Method::PATCH, &path, Some(json!({"desired_state": {"boot_artifacts": other}}))).await;
    assert_eq!((&patched["session"], &patched["enabled"]), (&json!(""), &json!(true)));
    let end = settled(&server, &xnames[0]).await;
    assert_eq!((&end["actual_state"]["boot_artifacts"], &end["error"]), (&other, &json!("")), "{end}");
    assert_eq!((&end["status"]["status"], &end["session"]), (&json!("stable"), &json!("")));
    // The older session goes on without it, and is through.
    assert_eq!(complete(&server, "r").await["status"]["error"], Value::Null);
    let r = server.ok(Method::GET, "/bosun/v1/sessions/r", None).await;
    assert_eq!((&r["succeeded"], &r["failed"], &r["skipped"]), (&json!(2), &json!(0), &json!(1)), "{r}");
    let implicit = implicit(&server).await;
    let name = implicit["name"].as_str().unwrap();
    let history = server
        .ok(Method::GET, &format!("/bosun/v1/components/{}/history", xnames[0]), None)
        .await
        .to_string();
    assert!(history.contains(&format!("by {name}")), "{history}");
    assert_eq!(super::names(&server.ok(Method::GET, SESSIONS, None).await, "name"), ["r"]);
    // Once for each session: off and on.
    let power: Vec<usize> = xnames.iter().map(|xname| edges(&server, xname)).collect();
    assert_eq!(power, [4, 2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn also_from_a_session_that_is_paused() {
    let (server, xnames) = server(3).await;
    let other = other(&server, &xnames[0]).await;
    // Before anybody is switched off the image is marked, and that does not work yet.
    server.machine.set_fault(Rule::new(Service::Ims, "PATCH", "/", FaultKind::Status));
    let reboot = json!({"name": "r", "operation": "reboot", "template_name": "demo"});
    server.ok(Method::POST, SESSIONS, Some(reboot)).await;
    until(&server, "/bosun/v1/sessions/r", |session| session["state"] == "running").await;
    server.ok(Method::POST, "/bosun/v1/sessions/r/commands", Some(json!({"kind": "pause"}))).await;
    until(&server, "/bosun/v1/sessions/r", |session| session["state"] == "paused").await;
    server.machine.clear_faults();
    let patch = json!({"enabled": true, "desired_state": {"boot_artifacts": other}});
    server.ok(Method::PATCH, &format!("{COMPONENTS}/{}", xnames[0]), Some(patch)).await;
    let end = settled(&server, &xnames[0]).await;
    assert_eq!((&end["actual_state"]["boot_artifacts"], &end["error"]), (&other, &json!("")), "{end}");
    let power: Vec<usize> = xnames.iter().map(|xname| edges(&server, xname)).collect();
    assert_eq!(power, [2, 0, 0]);
    assert_eq!(server.ok(Method::GET, "/bosun/v1/sessions/r", None).await["state"], "paused");
    server.ok(Method::POST, "/bosun/v1/sessions/r/commands", Some(json!({"kind": "resume"}))).await;
    complete(&server, "r").await;
    let r = server.ok(Method::GET, "/bosun/v1/sessions/r", None).await;
    assert_eq!((&r["succeeded"], &r["skipped"]), (&json!(2), &json!(1)), "{r}");
    assert_eq!(edges(&server, &xnames[0]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_taken_from_its_session_too_and_says_why() {
    let (server, xnames) = server(2).await;
    hanging(&server, &xnames).await;
    let path = format!("{COMPONENTS}/{}", xnames[0]);
    let patch = json!({"desired_state": {"configuration": "nobody-made-it"}});
    server.ok(Method::PATCH, &path, Some(patch)).await;
    complete(&server, "r").await;
    let end = settled(&server, &xnames[0]).await;
    let error = end["error"].as_str().unwrap();
    assert!(error.contains("configuration_missing: CFS has no configuration 'nobody-made-it'"), "{end}");
    assert_eq!(edges(&server, &xnames[0]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_whose_record_is_deleted_is_left_alone() {
    let (server, xnames) = server(2).await;
    hanging(&server, &xnames).await;
    let path = format!("{COMPONENTS}/{}", xnames[0]);
    assert_eq!(server.ask(Method::DELETE, &path, None).await.0.as_u16(), 204);
    complete(&server, "r").await;
    let r = server.ok(Method::GET, "/bosun/v1/sessions/r", None).await;
    assert_eq!((&r["succeeded"], &r["skipped"]), (&json!(1), &json!(1)), "{r}");
    let history = server.ok(Method::GET, "/bosun/v1/sessions/r/results", None).await.to_string();
    assert!(history.contains("its record was deleted"), "{history}");
}
