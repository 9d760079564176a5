//! Services that fail: once, and the session ends as if nothing had been; for ever, and what needs them leaves under the
//! right name. Never is a node's deadline blamed for a service, nor a node power-cycled twice.

use std::{collections::BTreeSet, time::Duration};

use bosun::{
    db,
    engine::Exit,
    model::{
        options::Options,
        session::{Outcome, SessionId},
    },
    sim::{self, FaultKind, Rule, Service},
};
use chrono::Utc;

use crate::support::{
    app::{App, Wish},
    eventually,
    invariants::{self, edges},
    lane::{self, Verdict},
};

const NODES: usize = 24;
/// No run takes longer, however slow the machine that tests.
const RUN_MAX: Duration = Duration::from_secs(60);

/// Operations one after the other, and what the power of every node does in each.
type Operations = &'static [(&'static str, &'static [&'static str])];
const REBOOT: Operations = &[("reboot", &["off", "on"])];
/// These look at the power first; a reboot need not.
const DOWN_AND_UP: Operations = &[("shutdown", &["off"]), ("boot", &["on"])];

/// Requests of one kind, and operations that make them.
#[derive(Debug, Clone, Copy)]
struct Request {
    service: Service,
    method: &'static str,
    path: &'static str,
    writes: bool,
    operations: Operations,
}

const fn read(service: Service, method: &'static str, path: &'static str) -> Request {
    Request { service, method, path, writes: false, operations: REBOOT }
}

const fn write(service: Service, method: &'static str, path: &'static str) -> Request {
    Request { service, method, path, writes: true, operations: REBOOT }
}

const REQUESTS: [Request; 8] = [
    Request { operations: DOWN_AND_UP, ..read(Service::Pcs, "POST", "/power-status") },
    write(Service::Ims, "PATCH", "/v3/images"),
    write(Service::Pcs, "POST", "/transitions"),
    read(Service::Pcs, "GET", "/transitions"),
    write(Service::Bss, "PUT", "/bootparameters"),
    write(Service::Cfs, "PATCH", "/components"),
    read(Service::Cfs, "GET", "/components"),
    read(Service::Hsm, "POST", "/State/Components"),
];

/// What goes wrong with one request, or with all of a kind.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    RetryAfter,
    TooMany,
    Internal,
    BadGateway,
    Reset,
    Lost,
    /// Nothing happens, and no answer comes for longer than a call may take.
    Timeout,
    /// It happens, and no answer comes for longer than a call may take.
    Never,
}

impl Request {
    fn rule(self, trouble: Trouble, times: Option<u64>) -> Rule {
        let (kind, status) = match trouble {
            Trouble::RetryAfter => (FaultKind::Status, 503),
            Trouble::TooMany => (FaultKind::Status, 429),
            Trouble::Internal => (FaultKind::Status, 500),
            Trouble::BadGateway => (FaultKind::Status, 502),
            Trouble::Reset => (FaultKind::Reset, 0),
            Trouble::Lost => (FaultKind::Lost, 0),
            Trouble::Timeout => (FaultKind::Timeout, 0),
            Trouble::Never => (FaultKind::Never, 0),
        };
        Rule {
            status,
            retry_after: matches!(trouble, Trouble::RetryAfter).then_some(1),
            delay_ms: Some(4_000),
            times,
            ..Rule::new(self.service, self.method, self.path, kind)
        }
    }
}

