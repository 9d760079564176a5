//! Components that are enabled without a session (§2, §3).

mod replicas;
mod take_over;

use reqwest::Method;
use serde_json::{Value, json};

use super::{names, until};
use crate::support::{app::fast, server::Server};

const COMPONENTS: &str = "/v2/components";

/// A machine whose nodes are known, and whose image is booted by nobody yet.
async fn server(nodes: usize) -> (Server, Vec<String>) {
    let server = Server::new(fast(nodes)).await;
    until(&server, COMPONENTS, |list| list.as_array().is_some_and(|list| list.len() == nodes)).await;
    let xnames = server.machine.xnames();
    (server, xnames)
}

async fn component(server: &Server, xname: &str) -> Value {
    server.ok(Method::GET, &format!("{COMPONENTS}/{xname}"), None).await
}

async fn component_until(server: &Server, xname: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(server, &format!("{COMPONENTS}/{xname}"), wanted).await
}

/// Waits until nobody drives it any more.
async fn settled(server: &Server, xname: &str) -> Value {
    component_until(server, xname, |record| record["enabled"] == false).await
}

/// The sessions of our own API.
async fn sessions(server: &Server) -> Vec<Value> {
    let answer = server.ok(Method::GET, "/bosun/v1/sessions", None).await;
    answer.as_array().or_else(|| answer["sessions"].as_array()).unwrap().clone()
}

/// What a session of the template `demo` makes components boot.
async fn artifacts(server: &Server, xname: &str) -> Value {
    let stage =
        json!({"name": "look", "operation": "boot", "template_name": "demo", "stage": true, "limit": xname});
    server.ok(Method::POST, "/v2/sessions", Some(stage)).await;
    let path = format!("{COMPONENTS}/{xname}");
    let staged = until(server, &path, |record| record["staged_state"]["session"] == "look").await;
    server.ok(Method::DELETE, "/v2/sessions/look", None).await;
    staged["staged_state"]["boot_artifacts"].clone()
}

