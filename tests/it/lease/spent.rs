//! A session whose workers die one after the other until its crash budget is spent, while another one waits for what it holds.

use bosun::{
    db::{self, lease::Taken},
    model::{
        command::{CommandKind, CommandRequest},
        session::{OnConflict, Outcome, SessionId, SessionState},
    },
};

use super::*;
use crate::support::app::Wish;

const TAKEN: usize = 4;

/// Its workers die before they do anything, until nobody may try any more.
async fn spend(app: &App, session: SessionId) {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    for worker in 0.. {
        let name = format!("dies-{worker}");
        match db::lease::take(&mut connection, &session, &name, Duration::from_secs(30)).await.unwrap() {
            Taken::Lease(lease) => {
                db::lease::expire(&mut connection, &session, lease.epoch()).await.unwrap();
            }
            Taken::BudgetSpent => return,
            other => panic!("{other:?}"),
        }
    }
}

async fn wanted(app: &App) -> i64 {
    let wanted = "select count(*) from component_progress where wanted_by is not null";
    sqlx::query_scalar(wanted).fetch_one(&app.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_what_it_holds_does_not_wait_for_ever() {
    let app = lane::app(&lane::settings(8)).await;
    let old = app.admit("reboot", "old").await;
    let wish = Wish { on_conflict: OnConflict::Preempt, nodes: Some(TAKEN), ..Wish::default() };
    let new = app.admit_as("reboot", "new", &wish).await;
    let mut taker = app.spawn_worker(app.engine_settings("taker"), new);
    spend(&app, old).await;
    assert_eq!(wanted(&app).await, TAKEN as i64);
    // Whoever is started next parks it, and the newer session is told at once.
    assert_eq!(app.drive(old, "last").await.unwrap(), Exit::Done);
    let ended = tokio::time::timeout(PATIENCE, taker.ended()).await.expect("it waits for ever");
    assert_eq!(ended.unwrap(), Exit::Done);
    let row = app.session(new).await;
    assert_eq!((row.state, row.outcome, row.skipped), (SessionState::Ended, Some(Outcome::Failed), 4));
    let reasons: Vec<(String, String)> = sqlx::query_as(
        "select distinct reason, error from step_history where session = 'new' and result = 'skipped'",
    )
    .fetch_all(&app.database.pool)
    .await
    .unwrap();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].0 == "claimed" && reasons[0].1.starts_with("old keeps it"), "{reasons:?}");
    assert_eq!(wanted(&app).await, 0);
    // Nothing was taken from the older one: looked at, it goes on with everybody.
    assert_eq!(app.session(old).await.state, SessionState::Stuck);
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let resume = CommandRequest::plain(CommandKind::Resume);
    db::command::insert(&mut connection, &old, &resume, "somebody").await.unwrap();
    assert_eq!(app.drive(old, "again").await.unwrap(), Exit::Done);
    let row = app.session(old).await;
    assert_eq!((row.outcome, row.succeeded), (Some(Outcome::Succeeded), 8));
}

/// Parked, it gets workers once more for whoever asks anew.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_when_it_is_parked_is_given_what_it_holds() {
    let app = lane::app(&lane::settings(8)).await;
    let old = app.admit("reboot", "old").await;
    spend(&app, old).await;
    assert_eq!(app.drive(old, "last").await.unwrap(), Exit::Done);
    assert_eq!(app.session(old).await.state, SessionState::Stuck);
    let wish = Wish { on_conflict: OnConflict::Preempt, nodes: Some(TAKEN), ..Wish::default() };
    let new = app.admit_as("reboot", "new", &wish).await;
    let mut taker = app.spawn_worker(app.engine_settings("taker"), new);
    assert_eq!(app.drive(old, "gives").await.unwrap(), Exit::Done);
    let ended = tokio::time::timeout(PATIENCE, taker.ended()).await.expect("it waits for ever");
    assert_eq!(ended.unwrap(), Exit::Done);
    assert_eq!(app.session(new).await.succeeded, TAKEN as i32);
    assert_eq!(app.session(old).await.state, SessionState::Stuck);
}
