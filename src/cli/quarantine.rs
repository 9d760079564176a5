//! `bosun component quarantine`, `release`, `quarantined`: who is left out of sessions.

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListOutputArgs},
    selection,
};

/// `bosun component quarantine`
#[derive(Args, Debug, Clone)]
pub struct QuarantineArgs {
    /// The components, as in a limit
    #[arg(required = true, value_name = "LIMIT")]
    pub components: Vec<String>,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun component release`
#[derive(Args, Debug, Clone)]
pub struct ReleaseArgs {
    /// The components, as in a limit
    #[arg(required = true, value_name = "LIMIT")]
    pub components: Vec<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun component quarantined`
#[derive(Args, Debug, Clone)]
pub struct QuarantinedArgs {
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Leaves components out of sessions until they are released.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn quarantine(args: &QuarantineArgs) -> Result<Exit, CliError> {
    let body = json!({"components": chosen(&args.components)?, "reason": args.reason});
    told(Client::new(&args.client)?.post(&["quarantine"], &body).await?)
}

/// Releases components.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn release(args: &ReleaseArgs) -> Result<Exit, CliError> {
    let body = json!({"components": chosen(&args.components)?});
    told(Client::new(&args.client)?.post(&["quarantine", "release"], &body).await?)
}

/// Lists who is in quarantine.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn list(args: &QuarantinedArgs) -> Result<Exit, CliError> {
    let value: Value = Client::new(&args.client)?.get(&["quarantine"], &[]).await?;
    let lines = &Lines {
        columns: &[
            (Column::Text("COMPONENT"), "component"),
            (Column::Text("SINCE"), "since"),
            (Column::Text("ACTOR"), "actor"),
            (Column::Text("REASON"), "reason"),
        ],
        wide: &[(Column::Text("BY ITSELF"), "is_automatic")],
        name: "component",
    };
    output::list(&args.output, &value, lines)?;
    Ok(Exit::Done)
}

fn chosen(words: &[String]) -> Result<String, CliError> {
    selection::expand(&words.join(","))
}

fn told(answer: Value) -> Result<Exit, CliError> {
    output::write(&format!("{}\n", answer["message"].as_str().unwrap_or_default()))?;
    Ok(Exit::Done)
}
