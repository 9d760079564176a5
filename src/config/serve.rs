//! `bosun serve`, and the database that it shares with other roles.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use humantime::parse_duration;

use super::auth::AuthArgs;
use super::notify::NotifyArgs;
use super::services::{AccessArgs, PcsArgs, ServiceArgs};

/// Where the database is.
#[derive(Args, Debug, Clone)]
pub struct DatabaseArgs {
    /// The database, as in postgres://user@host/bosun
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// How long to wait for the database: in a cluster everything starts at once.
#[derive(Args, Debug, Clone, Copy)]
pub struct PatienceArgs {
    /// How long to wait at the start for a database that does not answer, or has no schema yet
    #[arg(
        long,
        env = "BOSUN_DATABASE_PATIENCE",
        default_value = "0s",
        value_parser = parse_duration,
        value_name = "TIME"
    )]
    pub database_patience: Duration,
}

/// `bosun migrate`
#[derive(Args, Debug, Clone)]
pub struct MigrateArgs {
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How long to wait for it
    #[command(flatten)]
    pub patience: PatienceArgs,
}

impl PatienceArgs {
    /// Not at all.
    pub const NONE: Self = Self { database_patience: Duration::ZERO };
}

impl LauncherArgs {
    /// Processes of this machine, so many at once.
    pub fn local(running_max: usize) -> Self {
        Self {
            launcher: LauncherKind::Local,
            worker_template: None,
            site_jobs: false,
            max_running_sessions: running_max,
        }
    }

    /// Whether a step of a workflow may run in a pod of its own.
    pub fn has_pods(&self) -> bool {
        self.site_jobs && self.launcher == LauncherKind::Kubernetes
    }
}

/// Where workers run.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LauncherKind {
    /// As processes of this machine; they end with the server.
    Local,
    /// As Jobs of the Kubernetes this runs in, or that kubectl would use.
    Kubernetes,
}

/// How sessions get their workers.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Workers")]
pub struct LauncherArgs {
    /// Where workers run
    #[arg(long, env = "BOSUN_LAUNCHER", value_enum, default_value = "local")]
    pub launcher: LauncherKind,
    /// The Job (batch/v1, YAML) that every worker's is made from
    #[arg(
        long,
        env = "BOSUN_WORKER_TEMPLATE",
        value_name = "FILE",
        required_if_eq("launcher", "kubernetes")
    )]
    pub worker_template: Option<PathBuf>,
    /// Workers may start Jobs of their own, for steps of workflows that ask for a pod; only with Kubernetes
    #[arg(long, env = "BOSUN_SITE_JOBS")]
    pub site_jobs: bool,
    /// Most workers at once
    #[arg(long, env = "BOSUN_MAX_RUNNING_SESSIONS", default_value_t = 50, value_name = "N")]
    pub max_running_sessions: usize,
}

/// `bosun serve`
#[derive(Args, Debug, Clone)]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, env = "BOSUN_LISTEN", default_value = "0.0.0.0:9000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to tell Prometheus what is going on, at /metrics; without it nobody is told
    #[arg(long, env = "BOSUN_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// A directory whose workflows replace or join the built-in ones
    #[arg(long, env = "BOSUN_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,
    /// How long to wait for the database
    #[command(flatten)]
    pub patience: PatienceArgs,
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
    /// How sessions get their workers
    #[command(flatten)]
    pub launcher: LauncherArgs,
    /// Who may ask for what
    #[command(flatten)]
    pub auth: AuthArgs,
    /// Who is told of sessions
    #[command(flatten)]
    pub notify: NotifyArgs,
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
