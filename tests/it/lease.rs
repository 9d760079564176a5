//! The lease: one writer at a time, however workers come, go, die, or come back from the dead.

mod lasting;
mod restored;
mod spent;
mod zombie;

use std::time::{Duration, Instant};

use bosun::{
    db,
    engine::{self, EngineSettings, Exit},
    model::{
        command::{CommandKind, CommandRequest},
        event::{Event, EventKind},
        session::{Outcome, SessionId, SessionState},
    },
    sim,
};
use chrono::Utc;

use crate::support::{
    app::App,
    eventually,
    invariants::{self, edges},
    lane,
};

const NODES: usize = 24;
/// Nothing waited for takes longer, however slow the machine that tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that boot slowly enough for something to happen meanwhile.
fn slow(boot: Duration) -> sim::Settings {
    sim::Settings { boot, ..lane::settings(NODES) }
}

/// Returns once the nodes were told to power on, and somebody waits for them to boot.
async fn powered_on(app: &App, session: SessionId) {
    let accepted = async || {
        let mut connection = db::acquire(&app.database.pool).await.unwrap();
        let effects = db::effect::page(&mut connection, &session, 0, 100).await.unwrap();
        effects.iter().any(|effect| effect.verb == "power_on" && effect.answered_at.is_some()).then_some(())
    };
    eventually("an accepted power-on", PATIENCE, accepted).await;
}

async fn lease(app: &App, session: SessionId) -> db::lease::LeaseRow {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    db::lease::get(&mut connection, &session).await.unwrap().unwrap()
}

/// The line that tells of a worker taking the lease.
async fn takes_over(app: &App, session: SessionId, epoch: i64) -> Event {
    let taken = async || {
        let events = app.events(session).await;
        events.into_iter().find(|event| event.kind == EventKind::LeaseAcquired && event.epoch == epoch)
    };
    eventually("a worker that takes the lease", PATIENCE, taken).await
}

/// Everybody was power-cycled once, and the history is in order.
async fn assert_well(app: &App, session: SessionId, since: chrono::DateTime<Utc>) {
    let row = app.session(session).await;
    let counts = (row.outcome, row.succeeded, row.failed, row.skipped);
    assert_eq!(counts, (Some(Outcome::Succeeded), NODES as i32, 0, 0));
    for (xname, edges) in edges(app, since) {
        assert_eq!(edges, ["off", "on"], "{xname}");
    }
    let violations = invariants::violations(app, session, since).await;
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_waits_and_finds_nothing_to_do() {
    let app = lane::app(&slow(Duration::from_millis(1_500))).await;
    let since = Utc::now();
    let session = app.admit("reboot", "two").await;
    let mut first = app.spawn_worker(app.engine_settings("first"), session);
    takes_over(&app, session, 1).await;
    let mut second = app.spawn_worker(app.engine_settings("second"), session);
    tokio::select! {
        biased;
        ended = second.ended() => panic!("the second worker did not wait: {ended:?}"),
        ended = first.ended() => assert_eq!(ended.unwrap(), Exit::Done),
    }
    assert_eq!(second.ended().await.unwrap(), Exit::Done);
    assert!(app.events(session).await.iter().all(|event| event.epoch <= 1));
    assert_eq!(lease(&app, session).await.epoch, 1);
    assert_well(&app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_for_the_lease_can_be_stopped() {
    let app = lane::app(&lane::settings(1)).await;
    let session = app.admit("reboot", "held").await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    db::lease::take(&mut connection, &session, "first", PATIENCE).await.unwrap();
    let mut second = app.spawn_worker(app.engine_settings("second"), session);
    second.stop.cancel();
    assert_eq!(second.ended().await.unwrap(), Exit::Planned);
    assert_eq!(lease(&app, session).await.worker.as_deref(), Some("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_costs_nothing() {
    let app = lane::app(&slow(Duration::from_millis(1_500))).await;
    let since = Utc::now();
    let session = app.admit("reboot", "planned").await;
    let mut first = app.spawn_worker(app.engine_settings("first"), session);
    powered_on(&app, session).await;
    let asked = Instant::now();
    first.stop.cancel();
    assert_eq!(first.ended().await.unwrap(), Exit::Planned);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert_eq!(app.drive(session, "second").await.unwrap(), Exit::Done);
    let lease = lease(&app, session).await;
    assert_eq!((lease.epoch, lease.takeovers), (2, 0));
    let acquired = takes_over(&app, session, 2).await;
    assert_eq!(acquired.data["take_over"], false);
    assert_well(&app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_nobody_saw_is_over_with_the_lease() {
    let app = lane::app(&slow(Duration::from_millis(1_500))).await;
    let since = Utc::now();
    let session = app.admit("reboot", "unseen").await;
    let lease_time = Duration::from_secs(1);
    let short = |worker| EngineSettings { lease_time, ..app.engine_settings(worker) };
    let first = app.spawn_worker(short("first"), session);
    powered_on(&app, session).await;
    let mut second = app.spawn_worker(short("second"), session);
    first.kill().await;
    let died = Utc::now();
    let taken = takes_over(&app, session, 2).await;
    let waited = (taken.at - died).to_std().unwrap_or_default();
    // Taken over within the lease time and a second (DESIGN §8), and a second for a busy machine.
    assert!(waited <= lease_time + Duration::from_secs(2), "it took {waited:?}");
    assert_eq!((&taken.data["take_over"], &taken.data["previous"]), (&true.into(), &1.into()));
    assert_eq!(second.ended().await.unwrap(), Exit::Done);
    assert_well(&app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_crash_budget_parks_the_session() {
    let app = lane::app(&lane::settings(NODES)).await;
    let since = Utc::now();
    let session = app.admit("reboot", "budget").await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    sqlx::query("update session_lease set max_takeovers = 2 where session_id = $1")
        .bind(session.0)
        .execute(&mut *connection)
        .await
        .unwrap();
    for (death, takeovers) in [(1, 0), (2, 1), (3, 2)] {
        let taken = db::lease::take(&mut connection, &session, "doomed", PATIENCE).await.unwrap();
        assert!(matches!(taken, db::lease::Taken::Lease(_)), "death {death}: {taken:?}");
        assert_eq!(lease(&app, session).await.takeovers, takeovers);
        db::lease::expire(&mut connection, &session, death).await.unwrap();
    }
    assert_eq!(app.drive(session, "fourth").await.unwrap(), Exit::Done);
    let row = app.session(session).await;
    assert_eq!((row.state, row.reason.as_deref()), (SessionState::Stuck, Some(engine::BUDGET_SPENT)));
    assert!(db::session::need_worker(&mut connection).await.unwrap().is_empty());
    assert!(app.machine.power_log().is_empty());

    let request = CommandRequest::plain(CommandKind::Resume);
    db::command::insert(&mut connection, &session, &request, "operator").await.unwrap();
    assert_eq!(app.drive(session, "fifth").await.unwrap(), Exit::Done);
    assert_well(&app, session, since).await;
}
