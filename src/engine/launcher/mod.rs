//! The launcher: what needs a worker and has none gets one. Level-triggered: it looks at the sessions, never at what it
//! remembers of events, so a missed hint, a restart or a second launcher change nothing.

pub mod local;

use std::{collections::BTreeMap, time::Duration, time::Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, DbError, Pool, listen::Listener},
    model::session::SessionId,
};

/// How often the sessions are looked at when no hint comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause before a broken listening connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// First and longest pause before a session's worker that died at once is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A worker that lived so long did not die at once.
const LIVED: Duration = Duration::from_secs(10);

/// How sessions get their workers.
#[derive(Debug, Clone)]
pub struct LauncherSettings {
    /// Starts worker processes on this machine.
    pub local: local::LocalWorkers,
    /// The database, to hear of sessions at once.
    pub database_url: String,
    /// Most sessions that run at once; the rest wait in order.
    pub running_max: usize,
}

/// Runs until `stop`; then asks every worker to stop and waits for them.
pub async fn run(settings: LauncherSettings, pool: Pool, stop: CancellationToken) {
    let mut launcher =
        Launcher { settings, pool, workers: BTreeMap::new(), resting: BTreeMap::new(), launches: 0 };
    let (hint, mut hints) = watch::channel(());
    let listening = tokio::spawn(listen(launcher.settings.database_url.clone(), hint));
    loop {
        launcher.bury().await;
        if let Err(error) = launcher.look().await {
            tracing::warn!(%error, "the sessions cannot be looked at; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Ok(()) = hints.changed() => {}
            () = launcher.any_exit() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
    listening.abort();
    launcher.stop().await;
}

/// Hears that something may have to be done. Only a hint: the sessions are looked at anyway.
async fn listen(database_url: String, hint: watch::Sender<()>) {
    loop {
        if let Ok(mut listener) = Listener::of_launcher(&database_url).await {
            while listener.next().await.is_ok() {
                hint.send_replace(());
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

struct Launcher {
    settings: LauncherSettings,
    pool: Pool,
    workers: BTreeMap<SessionId, local::Worker>,
    /// Sessions whose workers die at once: how often, and not before when.
    resting: BTreeMap<SessionId, (u32, Instant)>,
    launches: u64,
}

impl Launcher {
    /// Starts what is missing.
    async fn look(&mut self) -> Result<(), DbError> {
        let mut connection = db::acquire(&self.pool).await?;
        let needed = db::session::need_worker(&mut connection).await?;
        drop(connection);
        self.resting.retain(|session, _| needed.iter().any(|needed| needed.session == *session));
        for db::session::Needed { session, budget_spent, .. } in needed {
            if budget_spent {
                let mut connection = db::acquire(&self.pool).await?;
                db::session::park(&mut connection, &session, super::BUDGET_SPENT).await?;
                continue;
            }
            let resting = self.resting.get(&session).is_some_and(|(_, until)| *until > Instant::now());
            if resting
                || self.workers.contains_key(&session)
                || self.workers.len() >= self.settings.running_max
            {
                continue;
            }
            self.launches += 1;
            match self.settings.local.start(session, self.launches) {
                Ok(worker) => {
                    tracing::info!(%session, worker = worker.name(), "started a worker");
                    self.workers.insert(session, worker);
                }
                Err(error) => {
                    tracing::error!(%session, %error, "cannot start a worker; trying again");
                    self.rest(session);
                }
            }
        }
        Ok(())
    }

    /// Takes note of workers that ended. A death that was seen expires exactly that worker's epoch at once.
    async fn bury(&mut self) {
        let mut ended = Vec::new();
        for (session, worker) in &mut self.workers {
            if let Some(exit) = worker.ended() {
                ended.push((*session, exit));
            }
        }
        for (session, exit) in ended {
            let Some(worker) = self.workers.remove(&session) else { continue };
            if exit.code == Some(0) {
                // It found nothing to do. Should the session still need a worker, the next one is not started at once.
                self.rest(session);
                continue;
            }
            if exit.code != Some(75) {
                tracing::warn!(%session, worker = worker.name(), exit = %exit, "a worker died; another one goes on");
            }
            if let Err(error) = self.expire(session, worker.name()).await {
                tracing::warn!(%session, %error, "a dead worker's lease has to run out by itself");
            }
            // One that was killed is replaced at once; one that ends by itself again and again is not.
            if worker.lived() < LIVED && exit.code.is_some() {
                self.rest(session);
            } else {
                self.resting.remove(&session);
            }
        }
    }

    async fn expire(&self, session: SessionId, worker: &str) -> Result<(), DbError> {
        let mut connection = db::acquire(&self.pool).await?;
        let lease = db::lease::get(&mut connection, &session).await?;
        match lease {
            Some(lease) if lease.worker.as_deref() == Some(worker) => {
                db::lease::expire(&mut connection, &session, lease.epoch).await
            }
            _ => Ok(()),
        }
    }

    fn rest(&mut self, session: SessionId) {
        let times = self.resting.get(&session).map_or(0, |(times, _)| *times);
        let pause = BACKOFF.0.saturating_mul(1 << times.min(10)).min(BACKOFF.1);
        self.resting.insert(session, (times + 1, Instant::now() + pause));
    }

    /// Returns when some worker has ended.
    async fn any_exit(&mut self) {
        if self.workers.is_empty() {
            std::future::pending::<()>().await;
        }
        let exits = self.workers.values_mut().map(|worker| Box::pin(worker.wait()));
        futures_util::future::select_all(exits).await;
    }

    async fn stop(mut self) {
        for worker in self.workers.values() {
            worker.ask_to_stop();
        }
        let stops = self.workers.values_mut().map(local::Worker::stop);
        futures_util::future::join_all(stops).await;
    }
}
