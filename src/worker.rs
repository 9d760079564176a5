//! The role `worker`: drives one session until it needs no worker. What a Job runs, and what the local launcher starts.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    clients::{Services, otlp},
    config::WorkerArgs,
    db::{self, DbError, session::Session},
    engine::{self, EngineSettings, Exit},
    model::session::{Outcome, SessionId, SessionState},
    serve, telemetry,
};

/// Drives the session; the exit code is law 10's: 0 no worker is needed now, 75 planned stop, else start again.
pub async fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    if args.until_stdin_closes {
        stop_when_stdin_closes(stop.clone())?;
    }
    if let Some(collector) = args.traces.collector("worker") {
        otlp::start(&collector).context("traces cannot be told")?;
    }
    let url = args.database.database_url.clone();
    tokio::select! {
        () = stop.cancelled() => return Ok(ExitCode::from(Exit::Planned.code())),
        connected = serve::patiently(args.patience, || db::open(&url, "bosun worker")) => drop(connected?),
    }
    let services = Services::new(&args.services.endpoints(&args.access), args.pcs.settings())
        .context("the services cannot be used as configured")?;
    let worker = args.name.unwrap_or_else(|| format!("worker-{}", std::process::id()));
    let settings = EngineSettings {
        database_url: args.database.database_url,
        worker,
        lease_time: args.lease_time,
        heed: telemetry::heed,
    };
    let session = SessionId(args.session);
    let driven = engine::drive::run(&settings, Arc::new(services), session, stop).await;
    otlp::flush().await;
    let exit = driven.with_context(|| format!("session {session} was left to the next worker"))?;
    if exit == Exit::Done {
        // The session is as it should be, whether it can be told or not.
        match look(&url, session).await {
            Ok(session) => last_words(&session).iter().for_each(|line| tracing::info!("{line}")),
            Err(error) => tracing::warn!(%session, %error, "how the session ended cannot be told"),
        }
    }
    Ok(ExitCode::from(exit.code()))
}

async fn look(url: &str, session: SessionId) -> Result<Session, DbError> {
    let mut connection = db::open(url, "bosun worker").await?;
    db::session::get_by_id(&mut connection, &session).await
}

/// How the session stands, and what to type next; the command that retries what failed is the last line, alone.
fn last_words(session: &Session) -> Vec<String> {
    let name = &session.new.name;
    let end = session.outcome.map_or(session.state.label(), Outcome::label).replace('_', " ");
    let mut headline = format!("session {name} ({}, no. {}): {end}", session.new.operation, session.id);
    if let Some(seconds) =
        session.started_at.zip(session.ended_at).map(|(from, to)| (to - from).num_seconds())
    {
        headline.push_str(&format!(" after {seconds} s"));
    }
    let mut lines = vec![headline];
    if session.state == SessionState::Ended {
        let (succeeded, failed) = (session.succeeded, session.failed);
        let skipped = session.skipped + session.skipped_at_admission;
        lines.push(format!("{succeeded} succeeded, {failed} failed, {skipped} skipped"));
    }
    if let Some(reason) = session.error.as_ref().or(session.reason.as_ref()) {
        lines.push(format!("reason: {reason}"));
    }
    if session.state.waits_for_operator() {
        lines.push(format!("to end it: bosun session cancel {name}; to go on:"));
        lines.push(format!("bosun session resume {name}"));
    } else if let Some(command) = &session.retry_command {
        lines.push(format!(
            "to retry what failed in the same session: bosun session retry {name}; in a new one:"
        ));
        lines.push(command.clone());
    }
    lines
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::db::session::{Api, NewSession};

    use super::*;

    fn session(state: SessionState, outcome: Option<Outcome>) -> Session {
        let at = |text: &str| text.parse().expect("a time");
        Session {
            id: SessionId(7),
            new: NewSession {
                name: "first".parse().expect("a name"),
                tenant: String::new(),
                operation: "reboot".to_owned(),
                template_name: "demo".to_owned(),
                api: Api::Bosun,
                limit: String::new(),
                include_disabled: false,
                stage: false,
                request: json!({}),
                actor: String::new(),
            },
            state,
            reason: None,
            outcome,
            error: None,
            members: 9,
            skipped_at_admission: 1,
            succeeded: 5,
            failed: 2,
            skipped: 1,
            retry_command: None,
            plan_hash: None,
            created_at: at("2026-11-22T14:00:00Z"),
            admitted_at: None,
            started_at: Some(at("2026-11-22T14:00:00Z")),
            ended_at: outcome.map(|_| at("2026-11-22T14:01:30Z")),
            now: at("2026-11-22T14:02:00Z"),
        }
    }

    #[test]
    fn the_retry_command_is_the_last_line() {
        let command = "bosun session create --template demo --operation reboot --limit x1,x2";
        let mut partial = session(SessionState::Ended, Some(Outcome::Partial));
        partial.retry_command = Some(command.to_owned());
        let lines = last_words(&partial);
        assert_eq!(lines[0], "session first (reboot, no. 7): partial after 90 s");
        assert_eq!(lines[1], "5 succeeded, 2 failed, 2 skipped");
        assert_eq!((lines.len(), lines[3].as_str()), (4, command));
    }

    #[test]
    fn one_that_waits_for_an_operator_says_what_to_type() {
        let mut stuck = session(SessionState::Stuck, None);
        stuck.reason = Some("lost".to_owned());
        let lines = last_words(&stuck);
        assert_eq!(lines[..2], ["session first (reboot, no. 7): stuck", "reason: lost"]);
        assert_eq!(lines.last().map(String::as_str), Some("bosun session resume first"));
        assert_eq!(last_words(&session(SessionState::Ended, Some(Outcome::Succeeded))).len(), 2);
    }
}
