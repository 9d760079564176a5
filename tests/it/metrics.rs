//! `/metrics`: what Prometheus is told, and that it is told the truth, once, whatever dies.

use std::{collections::BTreeMap, time::Duration};

use bosun::sim;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    app::fast,
    process::{kill, until, workers},
    server::Server,
};

/// Lines without comments: the name with its labels, and the value.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let url = format!("http://{}/metrics", server.serving.metrics.unwrap());
    let answer = reqwest::get(url).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("x1000c0"), "no label names a node: {text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

async fn measured(settings: sim::Settings) -> Server {
    let server =
        Server::with(settings, |settings| settings.metrics_listen = Some("127.0.0.1:0".parse().unwrap()))
            .await;
    server.ok(Method::PUT, "/v2/sessiontemplates/demo", Some(server.template())).await;
    server
}

async fn begin(server: &Server, name: &str) {
    let request = json!({"name": name, "operation": "reboot", "template": "demo"});
    server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
}

async fn ended(server: &Server, name: &str) {
    let path = format!("/bosun/v1/sessions/{name}");
    let ended = || async {
        let session = server.ok(Method::GET, &path, None).await;
        (session["state"] == "ended").then_some(())
    };
    until("the session to end", ended).await;
}

/// The sum of all lines that begin so and hold these words.
fn sum(lines: &BTreeMap<String, f64>, name: &str, words: &[&str]) -> f64 {
    let all = lines.iter().filter(|(line, _)| {
        line.split('{').next() == Some(name) && words.iter().all(|word| line.contains(word))
    });
    all.map(|(_, value)| value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_in_numbers() {
    let mut settings = fast(8);
    settings.fail_power_off = sim::Pick::Xnames(vec!["x1000c0s0b0n1".to_owned()]);
    let server = measured(settings).await;
    let before = scrape(&server).await;
    assert_eq!(before["bosun_takeovers_total"], 0.0);
    assert_eq!(before["bosun_database_up"], 1.0);
    begin(&server, "first").await;
    ended(&server, "first").await;
    let told = || async {
        let lines = scrape(&server).await;
        // The worker tells what it counted when it goes, a moment after the session has ended.
        (sum(&lines, "bosun_checkpoint_duration_seconds_count", &[]) > 0.0).then_some(lines)
    };
    let lines = until("the worker's counts", told).await;
    let results = "bosun_component_results_total";
    assert_eq!(sum(&lines, results, &["verb=\"power_off\"", "outcome=\"succeeded\""]), 7.0, "{lines:#?}");
    assert_eq!(sum(&lines, results, &["verb=\"await_boot\"", "outcome=\"succeeded\""]), 7.0);
    assert_eq!(
        sum(&lines, results, &["outcome=\"failed\"", "reason=\"power_off_timeout\""]),
        1.0,
        "{lines:#?}"
    );
    assert_eq!(
        sum(&lines, "bosun_sessions_ended_total", &["operation=\"reboot\"", "outcome=\"partial\""]),
        1.0
    );
    assert_eq!(sum(&lines, "bosun_session_duration_seconds_count", &["operation=\"reboot\""]), 1.0);
    let steps = "bosun_step_duration_seconds_bucket";
    assert_eq!(sum(&lines, steps, &["le=\"+Inf\"", "verb=\"power_on\""]), 1.0, "{lines:#?}");
    assert_eq!(sum(&lines, steps, &["le=\"300.0\"", "verb=\"power_on\""]), 1.0, "{lines:#?}");
    assert!(sum(&lines, "bosun_effects_total", &["verb=\"power_on\""]) >= 1.0, "{lines:#?}");
    assert_eq!(lines["bosun_sessions{state=\"running\"}"], 0.0);
    let asked = "bosun_service_request_duration_seconds_count";
    assert!(
        sum(&lines, asked, &["service=\"pcs\"", "method=\"POST\"", "status=\"200\""]) >= 2.0,
        "{lines:#?}"
    );
    assert!(sum(&lines, asked, &["service=\"hsm\""]) >= 1.0);
    assert!(sum(&lines, asked, &["service=\"s3\"", "method=\"GET\"", "status=\"200\""]) >= 1.0, "{lines:#?}");
    // Our own answers, by what was declared: eight nodes reported, and no label names one.
    let answered = "bosun_api_request_duration_seconds_count";
    let reports = ["route=\"/v2/components/{id}\"", "method=\"PATCH\"", "status=\"200\""];
    assert!(sum(&lines, answered, &reports) >= 7.0, "{lines:#?}");
    let created = ["route=\"/bosun/v1/sessions\"", "method=\"POST\"", "status=\"201\""];
    assert_eq!(sum(&lines, answered, &created), 1.0, "{lines:#?}");
    for path in ["/nothing/x1000c0s0b0n0", "/v2/components/nobody"] {
        assert_eq!(reqwest::get(format!("{}{path}", server.url)).await.unwrap().status().as_u16(), 404);
    }
    let missed = || async {
        let lines = scrape(&server).await;
        let of = |route: &str| sum(&lines, answered, &[route, "status=\"404\""]);
        (of("route=\"none\"") == 1.0 && of("route=\"/v2/components/{id}\"") == 1.0).then_some(())
    };
    until("what was not found to be counted", missed).await;
    // Nothing is counted twice, and a retry adds.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let again = scrape(&server).await;
    assert_eq!(sum(&again, results, &[]), sum(&lines, results, &[]));
    server.ok(Method::POST, "/bosun/v1/sessions/first/commands", Some(json!({"kind": "retry"}))).await;
    let retried = || async { (sum(&scrape(&server).await, "bosun_retries_total", &[]) > 0.0).then_some(()) };
    until("the retry to be counted", retried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_a_killed_worker_and_only_grow() {
    let settings = sim::Settings { boot: "2s".parse::<humantime::Duration>().unwrap().into(), ..fast(16) };
    let server = measured(settings).await;
    begin(&server, "first").await;
    let id = server.ok(Method::GET, "/bosun/v1/sessions/first", None).await["id"].to_string();
    let on =
        || async { (sum(&scrape(&server).await, "bosun_effects_total", &["power_on"]) > 0.0).then_some(()) };
    until("the nodes to be powered on", on).await;
    let before = scrape(&server).await;
    for worker in workers(&server.database.url, &id) {
        kill(worker);
    }
    ended(&server, "first").await;
    let after = until("the end to be counted", || async {
        let lines = scrape(&server).await;
        (sum(&lines, "bosun_sessions_ended_total", &[]) > 0.0).then_some(lines)
    })
    .await;
    assert_eq!(after["bosun_takeovers_total"], 1.0);
    assert_eq!(
        sum(&after, "bosun_component_results_total", &["verb=\"await_boot\"", "outcome=\"succeeded\""]),
        16.0
    );
    for (name, value) in before.iter().filter(|(name, _)| name.contains("_total") || name.contains("_count"))
    {
        assert!(after[name] >= *value, "{name} went from {value} to {}", after[name]);
    }
    assert_eq!(sum(&after, "bosun_service_request_duration_seconds_count", &["le="]), 0.0);
}
