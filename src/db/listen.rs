//! Hints: notifications that something happened. They may be lost, so whoever waits polls as well.

use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};

use crate::model::session::SessionId;

use super::{
    DbError,
    error::doing,
    lease::{self, Beat, Lease},
    pool::{CONNECT_TIMEOUT, Pool, options},
};

/// Where the launcher, and admission, are told of sessions.
const LAUNCHER_CHANNEL: &str = "bosun_launcher";

/// Where it is told of whatever is written into the narrative of sessions.
const EVENT_CHANNEL: &str = "bosun_event";

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A command waits for the session's writer.
    Command,
    /// Somebody wants components of the session, or gave it some.
    Claims,
    /// A freeze was set or lifted.
    Freeze,
    /// These components (numbers) of the session reported.
    Reports(Vec<i32>),
    /// A session was admitted, ended, or has a command: look for what is to be done.
    Launcher,
    /// A session has new events.
    Events(SessionId),
    /// The connection broke and was made again: anything may have been missed.
    Gap,
}

/// A connection that listens, and carries a worker's heartbeats besides.
#[derive(Debug)]
pub struct Listener {
    inner: PgListener,
}

impl Listener {
    /// Listens for a session's worker.
    pub async fn of_session(url: &str, session: &SessionId) -> Result<Self, DbError> {
        Self::of(url, &format!("bosun_session_{session}"), "bosun worker heartbeat").await
    }

    /// Listens for the launcher and for admission.
    pub async fn of_launcher(url: &str) -> Result<Self, DbError> {
        Self::of(url, LAUNCHER_CHANNEL, "bosun launcher").await
    }

    /// Listens for events of any session, on a connection of its own to where the pool's go.
    pub async fn of_events(pool: &Pool) -> Result<Self, DbError> {
        let options = pool.connect_options().as_ref().clone().application_name("bosun events");
        Self::on(options, EVENT_CHANNEL).await
    }

    async fn of(url: &str, channel: &str, application_name: &str) -> Result<Self, DbError> {
        Self::on(options(url, application_name)?, channel).await
    }

    async fn on(options: PgConnectOptions, channel: &str) -> Result<Self, DbError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(doing("connect to listen"))?;
        let mut inner = PgListener::connect_with(&pool).await.map_err(doing("listen"))?;
        inner.listen(channel).await.map_err(doing("listen"))?;
        Ok(Self { inner })
    }

    /// Waits for the next hint. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Heard, DbError> {
        let heard = self.inner.try_recv().await.map_err(doing("listen"))?;
        Ok(heard.map_or(Heard::Gap, |notification| read(&notification)))
    }

    /// [`lease::heartbeat`] on this connection.
    pub async fn heartbeat(&mut self, lease: &Lease) -> Result<Option<Beat>, DbError> {
        lease::heartbeat_on(&mut self.inner, lease).await
    }
}

fn read(notification: &PgNotification) -> Heard {
    if notification.channel() == LAUNCHER_CHANNEL {
        return Heard::Launcher;
    }
    if notification.channel() == EVENT_CHANNEL {
        return notification.payload().parse().map_or(Heard::Gap, |id| Heard::Events(SessionId(id)));
    }
    match (notification.payload(), notification.payload().strip_prefix("report ")) {
        (_, Some(ids)) => Heard::Reports(ids.split(',').filter_map(|id| id.parse().ok()).collect()),
        ("claims", _) => Heard::Claims,
        ("freeze", _) => Heard::Freeze,
        _ => Heard::Command,
    }
}
