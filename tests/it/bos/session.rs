//! §1.3.

use reqwest::Method;
use serde_json::{Value, json};

use super::{is_time, names, refused, until};
use crate::support::{app::fast, server::Server};

const SESSIONS: &str = "/v2/sessions";

fn boot(name: &str) -> Option<Value> {
    Some(json!({"name": name, "operation": "boot", "template_name": "demo"}))
}

async fn complete(server: &Server, name: &str) -> Value {
    until(server, &format!("{SESSIONS}/{name}"), |session| session["status"]["status"] == "complete").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_created_as_boss_is() {
    let server = Server::new(fast(4)).await;
    for (body, part) in [
        (json!({"operation": "boot"}), "'template_name' is a required property"),
        (json!({"template_name": "demo"}), "'operation' is a required property"),
        (json!({"operation": "Boot", "template_name": "demo"}), "'operation'"),
        (json!({"operation": "configure", "template_name": "demo"}), "'operation'"),
        (json!({"operation": "boot", "template_name": "-"}), "'template_name'"),
        (json!({"operation": "boot", "template_name": "demo", "name": ""}), "'name'"),
        (json!({"operation": "boot", "template_name": "demo", "name": null}), "'name'"),
        (json!({"operation": "boot", "template_name": "demo", "stage": "no"}), "'stage'"),
        (json!({"operation": "boot", "template_name": "demo", "include_disabled": 1}), "'include_disabled'"),
        (json!({"operation": "boot", "template_name": "demo", "limit": 1}), "'limit'"),
        (json!({"operation": "boot", "template_name": "demo", "limit": "x".repeat(524_289)}), "'limit'"),
        (json!({"operation": "boot", "template_name": "demo", "status": {}}), "'status' was unexpected"),
        (json!({"operation": "boot", "template_name": "none"}), "Session Template Name invalid: none"),
    ] {
        let said = refused(&server, Method::POST, SESSIONS, Some(body), 400).await;
        assert!(said.contains(part), "{said}");
    }
    let (status, created) = server.ask(Method::POST, SESSIONS, boot("s1")).await;
    assert_eq!(status.as_u16(), 201);
    let keys: Vec<_> = created.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "components",
            "include_disabled",
            "limit",
            "name",
            "operation",
            "stage",
            "status",
            "template_name",
            "tenant"
        ]
    );
    assert_eq!(
        (&created["name"], &created["tenant"], &created["limit"]),
        (&json!("s1"), &Value::Null, &json!(""))
    );
    assert_eq!((&created["stage"], &created["include_disabled"]), (&json!(false), &json!(false)));
    assert_eq!((&created["components"], &created["operation"]), (&json!(""), &json!("boot")));
    let status = created["status"].as_object().unwrap();
    let keys: Vec<_> = status.keys().map(String::as_str).collect();
    assert_eq!(keys, ["end_time", "error", "start_time", "status"]);
    assert_eq!(
        (&status["status"], &status["end_time"], &status["error"]),
        (&json!("pending"), &Value::Null, &Value::Null)
    );
    assert!(is_time(&status["start_time"]));
    let (conflict, problem) = server.ask(Method::POST, SESSIONS, boot("s1")).await;
    assert_eq!(conflict.as_u16(), 409);
    assert_eq!(problem["title"], "The resource to be created already exists");
    assert_eq!(problem["detail"], "Session 's1' already exists");
    // `null` is no limit, and who gives no name gets one.
    let unnamed = json!({"operation": "shutdown", "template_name": "demo", "limit": null, "name": "s2"});
    let created = server.ok(Method::POST, SESSIONS, Some(unnamed)).await;
    assert_eq!(created["limit"], "");
    let unnamed = server
        .ok(
            Method::POST,
            SESSIONS,
            Some(json!({"operation": "boot", "template_name": "demo", "limit": "nobody"})),
        )
        .await;
    assert_eq!(unnamed["name"].as_str().unwrap().len(), 36);
    // Everything ends as complete; what went wrong is an error.
    let ended = complete(&server, unnamed["name"].as_str().unwrap()).await;
    assert!(ended["status"]["error"].is_string(), "{ended}");
    assert!(is_time(&ended["status"]["end_time"]));
    assert_eq!(complete(&server, "s1").await["status"]["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_found_patched_and_deleted() {
    let server = Server::new(fast(4)).await;
    let xnames = server.machine.xnames();
    let list =
        async |query: &str| names(&server.ok(Method::GET, &format!("{SESSIONS}{query}"), None).await, "name");
    assert_eq!(list("").await, Vec::<String>::new());
    server.ok(Method::POST, SESSIONS, boot("a")).await;
    let shown = complete(&server, "a").await;
    let mut members: Vec<_> = shown["components"].as_str().unwrap().split(',').collect();
    members.sort_unstable();
    let mut expected: Vec<_> = xnames.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(server.ok(Method::GET, SESSIONS, None).await, json!([shown]));
    for (query, found) in [
        ("?status=complete", true),
        ("?status=running", false),
        ("?status=pending", false),
        ("?min_age=1h", false),
        ("?max_age=1h", true),
        ("?min_age=0", true),
        ("?max_age=0", false),
        ("?min_age=0d&max_age=1W&status=complete", true),
        ("?max_age=1H&max_age=0", false),
        ("?unknown=1", true),
    ] {
        assert_eq!(list(query).await, if found { vec!["a"] } else { vec![] }, "{query}");
    }
    for bad in [
        "min_age=",
        "min_age=1",
        "max_age=h",
        "min_age=-1h",
        "max_age=1y",
        "min_age=9999999d",
        "status=over",
        "status=",
    ] {
        for method in [Method::GET, Method::DELETE] {
            refused(&server, method, &format!("{SESSIONS}?{bad}"), None, 400).await;
        }
    }
    for (method, path) in [
        (Method::GET, "none"),
        (Method::DELETE, "none"),
        (Method::GET, "none/status"),
        (Method::POST, "none/status"),
    ] {
        let said = refused(&server, method, &format!("{SESSIONS}/{path}"), None, 404).await;
        assert_eq!(said, "Session 'none' does not exist");
    }
    refused(&server, Method::PATCH, "/v2/sessions/none", Some(json!({})), 404).await;
    refused(&server, Method::GET, "/v2/sessions/-", None, 400).await;
    refused(&server, Method::PATCH, "/v2/sessions/a/status", Some(json!({})), 405).await;

    let path = "/v2/sessions/a";
    for bad in [
        json!({"name": "b"}),
        json!({"status": {"status": "over"}}),
        json!({"status": {"status": null}}),
        json!({"status": {"start_time": null}}),
        json!({"status": {"x": 1}}),
        json!({"components": null}),
        json!([]),
    ] {
        refused(&server, Method::PATCH, path, Some(bad), 400).await;
    }
    assert_eq!(server.ok(Method::PATCH, path, Some(json!({}))).await, shown);
    let patched = server
        .ok(
            Method::PATCH,
            path,
            Some(json!({"components": "x,y", "status": {"error": "e", "end_time": "never"}})),
        )
        .await;
    assert_eq!((&patched["components"], &patched["limit"]), (&json!("x,y"), &json!("")));
    assert_eq!((&patched["status"]["error"], &patched["status"]["end_time"]), (&json!("e"), &json!("never")));
    assert_eq!(patched["status"]["start_time"], shown["status"]["start_time"]);
    let patched = server.ok(Method::PATCH, path, Some(json!({"status": {"error": null}}))).await;
    assert_eq!(
        (&patched["status"]["error"], &patched["status"]["end_time"]),
        (&Value::Null, &json!("never"))
    );
    assert_eq!(patched["components"], "x,y");
    assert_eq!(server.ok(Method::GET, path, None).await, patched);

    assert_eq!(server.ask(Method::DELETE, path, None).await.0.as_u16(), 204);
    refused(&server, Method::GET, path, None, 404).await;
    refused(&server, Method::DELETE, path, None, 404).await;
    // Components keep their session's name.
    let kept = server.ok(Method::GET, "/v2/components?session=a", None).await;
    assert_eq!(kept.as_array().unwrap().len(), 4);
    // The name is free again.
    server.ok(Method::POST, SESSIONS, boot("a")).await;
    complete(&server, "a").await;
    assert_eq!(server.ask(Method::DELETE, &format!("{SESSIONS}?min_age=1h"), None).await.0.as_u16(), 204);
    assert_eq!(list("").await, ["a"]);
    assert_eq!(
        server.ask(Method::DELETE, &format!("{SESSIONS}?status=complete"), None).await.0.as_u16(),
        204
    );
    assert_eq!(list("").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_running_session_cancels_it() {
    let slow = bosun::sim::Settings { boot: std::time::Duration::from_secs(600), ..fast(2) };
    let server = Server::new(slow).await;
    server.ok(Method::POST, SESSIONS, boot("done")).await;
    server.ok(Method::DELETE, "/v2/sessions/done", None).await;
    let reboot = json!({"name": "r", "operation": "reboot", "template_name": "demo"});
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 2)).await;
    server.ok(Method::POST, SESSIONS, Some(reboot)).await;
    until(&server, "/v2/sessions/r", |session| session["status"]["status"] == "running").await;
    // Without a filter only what is complete goes.
    assert_eq!(server.ask(Method::DELETE, SESSIONS, None).await.0.as_u16(), 204);
    let running = server.ok(Method::GET, "/v2/sessions?status=running", None).await;
    assert_eq!(names(&running, "name"), ["r"]);
    assert_eq!(server.ask(Method::DELETE, "/v2/sessions?status=running", None).await.0.as_u16(), 204);
    assert_eq!(server.ok(Method::GET, SESSIONS, None).await, json!([]));
    // It lets go of its nodes: the next session gets them.
    until(&server, "/bosun/v1/healthz", |health| health["database"] == "ok").await;
    let next = json!({"name": "n", "operation": "shutdown", "template_name": "demo"});
    let mut tries = 0;
    let ended = loop {
        let mut body = next.clone();
        body["name"] = json!(format!("n{tries}"));
        server.ok(Method::POST, SESSIONS, Some(body)).await;
        let ended = complete(&server, &format!("n{tries}")).await;
        if ended["status"]["error"].is_null() || tries == 200 {
            break ended;
        }
        tries += 1;
    };
    assert_eq!(ended["status"]["error"], Value::Null, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_boss_keys_and_a_snapshot() {
    let server = Server::new(fast(3)).await;
    server.ok(Method::POST, SESSIONS, boot("a")).await;
    complete(&server, "a").await;
    let path = "/v2/sessions/a/status";
    let status = server.ok(Method::GET, path, None).await;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&status),
        [
            "error_summary",
            "managed_components_count",
            "percent_failed",
            "percent_staged",
            "percent_successful",
            "phases",
            "status",
            "timing"
        ]
    );
    assert_eq!(
        status["phases"],
        json!({
            "percent_complete": 100.0, "percent_configuring": 0.0, "percent_powering_off": 0.0,
            "percent_powering_on": 0.0,
        })
    );
    assert_eq!((&status["managed_components_count"], &status["status"]), (&json!(3), &json!("complete")));
    assert_eq!((&status["percent_successful"], &status["percent_failed"]), (&json!(100.0), &json!(0.0)));
    assert_eq!((&status["percent_staged"], &status["error_summary"]), (&json!(0.0), &json!({})));
    assert_eq!(keys(&status["timing"]), ["duration", "end_time", "start_time"]);
    assert!(is_time(&status["timing"]["start_time"]) && is_time(&status["timing"]["end_time"]));
    let duration = status["timing"]["duration"].as_str().unwrap();
    assert!(duration.starts_with("0:00:") && duration.len() == 7, "{duration}");
    // Another session takes the nodes: what this one came to does not shrink.
    server
        .ok(
            Method::POST,
            SESSIONS,
            Some(json!({"name": "b", "operation": "shutdown", "template_name": "demo"})),
        )
        .await;
    complete(&server, "b").await;
    assert_eq!(server.ok(Method::GET, path, None).await, status);
    assert_eq!(server.ok(Method::POST, path, None).await, status);
    assert_eq!(server.ok(Method::GET, path, None).await, status);
    let one_error = server.ok(Method::GET, "/v2/sessions/b/status", None).await;
    assert_eq!(one_error["percent_successful"], 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_filtered_by_what_clients_see() {
    let server = Server::new(fast(1)).await;
    server.ok(Method::POST, SESSIONS, boot("a")).await;
    complete(&server, "a").await;
    let listed = async |status: &str| {
        names(&server.ok(Method::GET, &format!("{SESSIONS}?status={status}"), None).await, "name")
    };
    assert_eq!(listed("complete").await, ["a"]);
    let running = json!({"status": {"status": "running"}});
    let patched = server.ok(Method::PATCH, &format!("{SESSIONS}/a"), Some(running)).await;
    assert_eq!(patched["status"]["status"], "running");
    assert_eq!((listed("running").await, listed("complete").await), (vec!["a".to_owned()], vec![]));
}

/// The newer session wins, as in BOS; the older one is complete, and no node is driven by both.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_takes_over_from_an_older_one() {
    let slow = std::time::Duration::from_secs(2);
    let server = Server::new(bosun::sim::Settings { boot: slow, ..fast(4) }).await;
    let reboot = |name: &str| Some(json!({"name": name, "operation": "reboot", "template_name": "demo"}));
    server.ok(Method::POST, SESSIONS, reboot("older")).await;
    until(&server, &format!("{SESSIONS}/older"), |session| session["status"]["status"] == "running").await;
    server.ok(Method::POST, SESSIONS, reboot("newer")).await;
    complete(&server, "older").await;
    assert_eq!(complete(&server, "newer").await["status"]["error"], Value::Null);
    let status = server.ok(Method::GET, &format!("{SESSIONS}/newer/status"), None).await;
    assert_eq!(status["managed_components_count"], 4, "{status}");
    assert_eq!(status["percent_successful"], 100.0, "{status}");
    for component in server.ok(Method::GET, "/v2/components", None).await.as_array().unwrap() {
        assert_eq!((&component["session"], &component["enabled"]), (&json!("newer"), &json!(false)));
    }
}
