//! `bosun session stuck`: what somebody should look at.

use clap::Args;
use serde_json::Value;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListOutputArgs},
};

/// `bosun session stuck`
#[derive(Args, Debug, Clone)]
pub struct StuckArgs {
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Lists them, with the next command.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(args: &StuckArgs) -> Result<Exit, CliError> {
    let value: Value = Client::new(&args.client)?.get(&["stuck"], &[]).await?;
    let lines = &Lines {
        columns: &[
            (Column::Text("SESSION"), "session"),
            (Column::Text("STATE"), "state"),
            (Column::Text("LAST EVENT"), "last_event_at"),
            (Column::Number("OVERDUE"), "overdue"),
            (Column::Text("IN STEP"), "overdue_step"),
            (Column::Text("REASON"), "reason"),
            (Column::Text("NEXT"), "next_command"),
        ],
        wide: &[(Column::Text("OPERATION"), "operation")],
        name: "session",
    };
    output::list(&args.output, &value, lines)?;
    Ok(Exit::Done)
}
