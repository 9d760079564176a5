//! `bosun session …`: create, follow and command sessions.

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, Subcommand};
use humantime::parse_duration;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    confirm,
    event::{self, EventsArgs},
    follow::{self, Followed},
    listing::{self, ListingArgs, ResultsArgs},
    output::{self, Column, Format, Lines, ListFormat, ListOutputArgs, OutputArgs},
    plan::{self, RequestArgs},
    progress::Progress,
    selection, stuck, summary,
    view::SessionView,
};
use crate::model::{gate::Share, xname::pattern};

/// `bosun session …`
#[derive(Subcommand, Debug, Clone)]
pub enum SessionCommand {
    /// Create a session: members, artifacts and conflicts are checked before anything is touched
    Create(Box<CreateArgs>),
    /// List sessions, newest first
    List(ListArgs),
    /// Show a session: its counts, steps and errors
    Show(ShowArgs),
    /// Show what somebody should look at, and what to look at next
    Stuck(stuck::StuckArgs),
    /// Follow a session on this terminal
    Watch(NamedArgs),
    /// Wait for a session's end; the exit code tells how it ended
    Wait(WaitArgs),
    /// Show a session's steps
    Steps(ListingArgs),
    /// Show a session's narrative
    Events(EventsArgs),
    /// Show what became of components in steps
    Results(ResultsArgs),
    /// Show who was left out, and why
    Skips(ListingArgs),
    /// Show the calls that changed the world
    Effects(ListingArgs),
    /// Send the components that failed back to work, from the step that failed
    Retry(RetryArgs),
    /// Leave components out: they go no further
    Skip(SkipArgs),
    /// Bring a session to a defined end: no node is left switched off halfway
    Cancel(CancelArgs),
    /// Let no further component past its gate
    Pause(CommandArgs),
    /// Let components pass again; what failed so far does not halt it any more
    Resume(ResumeArgs),
    /// Change thresholds, timeouts and limits of a session that has not ended
    Set(SetArgs),
    /// Let the next wave pass
    Approve(CommandArgs),
}

