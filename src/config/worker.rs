//! `bosun worker`.

use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use super::{
    serve::{DatabaseArgs, PatienceArgs},
    services::{AccessArgs, PcsArgs, ServiceArgs},
};

/// `bosun worker`
#[derive(Args, Debug, Clone)]
pub struct WorkerArgs {
    /// The session's number
    #[arg(long, value_name = "ID")]
    pub session: i64,
    /// The worker's name in the lease; unique per launch
    #[arg(long, env = "BOSUN_WORKER_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// How long the lease lives without a heartbeat
    #[arg(long, env = "BOSUN_LEASE_TIME", default_value = "30s", value_parser = parse_duration)]
    pub lease_time: Duration,
    /// Stop as on SIGTERM when the standard input closes: whoever started this is gone
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How long to wait for it
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// The services
    #[command(flatten)]
    pub services: ServiceArgs,
    /// Keys and certificates
    #[command(flatten)]
    pub access: AccessArgs,
    /// How PCS is set up
    #[command(flatten)]
    pub pcs: PcsArgs,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn a_worker_is_told_what_we_know() {
        let matches = Cli::command().get_matches_from([
            "bosun",
            "worker",
            "--session",
            "1",
            "--database-url",
            "postgres://",
            "--pcs-sample-interval",
            "500ms",
        ]);
        let Command::Worker(args) = Cli::from_arg_matches(&matches).expect("the line parses").command else {
            panic!("it is a worker's line")
        };
        assert_eq!(args.pcs.environment()[0].1, "500ms");
        assert_eq!(args.pcs.settings().power_staleness(), Duration::from_millis(15_500));
    }
}
