//! Who takes part: limit, include_disabled, arch, locked. Who does not is not touched, and his record neither.

use bosun::sim::{self, Pick};
use reqwest::Method;
use serde_json::{Value, json};

use super::{calm, component, run, server, status};
use crate::support::server::Server;

/// Asks HSM for something to be changed.
async fn hsm(server: &Server, method: Method, path: &str, body: Value) {
    let url = format!("{}/hsm/v2/{path}", server.machine.url());
    let answer = reqwest::Client::new().request(method, url).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

/// The members of a session, as it shows them.
fn members(session: &Value) -> Vec<&str> {
    session["components"].as_str().unwrap().split(',').filter(|name| !name.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_keeps_the_others_out() {
    let (server, xnames) = server(calm(3)).await;
    let before = component(&server, &xnames[1]).await;
    let limit = format!("{},{}", xnames[0], xnames[2]);
    let session = run(&server, "l", "shutdown", json!({"limit": limit})).await;
    assert_eq!((members(&session), &session["limit"]), (vec![xnames[0].as_str(), &xnames[2]], &json!(limit)));
    assert_eq!(component(&server, &xnames[1]).await, before);
    assert_eq!(component(&server, &xnames[0]).await["session"], "l");
    assert_eq!(status(&server, "l").await["managed_components_count"], 2);
    // A limit that leaves nobody ends the session at once, and says why.
    let nobody = run(&server, "nobody", "shutdown", json!({"limit": "&blue"})).await;
    assert_ne!(nobody["status"]["error"], Value::Null, "{nobody}");
    assert_eq!(status(&server, "nobody").await["managed_components_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_nodes_take_part_only_when_asked_for() {
    let (server, xnames) = server(calm(2)).await;
    let path = format!("State/Components/{}/Enabled", xnames[0]);
    hsm(&server, Method::PATCH, &path, json!({"Enabled": false})).await;
    let before = component(&server, &xnames[0]).await;
    let session = run(&server, "without", "shutdown", json!({})).await;
    assert_eq!((members(&session), &session["include_disabled"]), (vec![xnames[1].as_str()], &json!(false)));
    assert_eq!(component(&server, &xnames[0]).await, before);
    let session = run(&server, "with", "shutdown", json!({"include_disabled": true})).await;
    assert_eq!(members(&session), xnames);
    assert_eq!(component(&server, &xnames[0]).await["session"], "with");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_set_takes_nodes_of_its_architecture_only() {
    let settings = sim::Settings { arm: Pick::Count(1), ..calm(2) };
    let (server, xnames) = server(settings).await;
    let session = run(&server, "x86", "shutdown", json!({})).await;
    let x86 = members(&session);
    assert_eq!(x86.len(), 1);
    let mut arm = server.template();
    arm["boot_sets"]["compute"]["arch"] = json!("ARM");
    // The image is for the others; no image is needed to switch off.
    arm["boot_sets"]["compute"]["path"] = json!("s3://nowhere");
    server.ok(Method::PUT, "/v2/sessiontemplates/arm", Some(arm)).await;
    let session = run(&server, "arm", "shutdown", json!({"template_name": "arm"})).await;
    let arm = members(&session);
    assert_eq!(arm.len(), 1);
    assert_ne!(arm, x86);
    assert!(xnames.iter().any(|xname| xname == arm[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_nodes_are_left_out() {
    let (server, xnames) = server(calm(2)).await;
    hsm(&server, Method::POST, "locks/lock", json!({"ComponentIDs": [xnames[0]]})).await;
    let before = component(&server, &xnames[0]).await;
    let session = run(&server, "l", "reboot", json!({})).await;
    assert_eq!(members(&session), [xnames[1].as_str()]);
    assert_eq!(component(&server, &xnames[0]).await, before);
    let status = status(&server, "l").await;
    assert_eq!(
        (&status["managed_components_count"], &status["percent_successful"]),
        (&json!(1), &json!(100.0))
    );
}
