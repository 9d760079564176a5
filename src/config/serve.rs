//! `bosun serve`, and the database that it shares with other roles.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use humantime::parse_duration;

use super::services::{AccessArgs, PcsArgs, ServiceArgs};

/// Where the database is.
#[derive(Args, Debug, Clone)]
pub struct DatabaseArgs {
    /// The database, as in postgres://user@host/bosun
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// `bosun serve`
#[derive(Args, Debug, Clone)]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, env = "BOSUN_LISTEN", default_value = "0.0.0.0:9000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// A directory whose workflows replace or join the built-in ones
    #[arg(long, env = "BOSUN_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,
    /// Most workers at once
    #[arg(long, env = "BOSUN_MAX_RUNNING_SESSIONS", default_value_t = 50, value_name = "N")]
    pub max_running_sessions: usize,
    /// How long a service may be down before the components that need it fail
    #[arg(
        long,
        env = "BOSUN_SERVICE_PATIENCE",
        default_value = "30m",
        value_parser = parse_duration,
        value_name = "TIME"
    )]
    pub service_patience: Duration,
    /// How long it is believed which nodes are a tenant's
    #[arg(
        long,
        env = "BOSUN_TENANT_CACHE_TIME",
        default_value = "10s",
        value_parser = parse_duration,
        value_name = "TIME"
    )]
    pub tenant_cache_time: Duration,
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
