//! BOS's contract, section by section of `reference/bos-api.md`, over HTTP against a served bosun.

mod clients;
mod component;
mod concurrent;
mod implicit;
mod malformed;
mod options;
mod outage;
mod seen;
mod session;
mod session_template;
mod staged;
mod tenant;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::support::server::Server;

/// Asks, and is refused with this status and BOS's body; what it says.
async fn refused(server: &Server, method: Method, path: &str, body: Option<Value>, status: u16) -> String {
    let (answered, problem) = server.ask(method.clone(), path, body.clone()).await;
    assert_eq!(answered.as_u16(), status, "{method} {path} {body:?}: {problem}");
    let keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["detail", "status", "title", "type"], "{method} {path}: {problem}");
    assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
    problem["detail"].as_str().unwrap().to_owned()
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

/// BOS's times: whole seconds, no zone.
fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.len() == 19 && chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").is_ok()
    })
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}