/// `bosun session create`
#[derive(Args, Debug, Clone)]
pub struct CreateArgs {
    /// What is to be done
    #[command(flatten)]
    pub request: RequestArgs,
    /// The session's name; one is made up where none is given
    #[arg(long)]
    pub name: Option<String>,
    /// Show what it would do, as `bosun plan`, and change nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Run exactly the plan that was shown with this hash, or nothing
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
    /// However many nodes it is for: do not ask (option confirm_over)
    #[arg(long)]
    pub yes: bool,
    /// Wait for its end; the exit code tells how it ended
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, requires = "wait", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How the session is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session list`
#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    /// Only sessions in this state
    #[arg(long)]
    pub state: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max: u32,
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session show`
#[derive(Args, Debug, Clone)]
pub struct ShowArgs {
    /// The session
    pub name: String,
    /// Name every component that failed, however many they are
    #[arg(long)]
    pub full: bool,
    /// How the session is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A session, and nothing else.
#[derive(Args, Debug, Clone)]
pub struct NamedArgs {
    /// The session
    pub name: String,
    /// How the result is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session wait`
#[derive(Args, Debug, Clone)]
pub struct WaitArgs {
    /// The session
    pub name: String,
    /// How long to wait at most; the session then goes on
    #[arg(long, value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How the session is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A command for a session, with a reason for the history.
#[derive(Args, Debug, Clone)]
pub struct CommandArgs {
    /// The session
    pub name: String,
    /// Why, for the history
    #[arg(long)]
    pub reason: Option<String>,
    /// The client's own name for this command: given twice, it is one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session cancel`
#[derive(Args, Debug, Clone)]
pub struct CancelArgs {
    /// The session
    #[command(flatten)]
    pub of: CommandArgs,
    /// Bring nothing back: what is switched off stays off; transitions are aborted. The end of the session names whom it
    /// leaves off, and the command that boots them
    #[arg(long)]
    pub now: bool,
}

/// `bosun session set`
#[derive(Args, Debug, Clone)]
pub struct SetArgs {
    /// The session
    #[command(flatten)]
    pub of: CommandArgs,
    /// How many of a boot set must be well before what waits for it begins, as in compute=90%; without a boot set, how many
    /// of a wave
    #[arg(long, value_name = "[BOOT_SET=]PERCENT", value_parser = threshold)]
    pub threshold: Vec<(Option<String>, u8)>,
    /// Halt as soon as N nodes have failed, or N% of a wave
    #[arg(long, value_name = "N|N%")]
    pub halt_on_failures: Option<Share>,
    /// How long a component may be in a step, as in await_boot=30m (of every boot set) or compute/await_boot=30m
    #[arg(long, value_name = "STEP=TIME", value_parser = timeout)]
    pub timeout: Vec<(String, String)>,
    /// How many nodes may be out of service at once from now on: N, or N%
    #[arg(long, value_name = "N|N%")]
    pub max_unavailable: Option<Share>,
    /// Begin nothing more after then: a moment (2026-03-01T02:00:00Z) or a time from now (90m)
    #[arg(long, value_name = "WHEN")]
    pub not_after: Option<String>,
}

fn threshold(text: &str) -> Result<(Option<String>, u8), String> {
    let (name, percent) = text.split_once('=').map_or((None, text), |(name, rest)| (Some(name), rest));
    let number = percent.strip_suffix('%').unwrap_or(percent).trim().parse().ok();
    let percent = number.filter(|percent| *percent <= 100).ok_or("a share is between 0% and 100%")?;
    Ok((name.map(str::to_owned), percent))
}

fn timeout(text: &str) -> Result<(String, String), String> {
    let (name, time) = text.split_once('=').ok_or("write STEP=TIME, as in await_boot=30m")?;
    parse_duration(time).map_err(|error| format!("{error}; write something like 90s or 30m"))?;
    Ok((name.to_owned(), time.to_owned()))
}

/// `bosun session retry`
#[derive(Args, Debug, Clone)]
pub struct RetryArgs {
    /// The session
    pub name: String,
    /// Only these of those that failed, as in a limit
    #[arg(long, value_name = "LIMIT")]
    pub components: Option<String>,
    /// From this step, instead of where the step that failed sends them back to
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    /// Why, for the history
    #[arg(long)]
    pub reason: Option<String>,
    /// The client's own name for this command: given twice, it is one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session skip`
#[derive(Args, Debug, Clone)]
pub struct SkipArgs {
    /// The session
    pub name: String,
    /// These components, as in a limit
    #[arg(long, value_name = "LIMIT")]
    pub components: String,
    /// Why, for the history
    #[arg(long)]
    pub reason: Option<String>,
    /// The client's own name for this command: given twice, it is one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session resume`
#[derive(Args, Debug, Clone)]
pub struct ResumeArgs {
    /// The session
    #[arg(required_unless_present = "all")]
    pub name: Option<String>,
    /// Everything that was parked because the database may be a restored or copied one
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Why, for the history
    #[arg(long)]
    pub reason: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun session …`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(command: &SessionCommand) -> Result<Exit, CliError> {
    match command {
        SessionCommand::Create(args) => create(args).await,
        SessionCommand::List(args) => list(args).await,
        SessionCommand::Show(args) => show(args).await,
        SessionCommand::Stuck(args) => stuck::run(args).await,
        SessionCommand::Watch(args) => {
            let client = Client::new(&args.client)?;
            let followed = follow::follow(&client, &args.name, None, &mut Progress::for_stderr()).await?;
            end(&followed, args.output.output)
        }
        SessionCommand::Wait(args) => {
            let client = Client::new(&args.client)?;
            let followed =
                follow::follow(&client, &args.name, args.timeout, &mut Progress::for_stderr()).await?;
            end(&followed, args.output.output)
        }
        SessionCommand::Steps(args) => {
            let value: Value =
                Client::new(&args.client)?.get(&["sessions", &args.name, "steps"], &[]).await?;
            let steps = read::<Vec<_>>(&value)?;
            match args.output.output {
                ListFormat::Table | ListFormat::Wide => {
                    output::write(&output::headed(&args.output, summary::steps(&steps)))?;
                }
                _ => output::list(&args.output, &value, &Lines { columns: &[], wide: &[], name: "name" })?,
            }
            Ok(Exit::Done)
        }
        SessionCommand::Events(args) => event::run(args).await,
        SessionCommand::Results(args) => listing::results(args).await,
        SessionCommand::Skips(args) => listing::skips(args).await,
        SessionCommand::Effects(args) => listing::effects(args).await,
        SessionCommand::Retry(args) => {
            let mut body = plain("retry", args.reason.as_ref());
            body["components"] = json!(chosen(args.components.as_ref())?);
            body["from"] = json!(args.from);
            body["id"] = json!(args.id);
            order(&Client::new(&args.client)?, &args.name, &body).await
        }
        SessionCommand::Skip(args) => {
            let mut body = plain("skip", args.reason.as_ref());
            body["components"] = json!(chosen(Some(&args.components))?);
            body["id"] = json!(args.id);
            order(&Client::new(&args.client)?, &args.name, &body).await
        }
        SessionCommand::Cancel(args) => {
            let mut body = plain("cancel", args.of.reason.as_ref());
            body["now"] = json!(args.now);
            give(&args.of, body).await
        }
        SessionCommand::Set(args) => {
            let mut body = plain("set", args.of.reason.as_ref());
            let boot_set = |(name, percent): &(Option<String>, u8)| Some((name.clone()?, *percent));
            let wave = args.threshold.iter().find(|(name, _)| name.is_none());
            body["thresholds"] =
                json!(args.threshold.iter().filter_map(boot_set).collect::<BTreeMap<_, _>>());
            body["wave_threshold"] = json!(wave.map(|(_, percent)| percent));
            body["halt_on_failures"] = json!(args.halt_on_failures);
            body["timeouts"] = json!(args.timeout.iter().cloned().collect::<BTreeMap<_, _>>());
            body["max_unavailable"] = json!(args.max_unavailable);
            body["not_after"] = json!(args.not_after);
            give(&args.of, body).await
        }
        SessionCommand::Pause(args) => simple(args, "pause").await,
        SessionCommand::Resume(args) => resume(args).await,
        SessionCommand::Approve(args) => simple(args, "approve").await,
    }
}

async fn create(args: &CreateArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let mut body = args.request.body()?;
    if let Some(name) = &args.name {
        body["name"] = json!(name);
    }
    if args.dry_run {
        return plan::show(&client, &body, args.output.output).await;
    }
    if let Some(plan_hash) = &args.plan_hash {
        body["plan_hash"] = json!(plan_hash);
    }
    if args.yes {
        body["confirmed"] = json!(true);
    }
    let value = confirm::post(&client, &["sessions"], &mut body).await?;
    let view: SessionView = read(&value)?;
    if !args.wait {
        output::print(args.output.output, &value, || {
            format!("session {} created: {}\n", view.name, summary::counts(&view))
        })?;
        return Ok(Exit::Done);
    }
    let mut progress = Progress::for_stderr();
    progress.note(&format!("session {} created: {}", view.name, summary::counts(&view)));
    let followed = follow::follow(&client, &view.name, args.timeout, &mut progress).await?;
    end(&followed, args.output.output)
}

async fn list(args: &ListArgs) -> Result<Exit, CliError> {
    let max = args.max.to_string();
    let mut query = vec![("max", max.as_str())];
    if let Some(state) = &args.state {
        query.push(("state", state));
    }
    let value: Value = Client::new(&args.client)?.get(&["sessions"], &query).await?;
    let lines = &Lines {
        columns: &[
            (Column::Text("NAME"), "name"),
            (Column::Text("OPERATION"), "operation"),
            (Column::Text("TEMPLATE"), "template"),
            (Column::Text("STATE"), "state"),
            (Column::Text("OUTCOME"), "outcome"),
            (Column::Number("TARGETED"), "targeted"),
            (Column::Number("SUCCEEDED"), "succeeded"),
            (Column::Number("FAILED"), "failed"),
            (Column::Number("SKIPPED"), "skipped"),
            (Column::Text("CREATED"), "created_at"),
        ],
        wide: &[
            (Column::Number("ID"), "id"),
            (Column::Text("TENANT"), "tenant"),
            (Column::Text("ACTOR"), "actor"),
            (Column::Text("ENDED"), "ended_at"),
            (Column::Text("REASON"), "reason"),
        ],
        name: "name",
    };
    output::list(&args.output, &value, lines)?;
    Ok(Exit::Done)
}

async fn show(args: &ShowArgs) -> Result<Exit, CliError> {
    let query: &[_] = if args.full { &[("full", "true")] } else { &[] };
    let value: Value = Client::new(&args.client)?.get(&["sessions", &args.name], query).await?;
    let view: SessionView = read(&value)?;
    output::print(args.output.output, &value, || summary::session(&view))?;
    Ok(Exit::Done)
}

async fn simple(args: &CommandArgs, kind: &str) -> Result<Exit, CliError> {
    give(args, plain(kind, args.reason.as_ref())).await
}

async fn give(args: &CommandArgs, mut body: Value) -> Result<Exit, CliError> {
    body["id"] = json!(args.id);
    order(&Client::new(&args.client)?, &args.name, &body).await
}

async fn resume(args: &ResumeArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let Some(name) = &args.name else {
        let answer: Value = client.post(&["resume"], &json!({})).await?;
        output::write(&format!("{}\n", answer["message"].as_str().unwrap_or_default()))?;
        return Ok(Exit::Done);
    };
    order(&client, name, &plain("resume", args.reason.as_ref())).await
}

fn plain(kind: &str, reason: Option<&String>) -> Value {
    match reason {
        Some(reason) => json!({"kind": kind, "reason": reason}),
        None => json!({"kind": kind}),
    }
}

/// Components as a command's body names them.
///
/// # Errors
/// When a file with components cannot be read.
pub fn chosen(selection: Option<&String>) -> Result<Vec<String>, CliError> {
    let Some(selection) = selection else { return Ok(Vec::new()) };
    let expanded = selection::expand(selection)?;
    Ok(pattern::split_list(&expanded).map(str::to_owned).collect())
}

/// Leaves a command for a session's writer.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn order(client: &Client, name: &str, body: &Value) -> Result<Exit, CliError> {
    let answer: Value = client.post(&["sessions", name, "commands"], body).await?;
    let kind = body["kind"].as_str().unwrap_or_default();
    let text =
        answer["message"].as_str().map_or_else(|| format!("{kind} asked of session {name}"), str::to_owned);
    output::write(&format!("{text}\n"))?;
    Ok(Exit::Done)
}

/// Prints a session at its end; the retry command is the last line.
fn end(followed: &Followed, format: Format) -> Result<Exit, CliError> {
    output::print(format, &followed.value, || summary::session(&followed.view))?;
    if followed.exit == Exit::TimedOut {
        Progress::Silent.note(&format!("the time to wait is over; session {} goes on", followed.view.name));
    }
    Ok(followed.exit)
}

/// Reads what the commands need of an answer.
pub(super) fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value)
        .map_err(|error| CliError::Unreadable { url: "bosun".to_owned(), cause: error.to_string() })
}
