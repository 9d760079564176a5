//! §1.5, and staged sessions of §3.

use bosun::sim::{FaultKind, Rule, Service};
use reqwest::Method;
use serde_json::{Value, json};

use super::{refused, until};
use crate::support::{app::fast, server::Server};

const APPLY: &str = "/v2/applystaged";

async fn stage(server: &Server, name: &str, operation: &str) {
    let body = json!({"name": name, "operation": operation, "template_name": "demo", "stage": true});
    assert_eq!(server.ok(Method::POST, "/v2/sessions", Some(body)).await["stage"], true);
    let path = format!("/v2/sessions/{name}");
    let staged = until(server, &path, |session| session["status"]["status"] != "pending").await;
    assert_eq!(
        (&staged["status"]["status"], &staged["status"]["end_time"]),
        (&json!("running"), &Value::Null)
    );
}

async fn apply(server: &Server, xnames: &[&str]) -> Value {
    server.ok(Method::POST, APPLY, Some(json!({ "xnames": xnames }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_waits_until_it_is_applied() {
    let server = Server::new(fast(3)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 3)).await;
    let xnames = server.machine.xnames();
    let component = |n: usize| format!("/v2/components/{}", xnames[n]);
    let before = server.ok(Method::GET, &component(0), None).await;
    stage(&server, "st", "reboot").await;
    let staged = server.ok(Method::GET, &component(0), None).await;
    assert_eq!((&staged["session"], &staged["enabled"]), (&before["session"], &json!(false)));
    assert_eq!(staged["desired_state"], before["desired_state"]);
    assert_eq!(
        (&staged["staged_state"]["session"], &staged["staged_state"]["configuration"]),
        (&json!("st"), &json!("compute-config"))
    );
    assert!(staged["staged_state"]["boot_artifacts"]["kernel"].as_str().unwrap().starts_with("s3://"));
    assert_eq!(
        server.ok(Method::GET, "/v2/components?staged_session=st", None).await.as_array().unwrap().len(),
        3
    );
    let status = server.ok(Method::GET, "/v2/sessions/st/status", None).await;
    assert_eq!((&status["percent_staged"], &status["managed_components_count"]), (&json!(100.0), &json!(3)));
    assert!(server.machine.edges().values().all(|edges| edges.is_empty()));

    assert_eq!(
        server.ok(Method::POST, APPLY, Some(json!({}))).await,
        json!({"failed": [], "ignored": [], "succeeded": []})
    );
    for bad in
        [json!({"xnames": "x"}), json!({"xnames": [1]}), json!({"xnames": [""]}), json!({"x": []}), json!([])]
    {
        refused(&server, Method::POST, APPLY, Some(bad), 400).await;
    }
    refused(&server, Method::GET, APPLY, None, 405).await;
    server.ok(Method::PATCH, "/v2/options", Some(json!({"clear_stage": true}))).await;
    let applied = apply(&server, &[&xnames[0], "nobody"]).await;
    assert_eq!(applied, json!({"failed": [], "ignored": ["nobody"], "succeeded": [xnames[0]]}));
    let done = until(&server, &component(0), |record| {
        record["enabled"] == false && record["actual_state"]["boot_artifacts"]["kernel"].is_string()
    })
    .await;
    assert_eq!((&done["session"], &done["status"]["status"]), (&json!("st"), &json!("stable")), "{done}");
    assert_eq!(done["desired_state"]["boot_artifacts"], staged["staged_state"]["boot_artifacts"]);
    let cleared = done["staged_state"].as_object().unwrap();
    assert_eq!((cleared.get("session"), &cleared["configuration"]), (None, &json!("")));
    assert_eq!(apply(&server, &[&xnames[0]]).await["ignored"], json!([xnames[0]]));
    let edges = server.machine.edges();
    let booted: Vec<_> =
        edges.iter().filter(|(_, edges)| !edges.is_empty()).map(|(xname, _)| xname.to_string()).collect();
    assert_eq!(booted, [xnames[0].clone()]);
    // BOS's clients see the session that staged, and no other.
    assert_eq!(super::names(&server.ok(Method::GET, "/v2/sessions", None).await, "name"), ["st"]);
    let status = server.ok(Method::GET, "/v2/sessions/st/status", None).await;
    assert_eq!((&status["percent_successful"], &status["percent_staged"]), (&json!(33.33), &json!(66.67)));

    // It runs until the others are applied as well.
    let session = server.ok(Method::GET, "/v2/sessions/st", None).await;
    assert_eq!(
        (&session["status"]["status"], &session["components"]),
        (&json!("running"), &json!(xnames.join(",")))
    );
    assert_eq!(apply(&server, &[&xnames[1], &xnames[2]]).await["succeeded"], json!(xnames[1..]));
    let ended = until(&server, "/v2/sessions/st", |session| session["status"]["status"] == "complete").await;
    assert_eq!((&ended["status"]["error"], &ended["status"]["end_time"].is_string()), (&Value::Null, &true));
    let status = server.ok(Method::GET, "/v2/sessions/st/status", None).await;
    assert_eq!((&status["percent_successful"], &status["percent_staged"]), (&json!(100.0), &json!(0.0)));

    // A staged shutdown works, too.
    stage(&server, "off", "shutdown").await;
    assert_eq!(apply(&server, &[&xnames[0]]).await["succeeded"], json!([xnames[0]]));
    let off =
        until(&server, &component(0), |record| record["session"] == "off" && record["enabled"] == false)
            .await;
    assert_eq!((&off["error"], &off["status"]["status"]), (&json!(""), &json!("stable")), "{off}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_says_why() {
    let server = Server::new(fast(2)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 2)).await;
    let xnames = server.machine.xnames();
    let first = format!("/v2/components/{}", xnames[0]);
    stage(&server, "st", "boot").await;
    let empty = json!({"staged_state": {"boot_artifacts": {"kernel": ""}}});
    server.ok(Method::PATCH, &first, Some(empty)).await;
    assert_eq!(apply(&server, &[&xnames[0]]).await["failed"], json!([xnames[0]]));
    let failed = server.ok(Method::GET, &first, None).await;
    assert_eq!((&failed["enabled"], &failed["session"]), (&json!(false), &json!("st")));
    assert_eq!(failed["last_action"]["action"], "apply_staged");
    assert!(failed["error"].as_str().unwrap().contains("boot artifacts are missing"), "{failed}");
    server.ok(Method::DELETE, "/v2/sessions/st", None).await;
    assert_eq!(apply(&server, &[&xnames[1]]).await["failed"], json!([xnames[1]]));
    let failed = server.ok(Method::GET, &format!("/v2/components/{}", xnames[1]), None).await;
    assert!(failed["error"].as_str().unwrap().contains("does not exist"), "{failed}");
    // What is not staged for anybody is ignored.
    server.ok(Method::PATCH, &first, Some(json!({"staged_state": {"session": ""}}))).await;
    assert_eq!(apply(&server, &[&xnames[0]]).await["ignored"], json!([xnames[0]]));
}

/// HSM is away, so what is applied waits; whoever gives it up, its components are not enabled for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_and_given_up_says_so() {
    let server = Server::new(fast(2)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 2)).await;
    let xnames = server.machine.xnames();
    stage(&server, "st", "boot").await;
    server.machine.set_fault(Rule { method: None, ..Rule::new(Service::Hsm, "", "", FaultKind::Status) });
    for (n, why) in [(0, "cancelled by"), (1, "deleted before it was admitted")] {
        assert_eq!(apply(&server, &[&xnames[n]]).await["succeeded"], json!([xnames[n]]));
        let list = server.ok(Method::GET, "/bosun/v1/sessions?state=waiting", None).await;
        let name = list[0]["name"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
        let path = format!("/bosun/v1/sessions/{name}");
        match n {
            0 => drop(
                server.ok(Method::POST, &format!("{path}/commands"), Some(json!({"kind": "cancel"}))).await,
            ),
            _ => drop(server.ok(Method::DELETE, &path, None).await),
        }
        let record = server.ok(Method::GET, &format!("/v2/components/{}", xnames[n]), None).await;
        assert_eq!((&record["enabled"], &record["session"]), (&json!(false), &json!("st")), "{record}");
        assert!(record["error"].as_str().unwrap().starts_with(why), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_is_applied_whatever_became_of_the_template() {
    let server = Server::new(fast(3)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 3)).await;
    let xnames = server.machine.xnames();
    let component = |n: usize| format!("/v2/components/{}", xnames[n]);
    stage(&server, "st", "reboot").await;
    let staged = server.ok(Method::GET, &component(0), None).await["staged_state"]["boot_artifacts"].clone();
    let mut other = server.template();
    other["boot_sets"]["compute"]["kernel_parameters"] = json!("console=ttyS1");
    server.ok(Method::PUT, "/v2/sessiontemplates/demo", Some(other)).await;
    server.ok(Method::DELETE, "/v2/sessiontemplates/demo", None).await;
    // Who is locked by then says so, and is not enabled for ever.
    let url = format!("{}/hsm/v2/locks/lock", server.machine.url());
    let locked =
        reqwest::Client::new().post(url).json(&json!({"ComponentIDs": [xnames[1]]})).send().await.unwrap();
    assert!(locked.status().is_success());
    let applied = apply(&server, &[&xnames[0], &xnames[1], &xnames[2]]).await;
    assert_eq!(applied["succeeded"], json!(xnames));
    until(&server, "/v2/sessions/st", |session| session["status"]["status"] == "complete").await;
    for n in [0, 2] {
        let done = server.ok(Method::GET, &component(n), None).await;
        assert_eq!((&done["enabled"], &done["error"]), (&json!(false), &json!("")), "{done}");
        assert_eq!(done["actual_state"]["boot_artifacts"], staged);
        // Without clear_stage it stays, and is not counted any more.
        assert_eq!(done["staged_state"]["session"], "st");
    }
    let left_out = server.ok(Method::GET, &component(1), None).await;
    assert_eq!((&left_out["enabled"], &left_out["status"]["status"]), (&json!(false), &json!("failed")));
    assert!(left_out["error"].as_str().unwrap().starts_with("locked: "), "{left_out}");
    let status = server.ok(Method::GET, "/v2/sessions/st/status", None).await;
    assert_eq!(
        (&status["managed_components_count"], &status["percent_successful"], &status["percent_failed"]),
        (&json!(3), &json!(66.67), &json!(33.33))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_session_that_is_deleted_ends() {
    let server = Server::new(fast(2)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 2)).await;
    stage(&server, "st", "boot").await;
    stage(&server, "other", "boot").await;
    // Staged over by the later one: nothing of it waits any more.
    until(&server, "/v2/sessions/st", |session| session["status"]["status"] == "complete").await;
    let running = server.ok(Method::GET, "/v2/sessions?status=running", None).await;
    assert_eq!(super::names(&running, "name"), ["other"]);
    server.ok(Method::DELETE, "/v2/sessions/other", None).await;
    refused(&server, Method::GET, "/v2/sessions/other", None, 404).await;
    assert!(server.machine.edges().values().all(|edges| edges.is_empty()));
}
