//! Operators' commands and deaths: a worker dies before and after every call to its store from the moment something was
//! asked of its session. Whoever goes on obeys once, and to the same end.

use std::time::Duration;

use bosun::{
    db,
    engine::Exit,
    model::{
        command::{CommandKind, CommandRequest},
        session::{Outcome, SessionId, SessionState},
    },
    sim,
};
use chrono::Utc;

use super::{NODES, RUN_MAX, assert_most_were_hit, outlive, proxy, through};
use crate::support::{
    app::App,
    eventually, invariants,
    lane::{self, Verdict},
    proxy::Cut,
};

/// Calls that are tried at most: later ones are those of any session.
const CALLS_MAX: u64 = 14;

/// What is asked while nodes go off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// And to go on, when it has come to rest.
    Pause,
    Cancel,
    CancelAtOnce,
    /// To wait longer than anybody will: what is set has no say in how it ends.
    Set,
}

/// What is asked, and at which call after that its worker dies.
#[derive(Debug, Clone, Copy)]
struct Point {
    asked: Asked,
    cut: Option<Cut>,
}

fn machine() -> sim::Settings {
    // Off takes long enough for a command to come in the middle of it.
    sim::Settings { soft_off: Duration::from_millis(300), ..lane::settings(NODES) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_while_its_session_is_paused() {
    survive_all(Asked::Pause).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_while_its_session_is_cancelled() {
    survive_all(Asked::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_while_its_session_is_cancelled_at_once() {
    survive_all(Asked::CancelAtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_while_its_session_is_changed() {
    survive_all(Asked::Set).await;
}

async fn survive_all(asked: Asked) {
    let app = lane::app(&machine()).await;
    let (verdict, calls) = run(&app, Point { asked, cut: None }, "dry-run").await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    assert!(calls > 1, "the proxy saw only {calls} calls");
    let calls = calls.min(CALLS_MAX);
    let cuts = (1..=calls).flat_map(|n| [Cut::Before(n), Cut::After(n)]);
    let points = cuts.map(|cut| Point { asked, cut: Some(cut) });
    let unhit =
        lane::run_all(&machine(), points, async |app: &App, point, name: &str| run(app, point, name).await.0)
            .await;
    assert_most_were_hit(2 * calls as usize, &unhit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_while_somebody_is_retried() {
    let app = lane::app(&machine()).await;
    let (verdict, calls) = retry(&app, None, "dry-run").await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    let calls = calls.min(CALLS_MAX);
    let cuts = (1..=calls).flat_map(|n| [Cut::Before(n), Cut::After(n)]);
    let unhit = lane::run_all(&machine(), cuts, async |app: &App, cut, name: &str| {
        retry(app, Some(cut), name).await.0
    })
    .await;
    assert_most_were_hit(2 * calls as usize, &unhit);
}

/// One fails at its configuration and is sent back to be power-cycled; the worker of that dies.
async fn retry(app: &App, cut: Option<Cut>, name: &str) -> (Verdict, u64) {
    let since = Utc::now();
    let fails = app.machine.xnames().remove(0);
    change(app, &fails, serde_json::json!({"faults": ["fail_configuration"]})).await;
    let session = app.admit("reboot", name).await;
    let first = tokio::time::timeout(RUN_MAX, app.drive(session, "before")).await;
    assert!(matches!(first, Ok(Ok(Exit::Done))), "{first:?}");
    change(app, &fails, serde_json::json!({"faults": []})).await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let failed = db::result::failed(&mut connection, &session).await.unwrap();
    drop(connection);
    let failed: Vec<i32> = failed.into_iter().map(|failed| failed.component).collect();
    let request = CommandRequest {
        step: Some("power_off".to_owned()),
        components: failed.clone(),
        ..CommandRequest::plain(CommandKind::Retry)
    };
    let pool = &app.database.pool;
    db::admission::readmit_failed(pool, session, failed, request, "somebody".to_owned(), None).await.unwrap();
    let proxy = proxy(app, session, cut);
    let worker = app.spawn_worker(through(app, &proxy), session);
    let mut verdict = outlive(app, session, &proxy, worker).await;
    verdict.violations.extend(judge_retry(app, session, since, &[fails]).await);
    (verdict, proxy.calls())
}

/// What does not hold of a session whose failed components were sent back, and then succeeded as all others.
pub(super) async fn judge_retry(
    app: &App,
    session: SessionId,
    since: chrono::DateTime<Utc>,
    failed: &[String],
) -> Vec<String> {
    let mut violations = invariants::violations(app, session, since).await;
    let row = app.session(session).await;
    if row.outcome != Some(Outcome::Succeeded) || row.succeeded != app.settings.nodes as i32 {
        violations.push(format!("it is {:?}, {:?}, {} succeeded", row.state, row.outcome, row.succeeded));
    }
    for (xname, edges) in invariants::edges(app, since) {
        let cycles = if failed.contains(&xname) { 2 } else { 1 };
        if edges != ["off", "on"].repeat(cycles) {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    violations
}

/// Changes a node by hand.
pub(super) async fn change(app: &App, xname: &str, change: serde_json::Value) {
    let url = format!("{}/sim/nodes/{xname}", app.machine.url());
    let answer = reqwest::Client::new().post(url).body(change.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

async fn run(app: &App, Point { asked, cut }: Point, name: &str) -> (Verdict, u64) {
    let since = Utc::now();
    let session = app.admit("reboot", name).await;
    let proxy = proxy(app, session, None);
    let worker = app.spawn_worker(through(app, &proxy), session);
    eventually("an Off under way", RUN_MAX, async || is_going_off(app, session).await.then_some(())).await;
    let before = proxy.calls();
    if let Some(cut) = cut {
        proxy.cut_from_now(cut);
    }
    ask(app, session, asked).await;
    let mut verdict = outlive(app, session, &proxy, worker).await;
    let calls = proxy.calls() - before;
    if app.session(session).await.state == SessionState::Paused {
        give(app, session, CommandRequest::plain(CommandKind::Resume)).await;
        match tokio::time::timeout(RUN_MAX, app.drive(session, "third")).await {
            Ok(Ok(Exit::Done)) => {}
            other => verdict.violations.push(format!("the third worker ended as {other:?}")),
        }
    }
    verdict.violations.extend(invariants::violations(app, session, since).await);
    verdict.violations.extend(judge(app, session, asked, since).await);
    (verdict, calls)
}

async fn is_going_off(app: &App, session: SessionId) -> bool {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let accepted = "select exists (select from effect where session_id = $1 and verb = 'power_off' and state <> 'intended')";
    sqlx::query_scalar(accepted).bind(session.0).fetch_one(&mut *connection).await.unwrap()
}

async fn ask(app: &App, session: SessionId, asked: Asked) {
    let request = match asked {
        Asked::Pause => CommandRequest::plain(CommandKind::Pause),
        Asked::Cancel => CommandRequest::plain(CommandKind::Cancel),
        Asked::CancelAtOnce => CommandRequest { at_once: true, ..CommandRequest::plain(CommandKind::Cancel) },
        Asked::Set => {
            let settings = serde_json::from_value(serde_json::json!({
                "timeouts_s": {"compute/await_boot": 7_200}, "thresholds": {"compute": 10},
            }));
            CommandRequest { settings: settings.unwrap(), ..CommandRequest::plain(CommandKind::Set) }
        }
    };
    give(app, session, request).await;
}

/// Leaves a command for the session's writer.
pub(super) async fn give(app: &App, session: SessionId, request: CommandRequest) {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    db::command::insert(&mut connection, &session, &request, "somebody").await.unwrap();
}

/// What does not hold at its end.
async fn judge(app: &App, session: SessionId, asked: Asked, since: chrono::DateTime<Utc>) -> Vec<String> {
    let mut violations = Vec::new();
    let row = app.session(session).await;
    let expected = match asked {
        Asked::Pause | Asked::Set => Outcome::Succeeded,
        Asked::Cancel | Asked::CancelAtOnce => Outcome::Cancelled,
    };
    // On a slow host everybody may be through before anything is asked.
    let is_through = row.outcome == Some(Outcome::Succeeded) && row.succeeded == NODES as i32;
    if row.state != SessionState::Ended || (row.outcome != Some(expected) && !is_through) || row.failed > 0 {
        violations.push(format!("it is {:?}, {:?}, {} failed", row.state, row.outcome, row.failed));
    }
    for (xname, edges) in invariants::edges(app, since) {
        let well = match asked {
            Asked::CancelAtOnce if !is_through => edges.is_empty() || edges == ["off"],
            _ => edges == ["off", "on"],
        };
        if !well {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let commands = db::command::list(&mut connection, &session).await.unwrap();
    if commands.iter().any(|command| command.obeyed_at.is_none()) && !is_through {
        violations.push(format!("a command was not obeyed: {commands:?}"));
    }
    let standing = db::command::standing(&mut connection, &session).await.unwrap();
    if asked == Asked::Set && standing.settings.thresholds.get("compute") != Some(&10) && !is_through {
        violations.push(format!("what was set is forgotten: {standing:?}"));
    }
    drop(connection);
    if asked == Asked::CancelAtOnce {
        // What is left off is booted; the next run finds the machine as this one did.
        let boot = app.admit("boot", &format!("{}-boot", row.new.name)).await;
        if !matches!(tokio::time::timeout(RUN_MAX, app.drive(boot, "boots")).await, Ok(Ok(Exit::Done))) {
            violations.push("the boot of what was left off did not end".to_owned());
        }
        if !is_all_on(app).await {
            violations.push("somebody is still off after a boot".to_owned());
        }
    }
    violations
}

async fn is_all_on(app: &App) -> bool {
    let nodes =
        reqwest::get(format!("{}/sim/nodes", app.machine.url())).await.unwrap().bytes().await.unwrap();
    let nodes: Vec<serde_json::Value> = serde_json::from_slice(&nodes).unwrap();
    nodes.iter().all(|node| node["powered"] == true)
}
