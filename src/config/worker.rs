//! `bosun worker`.

use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use crate::clients::otlp::Collector;

use super::{
    serve::{DatabaseArgs, PatienceArgs},
    services::{AccessArgs, PcsArgs, ServiceArgs},
};

/// Who is told of traces.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// A collector of traces that speaks OTLP over HTTP, as in http://host:4318; without it there are none
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What the collector wants to see of us: name=value, separated by commas
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true,
        value_name = "HEADERS"
    )]
    pub otlp_headers: String,
    /// What we are called in traces
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "bosun", value_name = "NAME")]
    pub otlp_service: String,
}

impl TraceArgs {
    /// The collector, if there is one.
    pub fn collector(&self, role: &'static str) -> Option<Collector> {
        let endpoint = self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty())?;
        Some(Collector {
            endpoint,
            headers: self.otlp_headers.clone(),
            service: self.otlp_service.clone(),
            role,
        })
    }
}

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
    /// Who is told of traces
    #[command(flatten)]
    pub traces: TraceArgs,
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
