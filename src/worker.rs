//! The role `worker`: drives one session until it needs no worker. What a Job runs, and what the local launcher starts.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    clients::Services,
    config::WorkerArgs,
    engine::{self, EngineSettings},
    model::session::SessionId,
};

/// Drives the session; the exit code is law 10's: 0 no worker is needed now, 75 planned stop, else start again.
pub async fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    if args.until_stdin_closes {
        stop_when_stdin_closes(stop.clone())?;
    }
    let services = Services::new(&args.services.endpoints(&args.access), args.pcs.settings())
        .context("the services cannot be used as configured")?;
    let worker = args.name.unwrap_or_else(|| format!("worker-{}", std::process::id()));
    let settings =
        EngineSettings { database_url: args.database.database_url, worker, lease_time: args.lease_time };
    let session = SessionId(args.session);
    let exit = engine::drive::run(&settings, Arc::new(services), session, stop)
        .await
        .with_context(|| format!("session {session} was left to the next worker"))?;
    Ok(ExitCode::from(exit.code()))
}

fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// Our standard input is a pipe from the launcher: when it closes, the launcher is gone, and so are we. A thread, since
/// a read of it cannot be given up.
fn stop_when_stdin_closes(stop: CancellationToken) -> anyhow::Result<()> {
    let wait = move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stop.cancel();
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(wait)
        .context("cannot start the thread that waits for the launcher to go")?;
    Ok(())
}
