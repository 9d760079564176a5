//! A database that goes away in the middle of a session and comes back.

use std::{path::PathBuf, time::Duration};

use bosun::{
    db::private::PrivatePostgres,
    engine::{EngineError, EngineSettings, Exit},
};
use chrono::Utc;
use rustix::process::{Pid, Signal, kill_process};

use super::{assert_well, powered_on, slow};
use crate::support::{app::App, postgres::Database};

const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// A server of the test's own, which it can kill.
struct Server {
    directory: PathBuf,
    postgres: Option<PrivatePostgres>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.postgres.take());
        // What a failed test leaves behind is the system's to clear away.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Server {
    async fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("bosun-it-{}-{name}", std::process::id()));
        let mut server = Self { directory, postgres: None };
        server.start_again().await;
        server
    }

    async fn start_again(&mut self) {
        self.postgres = Some(PrivatePostgres::start(&self.directory).await.unwrap());
    }

    async fn app(&self) -> App {
        let database = Database::of(self.postgres.as_ref().unwrap()).await;
        App::on(database, slow(Duration::from_secs(3)), WRITE_TIMEOUT).await
    }

    /// `pg_ctl stop -m immediate`: SIGQUIT to the server.
    fn crash(&mut self) {
        let postgres = self.postgres.take().unwrap();
        let pid = Pid::from_raw(postgres.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        drop(postgres);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_a_crash_of_its_database() {
    let mut server = Server::start("outlived").await;
    let app = server.app().await;
    let since = Utc::now();
    let session = app.admit("reboot", "outlived").await;
    let mut worker = app.spawn_worker(app.engine_settings("only"), session);
    powered_on(&app, session).await;
    server.crash();
    server.start_again().await;
    assert_eq!(worker.ended().await.unwrap(), Exit::Done);
    assert!(app.events(session).await.iter().all(|event| event.epoch <= 1));
    assert_well(&app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_database_stays_away_leaves_the_session_to_the_next() {
    let mut server = Server::start("left").await;
    let app = server.app().await;
    let since = Utc::now();
    let session = app.admit("reboot", "left").await;
    let lease_time = Duration::from_secs(1);
    let short = EngineSettings { lease_time, ..app.engine_settings("first") };
    let mut first = app.spawn_worker(short, session);
    powered_on(&app, session).await;
    server.crash();
    let ended = first.ended().await;
    assert!(matches!(ended, Err(EngineError::Fenced)), "it ended as {ended:?}");
    server.start_again().await;
    assert_eq!(app.drive(session, "second").await.unwrap(), Exit::Done);
    assert_well(&app, session, since).await;
}
