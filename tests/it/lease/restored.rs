//! A database restored from an hour ago must not reboot a machine.

use std::{process::Stdio, time::Duration};

use bosun::{
    config::{PcsArgs, ServiceArgs},
    db::{
        self,
        session::{Api, NewSession},
    },
    model::session::{SessionId, SessionState},
};
use chrono::Utc;
use tokio::process::{Child, Command};

use super::{PATIENCE, assert_well, lease, powered_on, slow};
use crate::support::{app::App, eventually, lane};

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_parks_until_somebody_resumes_all() {
    let app = lane::app(&slow(Duration::from_millis(1_500))).await;
    let since = Utc::now();
    let session = app.admit("reboot", "old").await;
    let first = app.spawn_worker(app.engine_settings("first"), session);
    powered_on(&app, session).await;
    first.kill().await;
    let waiting = wait_for_admission(&app).await;
    an_hour_ago(&app).await;
    let actions = app.machine.power_log().len();

    let mut serve = serve(&app);
    let stuck = async || (app.session(session).await.state == SessionState::Stuck).then_some(());
    eventually("the session is stuck", PATIENCE, stuck).await;
    let row = app.session(session).await;
    assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("restored")), "{:?}", row.reason);
    // It asks HSM for new components in a round of its own: by then all its loops are at work.
    let at_work = async || app.machine.counters().contains_key("hsm").then_some(());
    eventually("serve is at work", PATIENCE, at_work).await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let life = db::service_life::get(&mut connection).await.unwrap();
    assert!(life.parked_at.is_some());
    assert!(db::session::need_worker(&mut connection).await.unwrap().is_empty());
    assert_eq!(app.session(waiting).await.state, SessionState::Waiting);
    let parked = lease(&app, session).await;
    assert_eq!((parked.epoch, parked.worker, parked.takeovers), (2, None, 0));
    assert_eq!(app.machine.power_log().len(), actions);

    db::session::resume_all(&mut connection, "operator").await.unwrap();
    let over = async || {
        let states = (app.session(session).await.state, app.session(waiting).await.state);
        (states.0 == SessionState::Ended && states.1 != SessionState::Waiting).then_some(())
    };
    eventually("the session ends, and the one that waits is judged", PATIENCE, over).await;
    serve.kill().await.unwrap();
    assert_well(&app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_goes_on_by_itself() {
    let app = lane::app(&slow(Duration::from_millis(1_500))).await;
    let since = Utc::now();
    let session = app.admit("reboot", "new").await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    db::service_life::touch(&mut connection).await.unwrap();
    let mut serve = serve(&app);
    let over = async || (app.session(session).await.state == SessionState::Ended).then_some(());
    eventually("the session ends", PATIENCE, over).await;
    serve.kill().await.unwrap();
    assert_well(&app, session, since).await;
}

/// A session that came by `/v2`; its template is gone, so that it is judged as soon as anybody looks at it.
async fn wait_for_admission(app: &App) -> SessionId {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let new = NewSession {
        name: "patient".parse().unwrap(),
        tenant: String::new(),
        operation: "reboot".to_owned(),
        template_name: "none".to_owned(),
        api: Api::V2,
        limit: String::new(),
        include_disabled: false,
        stage: false,
        request: serde_json::json!({}),
        actor: "tester".to_owned(),
    };
    db::session::insert_waiting(&mut connection, &new).await.unwrap()
}

/// What a backup of an hour ago says of signs of life.
async fn an_hour_ago(app: &App) {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    for text in [
        "update service_life set at = clock_timestamp() - interval '1 hour'",
        "update session_lease
            set heartbeat_at = heartbeat_at - interval '1 hour', valid_until = valid_until - interval '1 hour'",
    ] {
        sqlx::query(text).execute(&mut *connection).await.unwrap();
    }
}

fn serve(app: &App) -> Child {
    let pcs = PcsArgs {
        pcs_sample_interval: app.settings.pcs_sample_interval,
        pcs_confirm_interval: app.settings.pcs_confirm_interval,
        pcs_minute: app.settings.pcs_minute,
    };
    Command::new(env!("CARGO_BIN_EXE_bosun"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", &app.database.url)
        .envs(ServiceArgs::of_machine(&app.machine.url()).environment())
        .envs(pcs.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
