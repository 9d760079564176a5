//! What one refused, one failed and one lost call cost a session; and a death that nobody saw.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    bar::Bar,
    house::{House, Setting, kill},
    path, process,
    session::ended,
};

const COMPONENTS: usize = 200;
/// A machine that is soon through, but not sooner than a lost call can no longer act (15 s): until then no component is
/// let go that it covers, whatever has become of it since. No real node boots that fast.
const FAST: &[(&str, &str)] =
    &[("--soft-off", "2s"), ("--power-on", "1s"), ("--boot", "16s"), ("--configure", "2s")];
/// How long a lease lives without a heartbeat, here: the bar for a death that nobody saw is as much and a second.
const LEASE_TIME: Duration = Duration::from_secs(6);
/// How often a session without any fault is run, to compare with.
const PLAIN_SESSIONS: usize = 2;
/// How long anything of one session may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// One misbehaviour of one service, once.
struct Case {
    name: &'static str,
    service: &'static str,
    method: &'static str,
    path: &'static str,
    kind: &'static str,
    status: u16,
    /// Seconds in `Retry-After`.
    retry_after: Option<u32>,
}

const fn status(
    name: &'static str,
    request: [&'static str; 3],
    status: u16,
    retry_after: Option<u32>,
) -> Case {
    let [service, method, path] = request;
    Case { name, service, method, path, kind: "status", status, retry_after }
}

const fn lost(name: &'static str, request: [&'static str; 3]) -> Case {
    let [service, method, path] = request;
    Case { name, service, method, path, kind: "lost", status: 503, retry_after: None }
}

const POWER: [&str; 3] = ["pcs", "POST", "/transitions"];
const PARAMETERS: [&str; 3] = ["bss", "PUT", "/bootparameters"];
const STAGING: [&str; 3] = ["cfs", "PATCH", "/components"];

const CASES: [Case; 8] = [
    status("503 to power-off", POWER, 503, None),
    status("429 to boot parameters, Retry-After 2 s", PARAMETERS, 429, Some(2)),
    status("503 to the staging of configurations", STAGING, 503, None),
    status("503 to a look at a transition", ["pcs", "GET", "/transitions"], 503, None),
    status("503 to a look at configurations", ["cfs", "GET", "/components"], 503, None),
    lost("a lost answer to power-off", POWER),
    lost("a lost answer to boot parameters", PARAMETERS),
    lost("a lost answer to the staging of configurations", STAGING),
];

/// What a misbehaviour cost.
#[derive(Debug, Serialize)]
pub struct Cost {
    pub what: &'static str,
    /// Overhead of its session, in seconds.
    pub overhead: f64,
    /// What of it is more than a session has without any, and more than the service asked for.
    pub cost: f64,
}

/// Everything about faults.
#[derive(Debug, Serialize)]
pub struct Faults {
    pub components: usize,
    /// Overhead of sessions without any, in seconds.
    pub plain_overhead: f64,
    pub costs: Vec<Cost>,
    pub lease_seconds: f64,
    /// From the death of server and worker until the next worker had written an intent; the server was started again
    /// at once.
    pub unseen_death_to_intent: f64,
}

/// Measures everything.
pub async fn measure() -> Faults {
    let setting = Setting { components: COMPONENTS, times: FAST, lease_time: LEASE_TIME };
    let mut house = House::start(&setting).await;
    eprintln!("faults: none");
    let mut plain = 0.0;
    for _ in 0..PLAIN_SESSIONS {
        plain += overhead(&house).await / PLAIN_SESSIONS as f64;
    }
    let mut costs = Vec::with_capacity(CASES.len());
    for case in &CASES {
        eprintln!("faults: {}", case.name);
        house.sim_post("faults", rule(case)).await;
        let overhead = overhead(&house).await;
        let rules = house.sim("faults").await;
        assert_eq!(rules[0]["hits"], 1, "{}: the fault was met: {rules}", case.name);
        house.forget_faults().await;
        let asked = f64::from(case.retry_after.unwrap_or_default());
        costs.push(Cost { what: case.name, overhead, cost: overhead - plain - asked });
    }
    eprintln!("faults: a death that nobody sees");
    let unseen_death_to_intent = unseen(&mut house).await;
    house.end_dev().await;
    house.end().await;
    Faults {
        components: COMPONENTS,
        plain_overhead: plain,
        costs,
        lease_seconds: LEASE_TIME.as_secs_f64(),
        unseen_death_to_intent,
    }
}

fn rule(case: &Case) -> Value {
    let Case { service, method, path, kind, status, retry_after, .. } = case;
    json!({
        "service": service, "method": method, "path_contains": path, "kind": kind, "status": status,
        "retry_after": retry_after, "times": 1,
    })
}

/// The overhead of one reboot.
async fn overhead(house: &House) -> f64 {
    let name = house.fresh_name();
    house.create(&name, crate::house::TEMPLATE).await;
    let outcome = ended(house, &name).await;
    assert_eq!(outcome, "succeeded", "{name}");
    path::of(house, &name).await.overhead
}

/// The whole machine that server and worker run on dies; the server is started again elsewhere.
async fn unseen(house: &mut House) -> f64 {
    let name = house.fresh_name();
    house.create(&name, crate::house::TEMPLATE).await;
    // The nodes are still going off, and are off when the lease has run out: the next intent waits for nothing else.
    house.until(WAIT_TIMEOUT, async || going_off(house, &name).await).await;
    let server = house.server();
    let worker = *process::workers(server).first().expect("a worker drives the session");
    // Stopped first, or it would end properly when the server is gone.
    kill(worker, Signal::STOP);
    let died = Utc::now();
    house.kill_dev().await;
    kill(worker, Signal::KILL);
    house.start_dev().await;
    let mut acted = None;
    house
        .until(WAIT_TIMEOUT, async || {
            acted = intended(house, &name).await;
            acted.is_some()
        })
        .await;
    (acted.unwrap() - died).as_seconds_f64()
}

/// PCS has taken the order to power off.
async fn going_off(house: &House, session: &str) -> bool {
    sqlx::query_scalar(
        "select exists (select from effects
                         where session = $1 and verb = 'power_off' and remote_ref is not null)",
    )
    .bind(session)
    .fetch_one(&house.pool)
    .await
    .unwrap()
}

/// The second worker's first intent.
async fn intended(house: &House, session: &str) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("select min(intended_at) from effects where session = $1 and epoch > 1")
        .bind(session)
        .fetch_one(&house.pool)
        .await
        .unwrap()
}

impl Faults {
    /// The bars that are set for it.
    pub fn bars(&self) -> Vec<Bar> {
        let of = "faults, 200";
        let costs = self.costs.iter().map(|cost| Bar::new(of, cost.what, cost.cost, 3.0, "s"));
        let unseen = Bar::new(
            of,
            "an unseen death, to the first intent (lease time and 1 s)",
            self.unseen_death_to_intent,
            self.lease_seconds + 1.0,
            "s",
        );
        costs.chain([unseen]).collect()
    }
}