fn machine() -> sim::Settings {
    // Long enough that HSM is asked whether nodes are ready.
    sim::Settings { boot: Duration::from_millis(2_300), ..lane::settings(NODES) }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_may_fail_once() {
    use Trouble::*;
    let quick = REQUESTS.into_iter().flat_map(|request| {
        [RetryAfter, TooMany, Internal, BadGateway, Reset, Lost].map(|trouble| (request, trouble))
    });
    // These take their time, so only where the difference matters: a write that may have been taken.
    let slow = REQUESTS.into_iter().filter(|request| request.writes);
    let slow = slow.flat_map(|request| [Timeout, Never].map(|trouble| (request, trouble)));
    let unhit = lane::run_all(&machine(), slow.chain(quick), fails_once).await;
    assert!(unhit.is_empty(), "nobody makes these requests any more: {unhit:?}");
}

async fn fails_once(app: &App, (request, trouble): (Request, Trouble), name: &str) -> Verdict {
    let mut verdict = Verdict { hit: true, violations: Vec::new() };
    for (operation, edges) in request.operations {
        app.machine.set_fault(request.rule(trouble, Some(1)));
        let since = Utc::now();
        let session = app.admit(operation, &format!("{name}-{operation}")).await;
        verdict.violations.extend(drive(app, session).await);
        verdict.hit &= hits(app).await > 0;
        app.machine.clear_faults();
        verdict.violations.extend(ends_well(app, session, edges, since).await);
    }
    verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stays_away_gives_its_name_to_the_failure() {
    let away = REQUESTS.into_iter().flat_map(|request| {
        [Trouble::RetryAfter, Trouble::Internal, Trouble::Reset].map(|trouble| (request, trouble))
    });
    let unhit = lane::run_all(&machine(), away, stays_away).await;
    assert!(unhit.is_empty(), "nobody makes these requests any more: {unhit:?}");
}

async fn stays_away(app: &App, (request, trouble): (Request, Trouble), name: &str) -> Verdict {
    let mut verdict = Verdict { hit: true, violations: Vec::new() };
    for (operation, expected) in request.operations {
        app.machine.set_fault(request.rule(trouble, None));
        let since = Utc::now();
        // Deadlines shorter than the patience: if one fell while the service is down, it would fall first.
        let wish = Wish { service_patience: Duration::from_secs(4), options: strict(3), ..Wish::default() };
        let session = app.admit_as(operation, &format!("{name}-{operation}"), &wish).await;
        verdict.violations.extend(drive(app, session).await);
        verdict.hit &= hits(app).await > 0;
        app.machine.clear_faults();
        let row = app.session(session).await;
        let reasons = reasons(app, session).await;
        let failed = row.failed == NODES as i32 && reasons.iter().eq(["service_unavailable"]);
        // A node's own report tells as well that it is up, and PCS' table of power that a transition has worked.
        let dispensable =
            matches!((request.service, request.method), (Service::Hsm, _) | (Service::Pcs, "GET"));
        let as_it_should = failed || dispensable && row.succeeded == NODES as i32;
        if !as_it_should {
            verdict.violations.push(format!(
                "{operation} ended as {:?}: {} through, {} failed: {reasons:?}",
                row.outcome, row.succeeded, row.failed
            ));
        }
        for (xname, edges) in edges(app, since) {
            if !expected.starts_with(&edges) {
                verdict.violations.push(format!("the power of {xname} went {edges:?}"));
            }
        }
        verdict.violations.extend(invariants::violations(app, session, since).await);
    }
    // The nodes may have been left off, the rightful end of such a session; the next run begins with all of them on.
    app.machine.clear_faults();
    let session = app.admit("boot", &format!("{name}-after")).await;
    verdict.violations.extend(drive(app, session).await);
    verdict
}

/// A service comes back after every deadline has passed: nobody failed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn no_deadline_falls_while_a_service_is_down() {
    let unhit = lane::run_all(&machine(), REQUESTS, comes_back).await;
    assert!(unhit.is_empty(), "nobody makes these requests any more: {unhit:?}");
}

async fn comes_back(app: &App, request: Request, name: &str) -> Verdict {
    let mut verdict = Verdict { hit: true, violations: Vec::new() };
    for (operation, edges) in request.operations {
        app.machine.set_fault(request.rule(Trouble::RetryAfter, None));
        let since = Utc::now();
        let wish = Wish { options: strict(3), ..Wish::default() };
        let session = app.admit_as(operation, &format!("{name}-{operation}"), &wish).await;
        let outage = async {
            let needed = async || {
                let over = app.session(session).await.ended_at.is_some();
                (over || hits(app).await > 0).then_some(!over)
            };
            let hit = eventually("the service is needed", RUN_MAX, needed).await;
            // Longer than any deadline: what is tested is that this time does not count.
            tokio::time::sleep(Duration::from_secs(5)).await;
            app.machine.clear_faults();
            hit
        };
        let (violations, hit) = tokio::join!(drive(app, session), outage);
        verdict.hit &= hit;
        verdict.violations.extend(violations);
        verdict.violations.extend(ends_well(app, session, edges, since).await);
    }
    verdict
}

/// What is not as if nothing had failed.
async fn ends_well(
    app: &App,
    session: SessionId,
    expected: &[&str],
    since: chrono::DateTime<Utc>,
) -> Vec<String> {
    let mut violations = invariants::violations(app, session, since).await;
    let row = app.session(session).await;
    let counts = (row.outcome, row.succeeded, row.failed, row.skipped);
    if counts != (Some(Outcome::Succeeded), NODES as i32, 0, 0) {
        violations.push(format!("it ended as {counts:?}: {:?}", reasons(app, session).await));
    }
    for (xname, edges) in edges(app, since) {
        if edges != expected {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    violations
}

/// BOS's options with short times, in whole seconds as they are.
fn strict(seconds: u32) -> Options {
    Options {
        max_boot_wait_time: seconds,
        max_power_off_wait_time: seconds,
        max_power_on_wait_time: seconds,
        ..Options::default()
    }
}

async fn drive(app: &App, session: SessionId) -> Vec<String> {
    match tokio::time::timeout(RUN_MAX, app.drive(session, "only")).await {
        Ok(Ok(Exit::Done)) => Vec::new(),
        other => vec![format!("the worker ended as {other:?}")],
    }
}

/// How often the fault was met.
async fn hits(app: &App) -> u64 {
    let url = format!("{}/sim/faults", app.machine.url());
    let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let rules: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    rules[0]["hits"].as_u64().unwrap()
}

async fn reasons(app: &App, session: SessionId) -> BTreeSet<String> {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let failures = db::result::failures(&mut connection, &session, 1).await.unwrap();
    failures.into_iter().map(|failure| failure.reason).collect()
}
