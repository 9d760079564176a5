//! A worker as a child process of this one.

use std::{
    ffi::OsString,
    fmt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::model::session::SessionId;

/// How long a worker may take to stop when asked; it promises five seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// How worker processes are started.
#[derive(Debug, Clone)]
pub struct LocalWorkers {
    /// The program: this one.
    pub program: PathBuf,
    /// Its environment beside our own: the database and the services.
    pub environment: Vec<(OsString, OsString)>,
}

/// A worker process.
#[derive(Debug)]
pub struct Worker {
    name: String,
    child: Child,
    /// Kept apart from the child: waiting for a child closes its standard input.
    _stdin: Option<ChildStdin>,
    started: Instant,
}

/// How a worker process ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    status: ExitStatus,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl LocalWorkers {
    /// Starts a worker for a session. Its standard input is a pipe that closes when we die: then it stops too.
    pub fn start(&self, session: SessionId, launch: u64) -> std::io::Result<Worker> {
        let name = format!("local-{}-{session}-{launch}", std::process::id());
        let mut child = Command::new(&self.program)
            .arg("worker")
            .args(["--session", &session.to_string(), "--name", &name, "--until-stdin-closes"])
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Worker { name, child, _stdin: stdin, started: Instant::now() })
    }
}

impl Worker {
    /// Its name in the lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long ago it was started.
    pub fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(Ended { code: status.code(), status })
    }

    /// Returns when it has ended.
    pub async fn wait(&mut self) {
        // Only a process that is gone already cannot be waited for.
        let _ = self.child.wait().await;
    }

    /// SIGTERM: stop issuing, checkpoint, release, exit 75.
    pub fn ask_to_stop(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended in this very moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for it to stop, and kills it if it does not.
    pub async fn stop(&mut self) {
        if tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
