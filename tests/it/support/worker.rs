//! Real worker processes.

use std::{process::Stdio, time::Duration};

use bosun::{
    config::{PcsArgs, ServiceArgs},
    model::session::SessionId,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::app::App;

/// How a worker process reaches the world.
pub struct Launch<'a> {
    pub name: &'a str,
    pub database_url: &'a str,
    pub services_url: &'a str,
    pub lease_time: Duration,
}

/// Starts one; it dies with us.
pub fn start(app: &App, session: SessionId, launch: &Launch<'_>) -> Child {
    let pcs = PcsArgs {
        pcs_sample_interval: app.settings.pcs_sample_interval,
        pcs_confirm_interval: app.settings.pcs_confirm_interval,
        pcs_minute: app.settings.pcs_minute,
    };
    Command::new(env!("CARGO_BIN_EXE_bosun"))
        .arg("worker")
        .args(["--session", &session.to_string(), "--name", launch.name])
        .env("DATABASE_URL", launch.database_url)
        .env("BOSUN_LEASE_TIME", format!("{}ms", launch.lease_time.as_millis()))
        .envs(ServiceArgs::of_machine(launch.services_url).environment())
        .envs(pcs.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Sends a signal to a process that has not been waited for.
pub fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap();
    kill_process(pid, signal).unwrap();
}
