//! Following a session to its end, or until it waits for somebody.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CliError, Exit, client::Client, progress::Progress, view::SessionView};

/// How often a session is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// How long a server that restarts is waited for.
const SERVER_PATIENCE: Duration = Duration::from_secs(120);

/// Where following ended.
#[derive(Debug)]
pub struct Followed {
    /// The session as it was last seen.
    pub view: SessionView,
    /// The same, whole, as the API told it.
    pub value: Value,
    /// How the command ends.
    pub exit: Exit,
}

/// Follows a session until it ends, waits for an operator, or `timeout` is over (the session then goes on).
///
/// # Errors
/// When the session cannot be read, or the server stays away too long.
pub async fn follow(
    client: &Client,
    name: &str,
    timeout: Option<Duration>,
    progress: &mut Progress,
) -> Result<Followed, CliError> {
    let start = Instant::now();
    let mut away_since = None;
    loop {
        let exit = match look(client, name, true).await {
            Ok((view, _)) => {
                if away_since.take().is_some() {
                    progress.note("bosun answers again");
                }
                progress.show(&view);
                Exit::of_session(view.state, view.outcome)
            }
            Err(error) if error.is_transient() => {
                let since = *away_since.get_or_insert_with(|| {
                    progress.note(&format!("{error}; still trying"));
                    Instant::now()
                });
                if since.elapsed() > SERVER_PATIENCE {
                    return Err(error);
                }
                None
            }
            Err(error) => return Err(error),
        };
        let late = timeout.is_some_and(|timeout| start.elapsed() >= timeout);
        if let Some(exit) = exit.or(late.then_some(Exit::TimedOut)) {
            progress.finish();
            let (view, value) = look(client, name, false).await?;
            return Ok(Followed { view, value, exit });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Looks at a session once; `brief` leaves out who failed why.
async fn look(client: &Client, name: &str, brief: bool) -> Result<(SessionView, Value), CliError> {
    let query: &[_] = if brief { &[("brief", "true")] } else { &[] };
    let value: Value = client.get(&["sessions", name], query).await?;
    let view = serde_json::from_value(value.clone())
        .map_err(|error| CliError::Unreadable { url: format!("session {name}"), cause: error.to_string() })?;
    Ok((view, value))
}
