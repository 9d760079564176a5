//! BOS's API on a machine of 6,000 components: how long its clients wait.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    bar::Bar,
    chain,
    house::{House, Setting, TEMPLATE},
    idle::{self, Idle},
    session::SESSION_TIMEOUT,
    times::{Times, ms_since},
};

const COMPONENTS: usize = 6_000;
/// Nodes that report at once, each again as soon as it has its answer.
const REPORTERS: usize = 64;
/// How often everything is listed.
const LISTS: usize = 10;
/// Between two looks of somebody who watches a session.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// A machine that is soon through: only what bosun does is looked at.
const FAST: &[(&str, &str)] =
    &[("--soft-off", "2s"), ("--power-on", "1s"), ("--boot", "6s"), ("--configure", "2s")];

/// Everything about the API.
#[derive(Debug, Serialize)]
pub struct Api {
    pub components: usize,
    pub idle: Idle,
    /// `GET /v2/components`, all of them, read to the end.
    pub list: Times,
    pub list_bytes: usize,
    /// `PATCH /v2/components/{id}` of 64 reporters at once.
    pub report: Times,
    pub reports_per_second: f64,
    /// `POST /v2/sessions`, for all components.
    pub post_session_ms: f64,
    /// From there until it was admitted.
    pub admitted_ms: f64,
    /// `GET /v2/sessions/{name}/status` while it ran.
    pub status: Times,
    /// From the report a session waits for until the intent of its next call is durable.
    pub report_to_action: Times,
}

/// Measures everything.
pub async fn measure() -> Api {
    let setting = Setting { components: COMPONENTS, times: FAST, ..Setting::default() };
    let mut house = House::start(&setting).await;
    eprintln!("API: a minute of rest");
    let idle = idle::measure(&house).await;
    eprintln!("API: lists and reports");
    let (list, list_bytes) = list(&house).await;
    let (report, reports_per_second) = report(&house).await;
    eprintln!("API: a session");
    let (post_session_ms, status) = watched(&house).await;
    let admitted: f64 = sqlx::query_scalar(
        "select extract(epoch from admitted_at - created_at)::float8 from session where name = 'watched'",
    )
    .fetch_one(&house.pool)
    .await
    .unwrap();
    eprintln!("API: a chain of boot sets");
    let report_to_action = chain::measure(&house).await;
    house.end_dev().await;
    house.end().await;
    Api {
        components: COMPONENTS,
        idle,
        list,
        list_bytes,
        report,
        reports_per_second,
        post_session_ms,
        admitted_ms: admitted * 1_000.0,
        status,
        report_to_action,
    }
}

async fn list(house: &House) -> (Times, usize) {
    let url = format!("{}/v2/components", house.bosun_url);
    let mut times = Vec::with_capacity(LISTS);
    let mut bytes = 0;
    for _ in 0..LISTS {
        let begun = Instant::now();
        let answer = house.http.get(&url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        bytes = answer.bytes().await.unwrap().len();
        times.push(ms_since(begun));
    }
    (Times::of(times), bytes)
}

/// Every component reports once, 64 at a time.
async fn report(house: &House) -> (Times, f64) {
    let xnames: Vec<String> = sqlx::query_scalar("select xname from component order by component_id")
        .fetch_all(&house.pool)
        .await
        .unwrap();
    let xnames = Arc::new(xnames);
    let begun = Instant::now();
    let reporters: Vec<_> = (0..REPORTERS)
        .map(|nth| {
            let (xnames, http, root) = (xnames.clone(), house.http.clone(), house.bosun_url.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                for xname in xnames.iter().skip(nth).step_by(REPORTERS) {
                    let begun = Instant::now();
                    let body = json!({"id": xname, "actual_state": {"bss_token": format!("bench-{nth}")}});
                    let url = format!("{root}/v2/components/{xname}");
                    let answer = http.patch(url).json(&body).send().await.unwrap();
                    assert!(answer.status().is_success(), "{xname}: {}", answer.status());
                    let _: Value = answer.json().await.unwrap();
                    times.push(ms_since(begun));
                }
                times
            })
        })
        .collect();
    let mut times = Vec::with_capacity(xnames.len());
    for reporter in reporters {
        times.extend(reporter.await.unwrap());
    }
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    (Times::of(times), per_second)
}

/// A reboot of everything, created and watched through `/v2`.
async fn watched(house: &House) -> (f64, Times) {
    let request = json!({"name": "watched", "operation": "reboot", "template_name": TEMPLATE});
    let root = format!("{}/v2/sessions", house.bosun_url);
    let begun = Instant::now();
    let answer = house.http.post(&root).json(&request).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let post_ms = ms_since(begun);
    let url = format!("{root}/watched/status");
    let mut times = Vec::new();
    loop {
        assert!(begun.elapsed() < SESSION_TIMEOUT, "the session ends");
        let asked = Instant::now();
        let answer = house.http.get(&url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let status: Value = answer.json().await.unwrap();
        times.push(ms_since(asked));
        if status["status"] == "complete" {
            assert_eq!(status["percent_failed"], 0.0, "{status}");
            return (post_ms, Times::of(times));
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

impl Api {
    /// The bars that are set for it.
    pub fn bars(&self) -> Vec<Bar> {
        let of = "API, 6000";
        vec![
            Bar::new(of, "idle for a minute: serve and Postgres, of one core", self.idle.percent, 0.5, "%"),
            Bar::new(of, "GET /v2/components, p50", self.list.p50_ms, 150.0, "ms"),
            Bar::told(of, "PATCH of 64 reporters at once, p50", self.report.p50_ms, "ms"),
            Bar::told(of, "PATCH of 64 reporters at once, p99", self.report.p99_ms, "ms"),
            Bar::told(of, "reports per second", self.reports_per_second, ""),
            Bar::told(of, "POST /v2/sessions", self.post_session_ms, "ms"),
            Bar::told(of, "from there until it was admitted", self.admitted_ms, "ms"),
            Bar::told(of, "GET session status while it runs, p50", self.status.p50_ms, "ms"),
            Bar::new(of, "GET session status while it runs, p99", self.status.p99_ms, 200.0, "ms"),
            Bar::new(of, "from a report to the next action, p50", self.report_to_action.p50_ms, 100.0, "ms"),
            Bar::new(
                of,
                "from a report to the next action, slowest",
                self.report_to_action.max_ms,
                100.0,
                "ms",
            ),
        ]
    }
}
