//! Kills the worker in the middle of power-on, as a node that dies under a Job would.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    cli::{
        client::Client,
        view::{SessionView, StepView},
    },
    db,
    model::session::SessionId,
};

/// How often the session is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Kills the session's worker so many times, each time another one, and says so. Ends when it is done.
pub async fn kill(
    pool: db::Pool,
    client: Client,
    session: SessionView,
    times: u32,
    said: UnboundedSender<String>,
) {
    let mut killed = Vec::new();
    while killed.len() < times as usize {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let steps: Result<Vec<StepView>, _> = client.get(&["sessions", &session.name, "steps"], &[]).await;
        let Some(step) = steps.ok().and_then(|steps| steps.into_iter().find(is_half_way)) else { continue };
        let Some(worker) = worker(&pool, SessionId(session.id)).await else { continue };
        if killed.contains(&worker) {
            continue;
        }
        let Some(pid) = process(&worker) else { continue };
        if kill_process(pid, Signal::KILL).is_ok() {
            // Nobody listens any more when the session is over.
            let _ = said.send(format!(
                "killed worker {worker} (process {}) while {} was through {} of {}",
                pid.as_raw_nonzero(),
                step.name,
                step.succeeded,
                step.targeted
            ));
            killed.push(worker);
        }
    }
}

/// Its nodes have been ordered on, and some are not there yet. Where few nodes come up at one moment there is no later one.
fn is_half_way(step: &StepView) -> bool {
    step.verb == "power_on" && step.attempts > 0 && step.in_flight > 0
}

async fn worker(pool: &db::Pool, session: SessionId) -> Option<String> {
    let mut conn = db::acquire(pool).await.ok()?;
    db::lease::get(&mut conn, &session).await.ok()??.worker
}

/// The worker's process: its name is on its command line.
fn process(worker: &str) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let number = numbers.find(|number| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == worker.as_bytes())
    })?;
    Pid::from_raw(number)
}
