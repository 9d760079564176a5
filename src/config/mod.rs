//! Every flag and environment variable of the roles. A room above floor 0 may read its own arguments, nobody else's.

mod auth;
mod dev;
mod doctor;
mod notify;
mod serve;
mod services;
mod worker;

pub use auth::{AuthArgs, AuthMode};
pub use dev::{DemoArgs, DevArgs, SimulateArgs, machine_arguments};
pub use doctor::DoctorArgs;
pub use notify::NotifyArgs;
pub use serve::{DatabaseArgs, LauncherArgs, LauncherKind, MigrateArgs, PatienceArgs, ServeArgs};
pub use services::{AccessArgs, PcsArgs, ServiceArgs};
pub use worker::{TraceArgs, WorkerArgs};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli;

/// Boots, reboots, shuts down and configures the nodes of an HPC machine
#[derive(Parser, Debug)]
#[command(name = "bosun", version, max_term_width = 100)]
pub struct Cli {
    /// How to write the log (it goes to stderr)
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How the log is written.
#[derive(Args, Debug, Clone)]
pub struct LogArgs {
    /// What to log: a level, or levels by module as in `warn,bosun::engine=debug`
    #[arg(long, global = true, env = "BOSUN_LOG", value_name = "FILTER", help_heading = "Log")]
    pub log: Option<String>,
    /// The log's form
    #[arg(
        long,
        global = true,
        env = "BOSUN_LOG_FORMAT",
        value_enum,
        default_value = "human",
        help_heading = "Log"
    )]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// The same for programs that this one starts.
    pub fn environment(&self) -> Vec<(String, String)> {
        let filter = self.log.iter().map(|filter| ("BOSUN_LOG".to_owned(), filter.clone()));
        let form =
            (self.log_format == LogFormat::Json).then(|| ("BOSUN_LOG_FORMAT".to_owned(), "json".to_owned()));
        filter.chain(form).collect()
    }
}

/// The log's form.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `bosun completions`
#[derive(Args, Debug, Clone, Copy)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `bosun man`
#[derive(Args, Debug, Clone)]
pub struct ManArgs {
    /// Where to write them; made if it is missing
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The roles of the one binary, and the client commands.
#[derive(Subcommand, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per process")]
pub enum Command {
    /// Watch one session on a simulated machine, from nothing: database, services, API, workers
    Demo(DemoArgs),
    /// Run everything on this machine, against a simulated machine or real services
    Dev(DevArgs),
    /// Run the API, admission and the launcher of workers
    Serve(ServeArgs),
    /// Drive one session until it needs no worker (the launcher starts these)
    Worker(WorkerArgs),
    /// Bring the database's schema up to date
    Migrate(MigrateArgs),
    /// Look at database, services, rights and clocks, and say what to mend; changes nothing
    Doctor(DoctorArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write the manual pages, one for each command
    Man(ManArgs),
    /// Run a simulated machine: HSM, PCS, BSS, CFS, IMS, S3 and the nodes
    Simulate(SimulateArgs),
    /// Show what a session would do, and change nothing
    Plan(cli::plan::PlanArgs),
    /// Create, follow and command sessions
    #[command(subcommand)]
    Session(cli::session::SessionCommand),
    /// Keep session templates
    #[command(subcommand)]
    Template(cli::session_template::TemplateCommand),
    /// Look at components
    #[command(subcommand)]
    Component(cli::component::ComponentCommand),
    /// Take over what a running BOS v2 knows
    #[command(subcommand)]
    Import(cli::import::ImportCommand),
    /// Ask the database in SQL, as the role that may only read (opens psql)
    Sql(cli::sql::SqlArgs),
    /// Let no session begin anything: maintenance locks
    #[command(subcommand)]
    Freeze(cli::freeze::FreezeCommand),
    /// Look at and change bosun's own options
    #[command(subcommand)]
    Option(cli::options::OptionCommand),
    /// Command one step of a session
    #[command(subcommand)]
    Step(cli::step::StepCommand),
}

impl Command {
    /// The command that lists what this one may name.
    pub fn list(&self) -> Option<&'static str> {
        match self {
            Self::Session(_) | Self::Step(_) => Some("bosun session list"),
            Self::Template(_) | Self::Plan(_) => Some("bosun template list"),
            Self::Component(_) => Some("bosun component list"),
            Self::Freeze(_) => Some("bosun freeze show"),
            _ => None,
        }
    }

    /// What is logged where nothing else is asked for: roles tell what they do, client commands only what is wrong.
    pub fn log_default(&self) -> &'static str {
        match self {
            Self::Dev(_) | Self::Serve(_) | Self::Worker(_) | Self::Migrate(_) | Self::Simulate(_) => {
                "info,sqlx=error"
            }
            // The deaths it causes are told beside the bars, which a log would tear.
            Self::Demo(_) => "error",
            _ => "warn,sqlx=error",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
