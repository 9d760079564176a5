//! Workers as Kubernetes Jobs, one per session and launch.
//!
//! A Job restarts its pod by itself, so a session goes on while no `serve` runs. The launcher looks at the sessions, the
//! Jobs and the pods, decides in pure code ([`decide`]), then does: it creates what is missing, expires the epochs of
//! workers whose container was seen to end, counts Jobs that were given up, parks what has spent its budget. It keeps
//! nothing it could not find out again; the names of Jobs make two launchers one.

mod decide;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::Utc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use template::{JobTemplate, TemplateError};

use crate::{
    clients::kubernetes::{Created, Kubernetes, KubernetesError, Pod, PodState, Seen},
    db::{self, DbError, Pool, session::Needed},
};

use super::{LOOK_INTERVAL, RECONNECT_PAUSE};
use decide::{Doing, Launch};

/// How often Jobs and pods are looked at when nothing is needed and no hint comes.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// The same while some session has no worker.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
/// Never more often than that.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long a pod may wait before the log says why it does.
const WAIT_UNSAID: Duration = Duration::from_secs(20);

/// What workers are made of.
#[derive(Debug, Clone)]
pub struct KubernetesWorkers {
    /// Where their Jobs are.
    pub kubernetes: Kubernetes,
    /// What they look like.
    pub template: JobTemplate,
}

/// Runs until `stop`. The Jobs go on.
pub async fn run(
    workers: KubernetesWorkers,
    running_max: usize,
    pool: Pool,
    (hint, mut hints): (watch::Sender<()>, watch::Receiver<()>),
    stop: CancellationToken,
) {
    let watching = tokio::spawn(watch_pods(workers.kubernetes.clone(), hint));
    let mut launcher = Launcher {
        workers,
        running_max,
        pool,
        buried: BTreeSet::new(),
        said: BTreeMap::new(),
        looked_at: None,
    };
    let mut hinted = true;
    let mut down = false;
    loop {
        match launcher.turn(hinted).await {
            Ok(()) => {
                if std::mem::take(&mut down) {
                    tracing::info!("workers can be launched again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut down, true) {
                    tracing::warn!(%error, "no worker can be launched; those that run do not need it; trying again");
                }
            }
        }
        hinted = tokio::select! {
            () = stop.cancelled() => break,
            Ok(()) = hints.changed() => true,
            () = tokio::time::sleep(LOOK_INTERVAL) => false,
        };
        if hinted {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
    watching.abort();
}

/// Hears of pods. Only a hint: they are looked at anyway.
async fn watch_pods(kubernetes: Kubernetes, hint: watch::Sender<()>) {
    loop {
        let changed = || {
            hint.send_replace(());
        };
        if let Err(error) = kubernetes.watch(changed).await {
            tracing::debug!(%error, "pods cannot be watched; they are looked at now and then");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum LauncherError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

struct Launcher {
    workers: KubernetesWorkers,
    running_max: usize,
    pool: Pool,
    /// Pods whose end the database knows of; forgotten at a restart, which only asks again.
    buried: BTreeSet<String>,
    /// Pods that wait, and what was said of it.
    said: BTreeMap<String, String>,
    looked_at: Option<Instant>,
}

impl Launcher {
    async fn turn(&mut self, hinted: bool) -> Result<(), LauncherError> {
        let needed = self.needed().await?;
        let interval = if needed.is_empty() { IDLE_INTERVAL } else { BUSY_INTERVAL };
        if !hinted && self.looked_at.is_some_and(|at| at.elapsed() < interval) {
            return Ok(());
        }
        // Counted even if it fails: an API server in trouble is not asked more often.
        self.looked_at = Some(Instant::now());
        let seen = self.workers.kubernetes.look().await?;
        let needed = if self.bury(&seen.pods).await? { self.needed().await? } else { needed };
        self.tell_of_waiting(&seen.pods);
        let now = Utc::now();
        let keep = self.workers.template.keep_finished();
        let doing =
            decide::decide(&seen, &needed, self.running_max, self.workers.template.prefix(), keep, now);
        self.carry_out(doing, &seen).await
    }

    async fn needed(&self) -> Result<Vec<Needed>, DbError> {
        let mut connection = db::acquire(&self.pool).await?;
        db::session::need_worker(&mut connection).await
    }

    /// A death that was seen expires exactly that worker's epoch at once. Whether there was one.
    async fn bury(&mut self, pods: &[Pod]) -> Result<bool, DbError> {
        self.buried.retain(|name| pods.iter().any(|pod| pod.name == *name));
        let ended =
            |pod: &&Pod| matches!(pod.state, PodState::Ended { .. }) && !self.buried.contains(&pod.name);
        let (sessions, names): (Vec<_>, Vec<_>) =
            pods.iter().filter(ended).map(|pod| (pod.session, pod.name.clone())).unzip();
        if names.is_empty() {
            return Ok(false);
        }
        let mut connection = db::acquire(&self.pool).await?;
        let expired = db::lease::expire_workers(&mut connection, &sessions, &names).await?;
        for session in expired {
            tracing::warn!(%session, "a worker died; another one goes on");
        }
        self.buried.extend(names);
        Ok(true)
    }

    async fn carry_out(&mut self, doing: Doing, seen: &Seen) -> Result<(), LauncherError> {
        if !doing.count.is_empty() {
            let mut connection = db::acquire(&self.pool).await?;
            db::lease::count_failed_launches(&mut connection, &doing.count).await?;
        }
        for session in doing.park {
            let reason = decide::why_stuck(session, &seen.pods);
            let mut connection = db::acquire(&self.pool).await?;
            if db::session::park(&mut connection, &session, &reason).await? {
                tracing::error!(%session, reason, "the session is stuck");
            }
        }
        for name in doing.delete {
            self.workers.kubernetes.delete(&name).await?;
        }
        for Launch { needed, launch } in doing.create {
            let session = needed.session;
            let job = self.workers.template.job(&needed, launch);
            match self.workers.kubernetes.create(job).await? {
                Created::New => tracing::info!(%session, name = needed.name, launch, "launched a worker"),
                Created::Exists => tracing::debug!(%session, launch, "the worker's Job was there already"),
            }
        }
        Ok(())
    }

    /// Says once why a pod does not start: nothing else would.
    fn tell_of_waiting(&mut self, pods: &[Pod]) {
        self.said.retain(|name, _| pods.iter().any(|pod| pod.name == *name));
        for pod in pods {
            let PodState::Waiting(why) = &pod.state else { continue };
            let waited = pod.created_at.and_then(|at| (Utc::now() - at).to_std().ok()).unwrap_or_default();
            if waited < WAIT_UNSAID || self.said.get(&pod.name) == Some(why) {
                continue;
            }
            tracing::warn!(session = %pod.session, pod = pod.name, why, "a worker's pod does not start");
            self.said.insert(pod.name.clone(), why.clone());
        }
    }
}