fn edges(server: &Server, xname: &str) -> usize {
    server.machine.edges().get(xname).map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn enabled_components_are_driven_to_their_desired_state_by_one_session() {
    let (server, xnames) = server(5).await;
    let artifacts = artifacts(&server, &xnames[0]).await;
    let desired = |configuration: &str| json!({"boot_artifacts": artifacts, "configuration": configuration});
    let boots = json!([
        {"id": xnames[0], "enabled": true, "desired_state": desired("compute-config")},
        {"id": xnames[1], "enabled": true, "desired_state": desired("")},
        {"id": xnames[2], "enabled": true, "desired_state": desired("compute-config")},
    ]);
    let held = server.ok(Method::PATCH, COMPONENTS, Some(boots)).await;
    assert_eq!(held[0]["status"]["status_override"], "on_hold");
    // Nothing to boot: it is to be off.
    let path = format!("{COMPONENTS}/{}", xnames[3]);
    let off = server.ok(Method::PATCH, &path, Some(json!({"enabled": true}))).await;
    assert_eq!(off["status"]["status_override"], "on_hold");
    let booted = settled(&server, &xnames[0]).await;
    assert_eq!(
        (&booted["status"]["status"], &booted["status"]["phase"], &booted["error"]),
        (&json!("stable"), &json!(""), &json!("")),
        "{booted}"
    );
    assert_eq!(booted["actual_state"]["boot_artifacts"], artifacts);
    assert_eq!((&booted["session"], &booted["last_action"]["action"]), (&json!(""), &json!("powering_on")));
    assert_eq!(booted["event_stats"]["power_on_attempts"], 0);
    for xname in &xnames[1..4] {
        let settled = settled(&server, xname).await;
        assert_eq!(settled["status"]["status"], "stable", "{settled}");
    }
    // One session for all of them, in our own API only.
    assert_eq!(server.ok(Method::GET, "/v2/sessions", None).await, json!([]));
    let ours: Vec<_> =
        sessions(&server).await.into_iter().filter(|session| session["operation"] == "implicit").collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let name = ours[0]["name"].as_str().unwrap();
    assert!(name.starts_with("implicit-"), "{name}");
    let path = format!("/bosun/v1/sessions/{name}");
    let session = until(&server, &path, |session| session["state"] == "ended").await;
    assert_eq!((&session["outcome"], &session["succeeded"]), (&json!("succeeded"), &json!(4)), "{session}");
    for (method, path) in [
        (Method::GET, format!("/v2/sessions/{name}")),
        (Method::DELETE, format!("/v2/sessions/{name}")),
        (Method::GET, format!("/v2/sessions/{name}/status")),
        (Method::POST, format!("/v2/sessions/{name}/status")),
    ] {
        super::refused(&server, method, &path, None, 404).await;
    }
    let shown = server.run(&["session", "show", name]).await;
    assert!(
        shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("implicit"),
        "{shown:?}"
    );
    let power: Vec<usize> = xnames.iter().map(|xname| edges(&server, xname)).collect();
    assert_eq!(power, [2, 2, 2, 1, 0]);

    // What is as it should be is not touched.
    let again = json!({"patch": {"enabled": true}, "filters": {"ids": xnames[..4].join(",")}});
    server.ok(Method::PATCH, COMPONENTS, Some(again)).await;
    for xname in &xnames[..4] {
        let settled = settled(&server, xname).await;
        assert_eq!((&settled["status"]["status"], &settled["error"]), (&json!("stable"), &json!("")));
    }
    let power: Vec<usize> = xnames.iter().map(|xname| edges(&server, xname)).collect();
    assert_eq!(power, [2, 2, 2, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_nothing_can_be_done_with_says_why() {
    let (server, xnames) = server(2).await;
    let artifacts = artifacts(&server, &xnames[0]).await;
    let strange = json!({"boot_artifacts": artifacts, "configuration": "nobody-made-it"});
    server.ok(Method::PUT, &format!("{COMPONENTS}/lamp"), Some(json!({"enabled": true}))).await;
    let patch = json!({"enabled": true, "desired_state": strange});
    server.ok(Method::PATCH, &format!("{COMPONENTS}/{}", xnames[0]), Some(patch)).await;
    let lamp = settled(&server, "lamp").await;
    assert_eq!(
        (&lamp["status"]["status"], &lamp["error"]),
        (&json!("failed"), &json!("unknown_component: HSM does not know it"))
    );
    let node = settled(&server, &xnames[0]).await;
    assert_eq!(node["error"], "configuration_missing: CFS has no configuration 'nobody-made-it'");
    assert_eq!(node["status"]["status"], "failed");
    let ours = sessions(&server).await;
    let ours = ours.iter().find(|session| session["operation"] == "implicit").unwrap();
    assert_eq!(ours["outcome"], "nothing_to_do");
    // Enabled again, it is tried again.
    let patch = json!({"enabled": true, "desired_state": {"configuration": ""}});
    server.ok(Method::PATCH, &format!("{COMPONENTS}/{}", xnames[0]), Some(patch)).await;
    assert_eq!(settled(&server, &xnames[0]).await["status"]["status"], "stable");
    assert!(server.machine.edges().values().any(|edges| edges.len() == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_disabled_in_time_is_left_alone() {
    let (server, xnames) = server(2).await;
    let path = |n: usize| format!("{COMPONENTS}/{}", xnames[n]);
    server.ok(Method::PATCH, &path(0), Some(json!({"enabled": true}))).await;
    server.ok(Method::PATCH, &path(1), Some(json!({"enabled": true}))).await;
    server.ok(Method::PATCH, &path(0), Some(json!({"enabled": false}))).await;
    settled(&server, &xnames[1]).await;
    assert_eq!((edges(&server, &xnames[0]), edges(&server, &xnames[1])), (0, 1));
    assert_eq!(component(&server, &xnames[0]).await["enabled"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_component_of_a_session_leaves_it_out_and_its_policy_is_heeded() {
    let mut settings = fast(4);
    settings.boot = std::time::Duration::from_secs(600);
    let (server, xnames) = {
        let server = Server::new(settings).await;
        until(&server, COMPONENTS, |list| list.as_array().is_some_and(|list| list.len() == 4)).await;
        let xnames = server.machine.xnames();
        (server, xnames)
    };
    let reboot = json!({"name": "r", "operation": "reboot", "template_name": "demo"});
    server.ok(Method::POST, "/v2/sessions", Some(reboot)).await;
    let path = format!("{COMPONENTS}/{}", xnames[0]);
    until(&server, &path, |record| record["status"]["status"] == "power_on_called").await;
    // Enabled already: nothing new, and it is not put on hold.
    let kept = server.ok(Method::PATCH, &path, Some(json!({"enabled": true}))).await;
    assert_eq!(kept["status"]["status_override"], "");
    assert_eq!(server.ok(Method::GET, &path, None).await["status"]["status"], "power_on_called");
    server.ok(Method::PATCH, &path, Some(json!({"enabled": false}))).await;
    let out = until(&server, &path, |record| record["error"] != "").await;
    assert!(out["error"].as_str().unwrap().starts_with("disabled_by_actor: by "), "{out}");
    assert_eq!((&out["enabled"], &out["status"]["status"]), (&json!(false), &json!("stable")));
    // The others go on.
    let rest = server.ok(Method::GET, &format!("{COMPONENTS}?session=r&enabled=true"), None).await;
    assert_eq!(names(&rest, "id").len(), 3);
    assert_eq!(server.ok(Method::GET, "/v2/sessions/r", None).await["status"]["status"], "running");
    let ours = sessions(&server).await;
    assert!(ours.iter().all(|session| session["operation"] != "implicit"), "{ours:?}");
    server.ok(Method::PATCH, &format!("{COMPONENTS}/{}", xnames[1]), Some(json!({"retry_policy": 7}))).await;
    let heard = until(&server, "/bosun/v1/sessions/r/commands", |list| {
        list.to_string().contains("heeded for 1 components")
    });
    heard.await;
}
