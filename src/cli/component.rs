//! `bosun component …`: look at components.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    listing,
    output::{self, Column, Lines, ListFormat, ListOutputArgs, OutputArgs},
    quarantine, selection,
};

/// `bosun component …`
#[derive(Subcommand, Debug, Clone)]
pub enum ComponentCommand {
    /// List components
    List(ListArgs),
    /// Show a component
    Show(ShowArgs),
    /// Show which session holds which component
    Claims(ClaimsArgs),
    /// Show what sessions did with a component, newest first
    History(HistoryArgs),
    /// Leave components out of sessions until they are released
    Quarantine(quarantine::QuarantineArgs),
    /// Release components from quarantine
    Release(quarantine::ReleaseArgs),
    /// List components in quarantine
    Quarantined(quarantine::QuarantinedArgs),
}

/// `bosun component list`
#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    /// Only these components, as in the limit of a session; also from a file (a word with a `/`) or stdin (`-`)
    #[arg(long, value_name = "LIMIT")]
    pub limit: Option<String>,
    /// Only components of this session
    #[arg(long)]
    pub session: Option<String>,
    /// Only components with this status, as in BOS
    #[arg(long)]
    pub status: Option<String>,
    /// Only components in this phase
    #[arg(long, value_parser = ["powering_off", "powering_on", "configuring"])]
    pub phase: Option<String>,
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun component show`
#[derive(Args, Debug, Clone)]
pub struct ShowArgs {
    /// The component
    pub name: String,
    /// How the component is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun component claims`
#[derive(Args, Debug, Clone)]
pub struct ClaimsArgs {
    /// Only what this session holds
    #[arg(long)]
    pub session: Option<String>,
    /// Only what another session waits for
    #[arg(long)]
    pub wanted: bool,
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun component history`
#[derive(Args, Debug, Clone)]
pub struct HistoryArgs {
    /// The component
    pub name: String,
    /// At most so many sessions
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub max: u32,
    /// How the history is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun component …`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(command: &ComponentCommand) -> Result<Exit, CliError> {
    match command {
        ComponentCommand::Quarantine(args) => return quarantine::quarantine(args).await,
        ComponentCommand::Release(args) => return quarantine::release(args).await,
        ComponentCommand::Quarantined(args) => return quarantine::list(args).await,
        ComponentCommand::List(args) => {
            let limit = args.limit.as_deref().map(selection::expand).transpose()?;
            let filters = [
                ("limit", &limit),
                ("session", &args.session),
                ("status", &args.status),
                ("phase", &args.phase),
            ];
            let query: Vec<_> =
                filters.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
            let value: Value = Client::new(&args.client)?.get(&["components"], &query).await?;
            let lines = &Lines {
                columns: &[
                    (Column::Text("NAME"), "name"),
                    (Column::Text("STATUS"), "status"),
                    (Column::Text("PHASE"), "phase"),
                    (Column::Text("ENABLED"), "enabled"),
                    (Column::Text("SESSION"), "session"),
                    (Column::Text("LAST ACTION"), "last_action"),
                    (Column::Text("ERROR"), "error"),
                ],
                wide: &[
                    (Column::Text("CLAIMED BY"), "claimed_by"),
                    (Column::Text("WANTED BY"), "wanted_by"),
                    (Column::Text("UPDATED"), "updated_at"),
                ],
                name: "name",
            };
            output::list(&args.output, &value, lines)?;
        }
        ComponentCommand::Show(args) => {
            let value: Value = Client::new(&args.client)?.get(&["components", &args.name], &[]).await?;
            output::print(args.output.output, &value, || output::yaml(&value))?;
        }
        ComponentCommand::Claims(args) => {
            let client = Client::new(&args.client)?;
            let mut filters: Vec<_> =
                args.session.as_deref().map(|session| ("session", session)).into_iter().collect();
            if args.wanted {
                filters.push(("wanted", "true"));
            }
            let value = listing::claims(&client, &filters).await?;
            let lines = &Lines {
                columns: &[
                    (Column::Text("COMPONENT"), "component"),
                    (Column::Text("SESSION"), "session"),
                    (Column::Text("STATE"), "state"),
                    (Column::Text("PHASE"), "phase"),
                    (Column::Text("WANTED BY"), "wanted_by"),
                ],
                wide: &[],
                name: "component",
            };
            output::list(&args.output, &value, lines)?;
        }
        ComponentCommand::History(args) => {
            let max = args.max.to_string();
            let path = ["components", &args.name, "history"];
            let value: Value = Client::new(&args.client)?.get(&path, &[("max", max.as_str())]).await?;
            let lines = &Lines {
                columns: &[
                    (Column::Text("AT"), "at"),
                    (Column::Text("SESSION"), "session"),
                    (Column::Text("OPERATION"), "operation"),
                    (Column::Text("STEP"), "step"),
                    (Column::Number("RUN"), "run"),
                    (Column::Text("OUTCOME"), "outcome"),
                    (Column::Number("ATTEMPTS"), "attempts"),
                    (Column::Text("TEMPLATE"), "template"),
                    (Column::Text("IMAGE"), "image"),
                    (Column::Text("REASON"), "reason"),
                    (Column::Text("ERROR"), "error"),
                ],
                wide: &[],
                name: "session",
            };
            let shown = match args.output.output {
                ListFormat::Table | ListFormat::Wide => with_versions(&value),
                _ => value,
            };
            output::list(&args.output, &shown, lines)?;
        }
    }
    Ok(Exit::Done)
}

/// Templates as `name@version`.
fn with_versions(lines: &Value) -> Value {
    let mut lines = lines.clone();
    for line in lines.as_array_mut().into_iter().flatten() {
        if let (Some(name), Some(version)) = (line["template"].as_str(), line["template_version"].as_i64()) {
            line["template"] = Value::from(format!("{name}@{version}"));
        }
    }
    lines
}
