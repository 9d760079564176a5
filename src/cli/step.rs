//! `bosun step …`: command one step of a session.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    session::{chosen, order},
};

/// `bosun step …`
#[derive(Subcommand, Debug, Clone)]
pub enum StepCommand {
    /// Let components that failed in a step start it again
    Restart(StepArgs),
    /// Leave components out from a step on: they go no further
    Skip(StepArgs),
}

/// A step of a session.
#[derive(Args, Debug, Clone)]
pub struct StepArgs {
    /// The session
    pub session: String,
    /// The step: compute/power_off, or power_off for every boot set
    pub step: String,
    /// Only these components, as in a limit; all that the command can mean where none is given
    #[arg(long, value_name = "LIMIT")]
    pub components: Option<String>,
    /// Why, for the history
    #[arg(long)]
    pub reason: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun step …`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(command: &StepCommand) -> Result<Exit, CliError> {
    let (kind, args) = match command {
        StepCommand::Restart(args) => ("restart", args),
        StepCommand::Skip(args) => ("skip", args),
    };
    let mut body = json!({"kind": kind, "step": args.step, "components": chosen(args.components.as_ref())?});
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    order(&Client::new(&args.client)?, &args.session, &body).await
}
