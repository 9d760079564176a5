//! Sessions as BOS's clients see them, through `/v2` alone: what BOS's operators do (§2, §3), in the records.

mod boot;
mod failure;
mod reboot;
mod selection;
mod shutdown;

use std::time::{Duration, Instant};

use bosun::sim;
use reqwest::Method;
use serde_json::{Value, json};

use super::until;
use crate::support::{app::fast, server::Server};

/// A machine slow enough for every phase to be seen.
fn calm(nodes: usize) -> sim::Settings {
    let time = Duration::from_millis;
    sim::Settings {
        soft_off: time(400),
        force_off: time(300),
        power_on: time(300),
        boot: time(600),
        configure: time(500),
        pcs_minute: time(2_000),
        ..fast(nodes)
    }
}

/// A server whose nodes are known.
async fn server(settings: sim::Settings) -> (Server, Vec<String>) {
    let nodes = settings.nodes;
    let server = Server::new(settings).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == nodes)).await;
    let xnames = server.machine.xnames();
    (server, xnames)
}

async fn begin(server: &Server, name: &str, operation: &str, more: Value) {
    let mut body = json!({"name": name, "operation": operation, "template_name": "demo"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = server.ok(Method::POST, "/v2/sessions", Some(body)).await;
    assert_eq!(created["status"]["status"], "pending", "{created}");
}

async fn complete(server: &Server, name: &str) -> Value {
    until(server, &format!("/v2/sessions/{name}"), |session| session["status"]["status"] == "complete").await
}

async fn run(server: &Server, name: &str, operation: &str, more: Value) -> Value {
    begin(server, name, operation, more).await;
    complete(server, name).await
}

async fn component(server: &Server, xname: &str) -> Value {
    server.ok(Method::GET, &format!("/v2/components/{xname}"), None).await
}

async fn status(server: &Server, name: &str) -> Value {
    server.ok(Method::GET, &format!("/v2/sessions/{name}/status"), None).await
}

/// Everything a component showed while a session ran, each once in a row, and how it was left.
async fn watch(server: &Server, xname: &str, session: &str) -> (Vec<Value>, Value) {
    let begun = Instant::now();
    let mut shown: Vec<Value> = Vec::new();
    loop {
        let over = server.ok(Method::GET, &format!("/v2/sessions/{session}"), None).await;
        let record = component(server, xname).await;
        if shown.last() != Some(&record) {
            shown.push(record.clone());
        }
        if over["status"]["status"] == "complete" {
            return (shown, record);
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "session {session} stays {over}; {record}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The computed statuses, each once in a row.
fn statuses(shown: &[Value]) -> Vec<&str> {
    let mut statuses: Vec<&str> =
        shown.iter().map(|record| record["status"]["status"].as_str().unwrap()).collect();
    statuses.dedup();
    statuses
}

/// What was shown while the status was this.
fn at<'a>(shown: &'a [Value], status: &str) -> &'a Value {
    let found = shown.iter().find(|record| record["status"]["status"] == status);
    found.unwrap_or_else(|| panic!("never {status}: {:?}", statuses(shown)))
}

const NO_ATTEMPTS: [i64; 3] = [0, 0, 0];

/// Attempts to power on, to power off gracefully, and by force.
fn attempts(record: &Value) -> [i64; 3] {
    ["power_on_attempts", "power_off_graceful_attempts", "power_off_forceful_attempts"]
        .map(|stat| record["event_stats"][stat].as_i64().unwrap())
}

/// It is through: nobody acts on it any more, and nothing is wrong with it.
fn assert_through(record: &Value, session: &str) {
    assert_eq!(
        (&record["enabled"], &record["session"], &record["error"]),
        (&json!(false), &json!(session), &json!("")),
        "{record}"
    );
    let status = json!({"phase": "", "status": "stable", "status_override": ""});
    assert_eq!(record["status"], status, "{record}");
    assert_eq!(attempts(record), NO_ATTEMPTS);
}

fn nothing() -> Value {
    json!({"kernel": "", "initrd": "", "kernel_parameters": ""})
}
