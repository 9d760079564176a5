//! The launcher: what needs a worker and has none gets one. Level-triggered: it looks at the sessions, never at what it
//! remembers of events, so a missed hint, a restart or a second launcher change nothing.

pub mod kubernetes;
pub mod local;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::db::{Pool, listen::Listener};

/// How often the sessions are looked at when no hint comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause before a broken listening connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How sessions get their workers.
#[derive(Debug, Clone)]
pub struct LauncherSettings {
    /// What workers are.
    pub workers: Workers,
    /// The database, to hear of sessions at once.
    pub database_url: String,
    /// Most sessions that run at once; the rest wait in order, but for those that others wait for.
    pub running_max: usize,
}

/// What workers are.
#[derive(Debug, Clone)]
pub enum Workers {
    /// Processes on this machine; they end with us.
    Local(local::LocalWorkers),
    /// Kubernetes Jobs; they go on without us.
    Kubernetes(Box<kubernetes::KubernetesWorkers>),
}

/// Runs until `stop`.
pub async fn run(settings: LauncherSettings, pool: Pool, stop: CancellationToken) {
    let (hint, hints) = watch::channel(());
    let listening = tokio::spawn(listen(settings.database_url, hint.clone()));
    match settings.workers {
        Workers::Local(workers) => local::run(workers, settings.running_max, pool, hints, stop).await,
        Workers::Kubernetes(workers) => {
            kubernetes::run(*workers, settings.running_max, pool, (hint, hints), stop).await;
        }
    }
    listening.abort();
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
