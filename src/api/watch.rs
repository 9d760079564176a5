//! Who watches sessions: streams of events, woken by one connection that listens for all of them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore, broadcast},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::ApiError;
use crate::{
    db::{
        self,
        listen::{Heard, Listener},
    },
    model::session::SessionId,
};

/// Most streams at once: each asks the database once for every checkpoint of its session.
const STREAMS_MAX: usize = 256;
/// Hints that a slow stream may miss before it looks by itself.
const HINTS_MAX: usize = 1_024;
/// Pause before a broken listener is made anew.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// Hints may be lost: whoever waits looks by itself now and again.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Where streams wait.
#[derive(Debug, Clone)]
pub struct Watch {
    pool: db::Pool,
    free: Arc<Semaphore>,
    /// Made with the first stream: where nobody watches, nobody listens.
    hints: Arc<OnceCell<broadcast::Sender<Hint>>>,
    stop: CancellationToken,
}

/// A session that has new events; none: any may have.
type Hint = Option<SessionId>;

impl Watch {
    /// Streams end with `stop`.
    pub fn new(pool: db::Pool, stop: CancellationToken) -> Self {
        let free = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { pool, free, hints: Arc::new(OnceCell::new()), stop }
    }

    /// Ends all streams, now and later.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// A place for one more stream.
    ///
    /// # Errors
    /// 503 when there is none.
    pub async fn watcher(&self, session: SessionId) -> Result<Watcher, ApiError> {
        let place = self.free.clone().try_acquire_owned().map_err(|_| {
            ApiError::Unavailable(format!(
                "{STREAMS_MAX} streams of events are open; close some, or ask for pages"
            ))
        })?;
        let hints = self.hints.get_or_init(async || {
            let (sender, _) = broadcast::channel(HINTS_MAX);
            tokio::spawn(listen(self.pool.clone(), sender.clone(), self.stop.clone()));
            sender
        });
        let hints = hints.await.subscribe();
        Ok(Watcher { session, hints, stop: self.stop.clone(), _place: place })
    }
}

/// A stream's place.
#[derive(Debug)]
pub struct Watcher {
    session: SessionId,
    hints: broadcast::Receiver<Hint>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// Waits until there may be something new. Whether the stream is to go on.
    pub async fn wait(&mut self) -> bool {
        let (session, hints) = (self.session, &mut self.hints);
        let told = async {
            loop {
                match hints.recv().await {
                    Ok(Some(other)) if other != session => {}
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Told or not: it looks.
        self.stop.run_until_cancelled(timeout(LOOK_INTERVAL, told)).await.is_some()
    }

    /// Waits a moment, because the database does not answer. Whether the stream is to go on.
    pub async fn rest(&self) -> bool {
        self.stop.run_until_cancelled(sleep(LISTEN_PAUSE)).await.is_some()
    }
}

/// Passes on what is heard, until `stop`.
async fn listen(pool: db::Pool, hints: broadcast::Sender<Hint>, stop: CancellationToken) {
    let listening = async {
        loop {
            match Listener::of_events(&pool).await {
                Ok(mut listener) => {
                    // Whoever waits may have missed something. That nobody waits is no mistake, here and below.
                    let _ = hints.send(None);
                    while let Ok(heard) = listener.next().await {
                        let _ =
                            hints.send(if let Heard::Events(session) = heard { Some(session) } else { None });
                    }
                }
                Err(error) => tracing::debug!("cannot listen for events: {error}"),
            }
            sleep(LISTEN_PAUSE).await;
        }
    };
    stop.run_until_cancelled(listening).await;
}
