//! The heartbeat: its own thread, its own runtime, its own connection, so that no work can starve it. The same
//! connection listens for hints (reports, commands).

use std::{thread, time::Duration, time::Instant};

use tokio::sync::{mpsc, watch};

use crate::db::{
    lease::{Beat, Lease},
    listen::{Heard, Listener},
};

use super::{EngineError, clock::Clock};

/// A lease is renewed six times in its life.
const BEATS_PER_LIFE: u32 = 6;
/// Hints kept for a busy worker; what does not fit is found by polling.
const HINTS_MAX: usize = 4096;
/// Pause before a broken connection is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Until when the lease is surely ours.
#[derive(Debug, Clone)]
pub struct Fence {
    safe_until: watch::Receiver<Option<Instant>>,
}

impl Fence {
    /// Returns once the lease may be somebody else's. The first arm of every `select!` around a call.
    pub async fn passed(&self) {
        let mut safe_until = self.safe_until.clone();
        loop {
            let until = *safe_until.borrow_and_update();
            let Some(until) = until else { return };
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                changed = safe_until.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// A beating heart. Dropping it stops it.
pub struct Heartbeat {
    /// Until when calls may be made.
    pub fence: Fence,
    /// What was heard.
    pub hints: mpsc::Receiver<Heard>,
    _stop: watch::Sender<()>,
}

/// Starts the thread. `taken` is an instant before the lease was asked for.
pub fn spawn(
    database_url: String,
    lease: Lease,
    taken: Instant,
    clock: Clock,
) -> Result<Heartbeat, EngineError> {
    let margin = lease.time_to_live() / BEATS_PER_LIFE;
    let (safe, safe_until) = watch::channel(Some(taken + lease.time_to_live() - margin));
    let (hint, hints) = mpsc::channel(HINTS_MAX);
    let (stop, stopped) = watch::channel(());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| EngineError::System { what: "start the heartbeat's runtime", source })?;
    let heart = Heart { database_url, lease, margin, clock, safe, hint };
    thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || runtime.block_on(heart.run(stopped)))
        .map_err(|source| EngineError::System { what: "start the heartbeat's thread", source })?;
    Ok(Heartbeat { fence: Fence { safe_until }, hints, _stop: stop })
}

struct Heart {
    database_url: String,
    lease: Lease,
    margin: Duration,
    clock: Clock,
    safe: watch::Sender<Option<Instant>>,
    hint: mpsc::Sender<Heard>,
}

impl Heart {
    async fn run(self, mut stopped: watch::Receiver<()>) {
        tokio::select! {
            () = self.beat() => {}
            // The worker dropped its end: nobody needs the lease any more.
            _ = stopped.changed() => {}
        }
    }

    async fn beat(&self) {
        let interval = self.lease.time_to_live() / BEATS_PER_LIFE;
        let mut first = true;
        loop {
            let listening = Listener::of_session(&self.database_url, &self.lease.session()).await;
            match listening {
                Ok(mut listener) => {
                    if !std::mem::take(&mut first) {
                        // What was said while nobody listened is lost: look at everything once.
                        let _ = self.hint.try_send(Heard::Gap);
                    }
                    if self.listen(&mut listener, interval).await == Lost::Lease {
                        self.safe.send_replace(None);
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the heartbeat has no connection to the database; trying again")
                }
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn listen(&self, listener: &mut Listener, interval: Duration) -> Lost {
        loop {
            let sent = Instant::now();
            match tokio::time::timeout(interval, listener.heartbeat(&self.lease)).await {
                Ok(Ok(Some(Beat { at, commands_waiting, .. }))) => {
                    self.clock.heard(at, Instant::now());
                    self.safe.send_replace(Some(sent + self.lease.time_to_live() - self.margin));
                    if commands_waiting {
                        let _ = self.hint.try_send(Heard::Command);
                    }
                }
                Ok(Ok(None)) => return Lost::Lease,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a heartbeat failed; trying again on a new connection");
                    return Lost::Connection;
                }
                Err(_) => return Lost::Connection,
            }
            let next = sent + interval;
            while let Ok(heard) = tokio::time::timeout_at(next.into(), listener.next()).await {
                match heard {
                    Ok(hint) => {
                        let _ = self.hint.try_send(hint);
                    }
                    Err(_) => return Lost::Connection,
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Lost {
    Lease,
    Connection,
}
