//! A retry is asked for, and whoever asks is cut off before or after every statement: either nothing happened, or all of it.
//! Asked once more under the same key, it is one retry.

use bosun::{
    db::{self, Pool},
    engine::Exit,
    model::{
        command::{CommandKind, CommandRequest},
        session::{SessionId, SessionState},
    },
};
use chrono::Utc;

use super::{
    RUN_MAX, assert_most_were_hit,
    command::{change, judge_retry},
    proxy,
};
use crate::support::{
    app::App,
    lane::{self, Verdict},
    proxy::{Cut, Proxy},
};

const NODES: usize = 8;
/// How many fail, and are sent back.
const FAILED: usize = 2;
const KEY: &str = "tuesday";

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_admitted_once_or_not_at_all() {
    let machine = lane::settings(NODES);
    let app = lane::app(&machine).await;
    let (verdict, calls) = run(&app, None, "dry-run").await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    assert!(calls > 5, "the proxy saw only {calls} calls");
    let cuts = (1..=calls).flat_map(|n| [Cut::Before(n), Cut::After(n)]).step_by(3);
    let count = cuts.clone().count();
    let unhit =
        lane::run_all(&machine, cuts, async |app: &App, cut, name: &str| run(app, Some(cut), name).await.0)
            .await;
    assert_most_were_hit(count, &unhit);
}

async fn run(app: &App, cut: Option<Cut>, name: &str) -> (Verdict, u64) {
    let since = Utc::now();
    let broken: Vec<String> = app.machine.xnames().into_iter().take(FAILED).collect();
    for xname in &broken {
        change(app, xname, serde_json::json!({"faults": ["fail_configuration"]})).await;
    }
    let session = app.admit("reboot", name).await;
    let first = tokio::time::timeout(RUN_MAX, app.drive(session, "before")).await;
    assert!(matches!(first, Ok(Ok(Exit::Done))), "{first:?}");
    for xname in &broken {
        change(app, xname, serde_json::json!({"faults": []})).await;
    }
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let failed = db::result::failed(&mut connection, &session).await.unwrap();
    let failed: Vec<i32> = failed.into_iter().map(|failed| failed.component).collect();
    assert_eq!(failed.len(), FAILED);

    let cuts: Proxy = proxy(app, session, None);
    let url = app.database.url_by(cuts.directory());
    // The proxy knows by its name whom it is to cut off.
    let through = db::connect(&url, 1, "bosun worker").await.unwrap();
    let before = cuts.calls();
    if let Some(cut) = cut {
        cuts.cut_from_now(cut);
    }
    let asked = retry(&through, session, &failed).await;
    let calls = cuts.calls() - before;
    let mut verdict = Verdict { hit: asked.is_err() || cuts.is_cut(), violations: Vec::new() };
    let held: i64 = sqlx::query_scalar("select count(*) from component_progress where claimed_by = $1")
        .bind(session.0)
        .fetch_one(&app.database.pool)
        .await
        .unwrap();
    let known = db::command::by_key(&mut connection, &session, KEY).await.unwrap();
    let state = app.session(session).await.state;
    let whole = (held, state) == (FAILED as i64, SessionState::Running);
    let nothing = (held, state) == (0, SessionState::Ended);
    if !(whole && known.is_some() || nothing && known.is_none()) {
        verdict.violations.push(format!("half of it is there: {held} held, {state:?}, {known:?}"));
    }
    if asked.is_ok() && known.is_none() {
        verdict.violations.push("it was said to be done".to_owned());
    }
    // As a client does that had no answer.
    if known.is_none() {
        retry(&app.database.pool, session, &failed).await.unwrap();
    } else if retry(&app.database.pool, session, &failed).await.is_ok() {
        verdict.violations.push("a second command was kept under the same key".to_owned());
    }
    match tokio::time::timeout(RUN_MAX, app.drive(session, "after")).await {
        Ok(Ok(Exit::Done)) => {}
        other => verdict.violations.push(format!("its worker ended as {other:?}")),
    }
    verdict.violations.extend(judge_retry(app, session, since, &broken).await);
    let commands = db::command::list(&mut connection, &session).await.unwrap();
    if commands.len() != 1 || commands[0].obeyed_at.is_none() {
        verdict.violations.push(format!("{commands:?}"));
    }
    (verdict, calls)
}

async fn retry(pool: &Pool, session: SessionId, failed: &[i32]) -> Result<(), db::DbError> {
    let request = CommandRequest {
        step: Some("power_off".to_owned()),
        components: failed.to_vec(),
        ..CommandRequest::plain(CommandKind::Retry)
    };
    let (failed, actor, key) = (failed.to_vec(), "somebody".to_owned(), Some(KEY.to_owned()));
    db::admission::readmit_failed(pool, session, failed, request, actor, key).await.map(drop)
}
