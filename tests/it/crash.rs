//! Crash at every write boundary: a worker dies before and after every call to its store, and at every call to a service,
//! and another one goes on. Whatever the moment: nothing is lost, no node is power-cycled twice, and the history is
//! as if nobody had died.
//!
//! No point is left out. How many there are depends a little on timing (reports that come together are read together), so a
//! dry run counts them first, and runs whose point never came are ordinary sessions; some must be hit for the test to count.

mod command;
mod hand_over;
mod operator;
mod process;
mod readmission;
mod site;
mod tampered;
mod waves;

use std::time::Duration;

use bosun::{
    engine::{EngineSettings, Exit},
    model::session::{Outcome, SessionId},
    sim::{self, FaultKind, Rule, Service},
};
use chrono::Utc;

use crate::support::{
    app::{App, Wish, Worker},
    eventually, invariants,
    lane::{self, Verdict},
    proxy::{Cut, Proxy},
};

const NODES: usize = 40;
/// No run takes longer, however slow the machine that tests.
const RUN_MAX: Duration = Duration::from_secs(90);
/// Calls beyond those of the dry run that are tried as well.
const SPREAD: u64 = 6;
/// Of all runs at least this share must have been hit, in percent. The rest lie behind the end: on a busy machine reports
/// come one by one, and a dry run there makes more calls than the runs after it.
const HIT_MIN: usize = 60;

