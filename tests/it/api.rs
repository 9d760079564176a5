//! The APIs over HTTP, with a real database, a simulated machine and real workers.

mod events;
mod listings;
mod slow;

use std::time::{Duration, Instant};

use bosun::db;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{app::fast, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_written_as_bos_writes_them() {
    let server = Server::new(fast(4)).await;
    let (status, text) = server.raw(Method::GET, "/v2/sessions", "", "").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "[]\n"));
    let (_, text) = server.raw(Method::GET, "/v2/sessiontemplates", "", "").await;
    assert!(text.starts_with("[\n  {\n    \"boot_sets\": {\n"), "{text}");
    let version = server.ok(Method::GET, "/apis/bos/v2", None).await;
    assert_eq!((version["major"].as_str(), version["minor"].as_str()), (Some("2"), Some("50")));
    assert!(server.ok(Method::GET, "/", None).await.is_array());
    assert_eq!(
        server.ok(Method::GET, "/v2/healthz", None).await,
        json!({"apiStatus": "ok", "dbStatus": "ok"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_problem() {
    let server = Server::new(fast(4)).await;
    let json = "application/json";
    let cases = [
        (Method::GET, "/v2/", json, "", 404),
        (Method::GET, "/v1/session", json, "", 404),
        (Method::GET, "/v2/components/nobody", json, "", 404),
        (Method::GET, "/v2/components/a%00b", json, "", 400),
        (Method::PUT, "/v2/sessions", json, "", 405),
        (Method::POST, "/v2/sessions", "text/plain", "{}", 415),
        (Method::POST, "/v2/sessions", json, "{", 400),
        (Method::POST, "/v2/sessions", json, "null", 400),
        (Method::POST, "/v2/sessions", json, "", 400),
        (Method::POST, "/v2/sessions", json, "[]", 400),
        (Method::POST, "/v2/sessions", json, r#"{"operation": "configure", "template_name": "demo"}"#, 400),
        (Method::POST, "/v2/sessions", json, r#"{"operation": "boot", "template_name": "none"}"#, 400),
        (Method::POST, "/v2/sessions", json, r#"{"operation": "boot", "template_name": "d", "x": 1}"#, 400),
        (Method::PUT, "/v2/sessiontemplates/t", json, r#"{"boot_sets": {}}"#, 400),
        (Method::PUT, "/v2/sessiontemplates/t", json, r#"{"name": "t", "boot_sets": {}}"#, 400),
        (Method::PUT, "/v2/sessiontemplates/-", json, "{}", 400),
        (Method::PATCH, "/v2/components", json, r#"{"patch": {"enabled": true}, "filters": {}}"#, 400),
        (Method::PATCH, "/v2/components/x", json, "{}", 400),
        (Method::PATCH, "/v2/components/x", json, "{\"error\": \"\\u0000\"}", 400),
        (Method::GET, "/v2/components?enabled=yes", json, "", 400),
        (Method::GET, "/v2/components?page_size=-1", json, "", 400),
        (Method::GET, "/v2/sessions?min_age=9999999d", json, "", 400),
        (Method::GET, "/v2/sessions?status=over", json, "", 400),
        (Method::GET, "/bosun/v1/sessions/none", json, "", 404),
        (Method::POST, "/bosun/v1/sessions", json, r#"{"template": "demo"}"#, 400),
    ];
    for (method, path, kind, body, expected) in cases {
        let (status, text) = server.raw(method.clone(), path, kind, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path} {body}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["detail", "status", "title", "type"], "{method} {path} {body}: {text}");
        assert_eq!(problem["status"], expected);
    }
    let huge = format!(r#"{{"description": "{}"}}"#, "x".repeat(3 << 20));
    let (status, _) = server.raw(Method::PATCH, "/v2/sessiontemplates/demo", json, &huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_through_bos_api_reboots_the_nodes() {
    let server = Server::new(fast(8)).await;
    let request = json!({"name": "r1", "operation": "reboot", "template_name": "demo"});
    let created = server.ask(Method::POST, "/v2/sessions", Some(request.clone())).await;
    assert_eq!(created.0, StatusCode::CREATED, "{}", created.1);
    assert_eq!(created.1["status"]["status"], "pending");
    assert_eq!(server.ask(Method::POST, "/v2/sessions", Some(request)).await.0, StatusCode::CONFLICT);
    let session =
        until(&server, "/v2/sessions/r1", |session| session["status"]["status"] == "complete").await;
    assert_eq!(session["status"]["error"], Value::Null);
    assert_eq!(session["components"].as_str().unwrap().split(',').count(), 8);
    let status = server.ok(Method::GET, "/v2/sessions/r1/status", None).await;
    assert_eq!(status["managed_components_count"], 8);
    assert_eq!((&status["percent_successful"], &status["percent_failed"]), (&json!(100.0), &json!(0.0)));
    assert!(
        server
            .machine
            .edges()
            .values()
            .all(|edges| edges.iter().filter(|edge| edge.power == "on").count() == 1)
    );
    let component = &server.ok(Method::GET, "/v2/components?session=r1", None).await[0];
    assert_eq!((&component["enabled"], &component["status"]["status"]), (&json!(false), &json!("stable")));
    assert_eq!(component["actual_state"]["boot_artifacts"], component["desired_state"]["boot_artifacts"]);
    let (status, _) = server.ask(Method::DELETE, "/v2/sessions/r1", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(server.ask(Method::GET, "/v2/sessions/r1", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_api_admits_in_the_request() {
    let server = Server::new(fast(8)).await;
    let create = |name: &str, more: Value| {
        let mut body = json!({"name": name, "template": "demo", "operation": "configure"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let refused = async |body: Value, status: u16| {
        let (answered, problem) = server.ask(Method::POST, "/bosun/v1/sessions", Some(body)).await;
        assert_eq!(answered.as_u16(), status, "{problem}");
        assert_eq!(problem["rejected"], true, "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert!(refused(create("s", json!({"limit": "a,,b"})), 400).await.contains("column"));
    refused(create("s", json!({"limit": "nosuchgroup"})), 400).await;
    refused(create("s", json!({"template": "none"})), 422).await;
    assert!(refused(create("s", json!({"operation": "reboo"})), 422).await.contains("reboot"));
    let plan = server.ok(Method::POST, "/bosun/v1/plan", Some(create("s", json!({})))).await;
    assert_eq!((&plan["targeted"], &plan["power_cycled"]), (&json!(8), &json!(0)));
    assert!(server.ok(Method::GET, "/bosun/v1/sessions", None).await.as_array().unwrap().is_empty());
    let created = server.ask(Method::POST, "/bosun/v1/sessions", Some(create("s", json!({})))).await;
    assert_eq!(created.0, StatusCode::CREATED, "{}", created.1);
    let keys: Vec<_> = created.1.as_object().unwrap().keys().map(String::as_str).collect();
    for key in "id name operation state outcome targeted not_reached in_flight succeeded failed skipped retry_command \
                plan_hash started_at ended_at seconds steps errors"
        .split_whitespace()
    {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
    let ended = until(&server, "/bosun/v1/sessions/s", |session| session["state"] == "ended").await;
    assert_eq!(ended["succeeded"], 8, "{ended}");
    // A session whose operation BOS does not know is not for BOS's clients to see.
    assert_eq!(server.ok(Method::GET, "/v2/sessions", None).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_at_once_are_all_kept() {
    let server = Server::new(fast(64)).await;
    let xnames = server.machine.xnames();
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 64)).await;
    let reports = xnames.iter().map(|xname| {
        let body = json!({"id": xname, "actual_state": {"bss_token": format!("token of {xname}")}});
        let path = format!("/v2/components/{xname}");
        let server = &server;
        async move { server.ok(Method::PATCH, &path, Some(body)).await }
    });
    let answers = futures_util::future::join_all(reports).await;
    for (xname, answer) in xnames.iter().zip(&answers) {
        assert_eq!(answer["id"], json!(xname));
        assert_eq!(answer["actual_state"]["bss_token"], json!(format!("token of {xname}")));
    }
    let body = json!({"actual_state": {"bss_token": "t"}});
    let (status, _) = server.ask(Method::PATCH, "/v2/components/nobody", Some(body)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_changed_by_boss_rules() {
    let server = Server::new(fast(4)).await;
    let xname = server.machine.xnames()[0].clone();
    let path = format!("/v2/components/{xname}");
    let put = server.ok(Method::PUT, &path, Some(json!({"enabled": false}))).await;
    assert_eq!(put, json!({"enabled": false, "id": xname}));
    let patched = server
        .ok(Method::PATCH, &path, Some(json!({"session": "s", "desired_state": {"configuration": "c"}})))
        .await;
    assert_eq!(patched["session"], "s");
    assert_eq!(patched["event_stats"]["power_on_attempts"], 0);
    let shown = server.ok(Method::GET, &path, None).await;
    assert_eq!(shown["status"]["status"], "stable");
    let by_session = json!({"patch": {"error": "e"}, "filters": {"session": "s"}});
    let bulk = server.ok(Method::PATCH, "/v2/components", Some(by_session)).await;
    assert_eq!((bulk.as_array().unwrap().len(), &bulk[0]["error"]), (1, &json!("e")));
    let unknown = json!([{"id": xname, "error": "f"}, {"id": "nobody", "error": "f"}]);
    let (status, _) = server.ask(Method::PATCH, "/v2/components", Some(unknown.clone())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(server.ok(Method::GET, &path, None).await["error"], "e");
    let skipped = server.ok(Method::PATCH, "/v2/components?skip_bad_ids=true", Some(unknown)).await;
    assert_eq!(skipped.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_database_admits_nothing_until_all_is_resumed() {
    let server = Server::new(fast(4)).await;
    let mut conn = db::acquire(&server.database.pool).await.unwrap();
    db::service_life::park(&mut conn).await.unwrap();
    let body = json!({"name": "s", "template": "demo", "operation": "configure"});
    let (status, problem) = server.ask(Method::POST, "/bosun/v1/sessions", Some(body.clone())).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains("bosun session resume --all"), "{problem}");
    let resumed = server.run(&["session", "resume", "--all"]).await;
    assert!(resumed.status.success());
    assert_eq!(server.ask(Method::POST, "/bosun/v1/sessions", Some(body)).await.0, StatusCode::CREATED);
}

/// Asks until the answer is as wanted.
async fn until(server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let answer = server.ok(Method::GET, path, None).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{path} stays {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
