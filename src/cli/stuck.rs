//! `bosun session stuck`: what somebody should look at.

use clap::Args;
use serde_json::Value;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, OutputArgs},
};

/// `bosun session stuck`
#[derive(Args, Debug, Clone)]
pub struct StuckArgs {
    /// How the list is printed
    #[command(flatten)]
    pub output: OutputArgs,
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
    let columns = [
        Column::Text("SESSION"),
        Column::Text("STATE"),
        Column::Text("LAST EVENT"),
        Column::Number("OVERDUE"),
        Column::Text("IN STEP"),
        Column::Text("REASON"),
        Column::Text("NEXT"),
    ];
    let keys = ["session", "state", "last_event_at", "overdue", "overdue_step", "reason", "next_command"];
    output::print(args.output.output, &value, || output::table(&columns, output::rows(&value, &keys)))?;
    Ok(Exit::Done)
}