/// Where a worker dies, or a service fails it.
#[derive(Debug, Clone, Copy)]
enum Point {
    Store(Cut),
    Service {
        /// Counted from 0 over all services.
        nth: u64,
        kind: FaultKind,
        /// Or goes on.
        dies: bool,
    },
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_call_to_its_store() {
    let machine = lane::settings(NODES);
    let (calls, _) = dry_run(&machine).await;
    assert!(calls > 20, "the proxy saw only {calls} calls");
    let points = (1..=calls + SPREAD).flat_map(|n| [Cut::Before(n), Cut::After(n)]).map(Point::Store);
    let unhit = lane::run_all(&machine, points, survive).await;
    assert_hit(2 * (calls + SPREAD), &unhit);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_to_a_service_may_be_lost() {
    // Long enough that HSM is asked whether nodes are ready, and CFS more than once whether they are configured.
    let slow = Duration::from_millis(2_500);
    let machine = sim::Settings { boot: slow, configure: slow, ..lane::settings(NODES) };
    let (_, calls) = dry_run(&machine).await;
    assert!(calls > 10, "the simulator saw only {calls} calls");
    let points = (0..calls).flat_map(|nth| {
        let dies = nth % 2 == 0;
        [(FaultKind::Reset, dies), (FaultKind::Lost, !dies)].map(|(kind, dies)| Point::Service {
            nth,
            kind,
            dies,
        })
    });
    let unhit = lane::run_all(&machine, points, survive).await;
    assert_hit(2 * calls, &unhit);
}

fn assert_hit(points: u64, unhit: &[Point]) {
    assert_most_were_hit(points as usize, unhit);
}

fn assert_most_were_hit<P: std::fmt::Debug>(points: usize, unhit: &[P]) {
    let hit = points - unhit.len();
    println!("{hit} of {points} points were hit");
    assert!(hit * 100 >= points * HIT_MIN, "only {hit} of {points} points were hit; not: {unhit:?}");
}

/// Calls to the store and to services of a session that nothing disturbs.
async fn dry_run(machine: &sim::Settings) -> (u64, u64) {
    dry_run_as(machine, &Wish::default()).await
}

async fn dry_run_as(machine: &sim::Settings, wish: &Wish) -> (u64, u64) {
    let app = lane::app(machine).await;
    let since = Utc::now();
    let session = app.admit_as("reboot", "dry-run", wish).await;
    let proxy = proxy(&app, session, None);
    let mut worker = app.spawn_worker(through(&app, &proxy), session);
    assert_eq!(worker.ended().await.unwrap(), Exit::Done);
    let requests = app.machine.counters().values().flat_map(|routes| routes.values()).sum();
    let violations = judge(&app, session, since).await;
    assert!(violations.is_empty(), "undisturbed: {}", violations.join("\n"));
    (proxy.calls(), requests)
}

/// A session whose first worker is struck, and what did not hold in the end.
async fn survive(app: &App, point: Point, name: &str) -> Verdict {
    survive_as(app, point, name, &Wish::default()).await
}

async fn survive_as(app: &App, point: Point, name: &str, wish: &Wish) -> Verdict {
    let since = Utc::now();
    let session = app.admit_as("reboot", name, wish).await;
    let proxy = proxy(app, session, if let Point::Store(cut) = point { Some(cut) } else { None });
    if let Point::Service { nth, kind, .. } = point {
        app.machine.set_fault(strike(nth, kind));
    }
    let mut worker = app.spawn_worker(through(app, &proxy), session);
    let struck = async {
        match point {
            Point::Store(_) => proxy.cut().await,
            Point::Service { dies: true, .. } => unanswered(app).await,
            Point::Service { dies: false, .. } => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        () = struck => None,
        ended = worker.ended() => Some(ended),
        () = tokio::time::sleep(RUN_MAX) => panic!("{point:?}: the first worker went on for ever"),
    };
    let mut violations = Vec::new();
    let hit = match (point, ended) {
        (_, None) => {
            worker.kill().await;
            true
        }
        // It saw its connection go before we saw the cut.
        (Point::Store(_), Some(Err(_))) if proxy.is_cut() => true,
        (Point::Store(_), Some(Ok(Exit::Done))) => false,
        (Point::Service { .. }, Some(Ok(Exit::Done))) => {
            app.machine.requests().iter().any(|request| request.status == 0)
        }
        (_, Some(other)) => {
            violations.push(format!("the first worker ended as {other:?}"));
            true
        }
    };
    drop(proxy);
    app.machine.clear_faults();
    app.saw_death(session, "first").await;
    match tokio::time::timeout(RUN_MAX, app.drive(session, "second")).await {
        Ok(Ok(Exit::Done)) => {}
        other => violations.push(format!("the second worker ended as {other:?}")),
    }
    violations.extend(judge(app, session, since).await);
    Verdict { hit, violations }
}

/// Returns once a request was left without an answer.
async fn unanswered(app: &App) {
    let seen = async || app.machine.requests().iter().any(|request| request.status == 0).then_some(());
    eventually("a request without an answer", RUN_MAX, seen).await;
}

fn strike(nth: u64, kind: FaultKind) -> Rule {
    Rule { service: None, method: None, skip: nth, times: Some(1), ..Rule::new(Service::Sim, "", "", kind) }
}

fn proxy(app: &App, session: SessionId, cut: Option<Cut>) -> Proxy {
    let server = app.database.socket_directory();
    let database = app.database.url.split(['/', '?']).find(|part| part.starts_with("test_")).unwrap();
    let directory = server.join(format!("proxy-{database}-{session}"));
    Proxy::start(directory, server.join(crate::support::proxy::SOCKET), cut)
}

fn through(app: &App, proxy: &Proxy) -> EngineSettings {
    EngineSettings { database_url: app.database.url_by(proxy.directory()), ..app.engine_settings("first") }
}

/// A worker that may be struck at a call to its store; then another one goes on. Whether it was struck, and what did not
/// hold.
async fn outlive(app: &App, session: SessionId, proxy: &Proxy, mut worker: Worker) -> Verdict {
    let ended = tokio::select! {
        biased;
        () = proxy.cut() => None,
        ended = worker.ended() => Some(ended),
        () = tokio::time::sleep(RUN_MAX) => panic!("the first worker went on for ever"),
    };
    match ended {
        None => worker.kill().await,
        Some(Err(_)) if proxy.is_cut() => {}
        Some(Ok(Exit::Done)) => return Verdict::default(),
        Some(other) => {
            return Verdict { hit: true, violations: vec![format!("the first worker ended as {other:?}")] };
        }
    }
    app.saw_death(session, "first").await;
    let violations = match tokio::time::timeout(RUN_MAX, app.drive(session, "second")).await {
        Ok(Ok(Exit::Done)) => Vec::new(),
        other => vec![format!("the second worker ended as {other:?}")],
    };
    Verdict { hit: true, violations }
}

/// What does not hold at the end of a reboot of everybody that at most one worker died of.
async fn judge(app: &App, session: SessionId, since: chrono::DateTime<Utc>) -> Vec<String> {
    let mut violations = invariants::violations(app, session, since).await;
    let row = app.session(session).await;
    let counts = (row.succeeded, row.failed, row.skipped);
    if row.outcome != Some(Outcome::Succeeded) || counts != (NODES as i32, 0, 0) {
        violations.push(format!("it is {:?}, {:?}, {counts:?}", row.state, row.outcome));
    }
    for (xname, edges) in invariants::edges(app, since) {
        if edges != ["off", "on"] {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    let mut connection = bosun::db::acquire(&app.database.pool).await.unwrap();
    let lease = bosun::db::lease::get(&mut connection, &session).await.unwrap().unwrap();
    if lease.takeovers > 1 || lease.epoch > 2 {
        violations.push(format!("one death cost {} take-overs and {} epochs", lease.takeovers, lease.epoch));
    }
    violations
}
