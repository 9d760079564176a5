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
    Restart(RestartArgs),
    /// Leave components out from a step on: they go no further
    Skip(StepArgs),
    /// Count components as through a step, without doing anything; also those that failed in it
    Pass(PassArgs),
}

/// `bosun step restart`
#[derive(Args, Debug, Clone)]
pub struct RestartArgs {
    /// The step, and whom
    #[command(flatten)]
    pub of: StepArgs,
    /// All that failed in it, which is also what is meant where no components are named
    #[arg(long, conflicts_with = "components")]
    pub failed: bool,
}

/// `bosun step pass`
#[derive(Args, Debug, Clone)]
pub struct PassArgs {
    /// The session
    pub session: String,
    /// The step: compute/await_boot, or await_boot for every boot set
    pub step: String,
    /// These components, as in a limit
    #[arg(long, value_name = "LIMIT")]
    pub components: String,
    /// Why, for the history
    #[arg(long)]
    pub reason: String,
    /// The client's own name for this command: given twice, it is one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
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
    /// The client's own name for this command: given twice, it is one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
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
        StepCommand::Restart(args) => ("restart", &args.of),
        StepCommand::Skip(args) => ("skip", args),
        StepCommand::Pass(args) => {
            let components = chosen(Some(&args.components))?;
            let body = json!({
                "kind": "pass", "step": args.step, "components": components, "reason": args.reason, "id": args.id,
            });
            return order(&Client::new(&args.client)?, &args.session, &body).await;
        }
    };
    let components = chosen(args.components.as_ref())?;
    let body = json!({
        "kind": kind, "step": args.step, "components": components, "reason": args.reason, "id": args.id,
    });
    order(&Client::new(&args.client)?, &args.session, &body).await
}
