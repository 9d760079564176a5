//! Workers as child processes of this one: for one machine, and for tests.

mod worker;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use worker::{LocalWorkers, Worker};

use crate::{
    db::{self, DbError, Pool, session::Needed},
    engine::BUDGET_SPENT,
    model::session::SessionId,
};

use super::LOOK_INTERVAL;

/// First and longest pause before a session's worker that died at once is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A worker that lived so long did not die at once.
const LIVED: Duration = Duration::from_secs(10);

/// Runs until `stop`; then asks every worker to stop and waits for them.
pub async fn run(
    local: LocalWorkers,
    running_max: usize,
    pool: Pool,
    mut hints: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let (workers, resting) = (BTreeMap::new(), BTreeMap::new());
    let mut launcher = Launcher { local, running_max, pool, workers, resting, launches: 0 };
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
    launcher.stop().await;
}

/// Sessions whose workers die at once: how often, and not before when.
type Resting = BTreeMap<SessionId, (u32, Instant)>;

struct Launcher {
    local: LocalWorkers,
    running_max: usize,
    pool: Pool,
    workers: BTreeMap<SessionId, Worker>,
    resting: Resting,
    launches: u64,
}

impl Launcher {
    /// Starts what is missing.
    async fn look(&mut self) -> Result<(), DbError> {
        let mut connection = db::acquire(&self.pool).await?;
        let needed = db::session::need_worker(&mut connection).await?;
        drop(connection);
        self.resting.retain(|session, _| needed.iter().any(|needed| needed.session == *session));
        for session in needed.iter().filter(|needed| needed.budget_spent).map(|needed| needed.session) {
            let mut connection = db::acquire(&self.pool).await?;
            db::session::park(&mut connection, &session, BUDGET_SPENT).await?;
        }
        for session in to_start(&needed, &self.workers, &self.resting, self.running_max, Instant::now()) {
            self.launches += 1;
            match self.local.start(session, self.launches) {
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
        let stops = self.workers.values_mut().map(Worker::stop);
        futures_util::future::join_all(stops).await;
    }
}

/// Who gets a worker now, of those that need one in the order they are served.
fn to_start<W>(
    needed: &[Needed],
    workers: &BTreeMap<SessionId, W>,
    resting: &Resting,
    running_max: usize,
    now: Instant,
) -> Vec<SessionId> {
    let mut running = workers.len();
    let mut start = Vec::new();
    for Needed { session, budget_spent, hands_over, .. } in needed {
        let waits = running >= running_max && !hands_over;
        if *budget_spent || waits || workers.contains_key(session) {
            continue;
        }
        // Also while it rests: those behind it do not begin before it goes on.
        running += 1;
        if resting.get(session).is_none_or(|(_, until)| *until <= now) {
            start.push(*session);
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(session: i64) -> Needed {
        Needed {
            session: SessionId(session),
            name: format!("s{session}"),
            tenant: String::new(),
            operation: "reboot".to_owned(),
            epoch: 1,
            last_failed_launch: 0,
            budget_spent: false,
            hands_over: false,
        }
    }

    #[test]
    fn who_rests_keeps_its_place() {
        let now = Instant::now();
        let waiting = [needed(1), needed(2), needed(3)];
        let ids = |ids: &[i64]| ids.iter().copied().map(SessionId).collect::<Vec<_>>();
        let nobody = BTreeMap::<SessionId, ()>::new();
        assert_eq!(to_start(&waiting, &nobody, &Resting::new(), 2, now), ids(&[1, 2]));
        let resting = Resting::from([(SessionId(1), (3, now + LIVED))]);
        assert_eq!(to_start(&waiting, &nobody, &resting, 2, now), ids(&[2]), "3 begins behind 1");
        let rested = Resting::from([(SessionId(1), (3, now))]);
        assert_eq!(to_start(&waiting, &nobody, &rested, 2, now), ids(&[1, 2]));
        let running = BTreeMap::from([(SessionId(1), ())]);
        assert_eq!(to_start(&waiting, &running, &Resting::new(), 2, now), ids(&[2]));
    }

    #[test]
    fn who_hands_over_does_not_wait_and_who_spent_its_budget_takes_no_place() {
        let now = Instant::now();
        let full = BTreeMap::from([(SessionId(9), ())]);
        let giver = Needed { hands_over: true, ..needed(2) };
        assert_eq!(to_start(&[needed(1), giver], &full, &Resting::new(), 1, now), [SessionId(2)]);
        let spent = Needed { budget_spent: true, ..needed(1) };
        let nobody = BTreeMap::<SessionId, ()>::new();
        assert_eq!(to_start(&[spent, needed(2)], &nobody, &Resting::new(), 1, now), [SessionId(2)]);
    }
}
