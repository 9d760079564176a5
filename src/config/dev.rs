//! The roles that bring a simulated machine: `bosun simulate`, `dev` and `demo`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgMatches, Args};
use humantime::parse_duration;

use super::notify::NotifyArgs;
use super::services::{AccessArgs, ServiceArgs};
use crate::{cli, sim};

/// `bosun simulate`
#[derive(Args, Debug, Clone)]
pub struct SimulateArgs {
    /// Where to listen; `ready http://…` on stdout says where it does
    #[arg(long, default_value = "127.0.0.1:8490", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The machine
    #[command(flatten)]
    pub machine: sim::Settings,
}

/// `bosun dev`
#[derive(Args, Debug, Clone)]
pub struct DevArgs {
    /// Where to listen; `ready http://…` on stdout says where it does
    #[arg(long, env = "BOSUN_LISTEN", default_value = "127.0.0.1:8480", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to tell Prometheus what is going on, at /metrics; without it nobody is told
    #[arg(long, env = "BOSUN_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Where the private database is kept; another run on the same directory goes on where this one ended
    #[arg(long, default_value = "bosun-data", value_name = "DIR")]
    pub data: PathBuf,
    /// An existing database instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A directory whose workflows replace or join the built-in ones
    #[arg(long, env = "BOSUN_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,
    /// How long a service may be down before the components that need it fail
    #[arg(
        long,
        env = "BOSUN_SERVICE_PATIENCE",
        default_value = "30m",
        value_parser = parse_duration,
        value_name = "TIME"
    )]
    pub service_patience: Duration,
    /// Who is told of sessions
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Real services; where one is given no machine is simulated
    #[command(flatten)]
    pub services: ServiceArgs,
    /// Keys and certificates
    #[command(flatten)]
    pub access: AccessArgs,
    /// The simulated machine
    #[command(flatten)]
    pub machine: sim::Settings,
}

/// `bosun demo`
#[derive(Args, Debug, Clone)]
pub struct DemoArgs {
    /// How many nodes the machine has
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub nodes: u32,
    /// What to do with them
    #[arg(long, default_value = "reboot")]
    pub operation: String,
    /// How many nodes take every order to switch off and stay on
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub fail_power_off: u32,
    /// How often the worker is killed in the middle of power-on
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub kill_worker: u32,
    /// Keep the machine, the API and the database running afterwards, until interrupted
    #[arg(long)]
    pub keep: bool,
    /// An existing database instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// How the session is printed at the end
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: cli::output::Format,
}

/// The simulator's flags as they were given to another role, for the simulator's own command line.
pub fn machine_arguments(matches: &ArgMatches) -> Vec<OsString> {
    let machine = <sim::Settings as Args>::augment_args(clap::Command::new("simulate"));
    let mut arguments = Vec::new();
    for argument in machine.get_arguments() {
        let (id, Some(long)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
        let given = matches!(
            matches.value_source(id),
            Some(clap::parser::ValueSource::CommandLine | clap::parser::ValueSource::EnvVariable)
        );
        if !given {
            continue;
        }
        if !argument.get_action().takes_values() {
            arguments.push(format!("--{long}").into());
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            let mut text = OsString::from(format!("--{long}="));
            text.push(value);
            arguments.push(text);
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::super::Cli;
    use super::*;

    #[test]
    fn the_simulators_flags_are_passed_on_as_given() {
        let matches = Cli::command().get_matches_from([
            "bosun",
            "dev",
            "--nodes",
            "12",
            "--no-reporter",
            "--fault=pcs::503",
            "--fault=bss::500",
        ]);
        assert!(Cli::from_arg_matches(&matches).is_ok());
        let given = machine_arguments(matches.subcommand_matches("dev").expect("dev was given"));
        assert_eq!(given, ["--nodes=12", "--no-reporter", "--fault=pcs::503", "--fault=bss::500"]);
    }
}
