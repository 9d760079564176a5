//! Every flag and environment variable of the roles. A room above floor 0 may read its own arguments, nobody else's.

use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};
use humantime::parse_duration;

use crate::{
    cli,
    clients::{Endpoints, S3Endpoint, ServiceSettings},
    sim,
};

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

/// The log's form.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
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
    Migrate(DatabaseArgs),
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
    /// Command one step of a session
    #[command(subcommand)]
    Step(cli::step::StepCommand),
}

impl Command {
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

/// Where the database is.
#[derive(Args, Debug, Clone)]
pub struct DatabaseArgs {
    /// The database, as in postgres://user@host/bosun
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// The services' roots, as in-cluster.
#[derive(Args, Debug, Clone, Default, PartialEq, Eq)]
#[command(next_help_heading = "Services")]
pub struct ServiceArgs {
    /// Hardware State Manager [in-cluster: http://cray-smd]
    #[arg(long, env = "BOSUN_HSM_URL", value_name = "URL")]
    pub hsm_url: Option<String>,
    /// Power Control Service [in-cluster: http://cray-power-control]
    #[arg(long, env = "BOSUN_PCS_URL", value_name = "URL")]
    pub pcs_url: Option<String>,
    /// Boot Script Service [in-cluster: http://cray-bss]
    #[arg(long, env = "BOSUN_BSS_URL", value_name = "URL")]
    pub bss_url: Option<String>,
    /// Configuration Framework Service [in-cluster: http://cray-cfs-api]
    #[arg(long, env = "BOSUN_CFS_URL", value_name = "URL")]
    pub cfs_url: Option<String>,
    /// Image Management Service [in-cluster: http://cray-ims]
    #[arg(long, env = "BOSUN_IMS_URL", value_name = "URL")]
    pub ims_url: Option<String>,
    /// The object store; keys come from S3_ACCESS_KEY and S3_SECRET_KEY [in-cluster: http://rgw-vip]
    #[arg(long, env = "BOSUN_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
}

impl ServiceArgs {
    /// Whether any root is given: then `dev` starts no simulator.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// The services of a simulated machine: all at one root, the object store below it.
    pub fn of_machine(root: &str) -> Self {
        let s3_endpoint = Some(format!("{root}/s3"));
        let root = Some(root.to_owned());
        Self {
            hsm_url: root.clone(),
            pcs_url: root.clone(),
            bss_url: root.clone(),
            cfs_url: root.clone(),
            ims_url: root,
            s3_endpoint,
        }
    }

    /// The services, in-cluster where no root is given.
    pub fn endpoints(&self, keys: &AccessArgs) -> Endpoints {
        let cluster = Endpoints::default();
        let or = |given: &Option<String>, cluster: String| given.clone().unwrap_or(cluster);
        Endpoints {
            hsm: or(&self.hsm_url, cluster.hsm),
            pcs: or(&self.pcs_url, cluster.pcs),
            bss: or(&self.bss_url, cluster.bss),
            cfs: or(&self.cfs_url, cluster.cfs),
            ims: or(&self.ims_url, cluster.ims),
            s3: S3Endpoint {
                url: or(&self.s3_endpoint, cluster.s3.url),
                access_key: keys.s3_access_key.clone(),
                secret_key: keys.s3_secret_key.clone(),
            },
            ca_file: keys.ca_file.clone(),
            token_file: keys.token_file.clone(),
        }
    }

    /// What tells a worker the same.
    pub fn environment(&self) -> Vec<(String, String)> {
        let roots = [
            ("BOSUN_HSM_URL", &self.hsm_url),
            ("BOSUN_PCS_URL", &self.pcs_url),
            ("BOSUN_BSS_URL", &self.bss_url),
            ("BOSUN_CFS_URL", &self.cfs_url),
            ("BOSUN_IMS_URL", &self.ims_url),
            ("BOSUN_S3_ENDPOINT", &self.s3_endpoint),
        ];
        roots.iter().filter_map(|(name, root)| Some(((*name).to_owned(), (*root).clone()?))).collect()
    }
}

/// What the services and the object store want to see of us. Workers inherit it with the environment.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Services")]
pub struct AccessArgs {
    /// The object store's access key
    #[arg(
        long,
        env = "S3_ACCESS_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub s3_access_key: String,
    /// The object store's secret key
    #[arg(
        long,
        env = "S3_SECRET_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub s3_secret_key: String,
    /// Certificates (PEM) to be trusted beside the system's
    #[arg(long, env = "BOSUN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A file with a bearer token for a gateway; read again when it changes
    #[arg(long, env = "BOSUN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for AccessArgs {
    /// Without the keys: what is printed ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessArgs")
            .field("ca_file", &self.ca_file)
            .field("token_file", &self.token_file)
            .finish()
    }
}

/// How PCS is set up: what may be believed of its answers depends on it.
#[derive(Args, Debug, Clone, Copy)]
#[command(next_help_heading = "Services")]
pub struct PcsArgs {
    /// How often PCS refills its table of power states
    #[arg(long, env = "BOSUN_PCS_SAMPLE_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    pub pcs_sample_interval: Duration,
    /// How long PCS sleeps before each look for a confirmation
    #[arg(long, env = "BOSUN_PCS_CONFIRM_INTERVAL", default_value = "15s", value_parser = parse_duration)]
    pub pcs_confirm_interval: Duration,
    /// How long a minute of PCS' task deadlines lasts; only a simulated machine shrinks it
    #[arg(long, hide = true, env = "BOSUN_PCS_MINUTE", default_value = "60s", value_parser = parse_duration)]
    pub pcs_minute: Duration,
}

impl PcsArgs {
    /// What the clients must know.
    pub fn settings(&self) -> ServiceSettings {
        ServiceSettings {
            pcs_sample_interval: self.pcs_sample_interval,
            pcs_confirm_interval: self.pcs_confirm_interval,
            pcs_minute: self.pcs_minute,
            ..ServiceSettings::default()
        }
    }

    /// What tells a worker the same.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("BOSUN_PCS_SAMPLE_INTERVAL", self.pcs_sample_interval),
            ("BOSUN_PCS_CONFIRM_INTERVAL", self.pcs_confirm_interval),
            ("BOSUN_PCS_MINUTE", self.pcs_minute),
        ]
        .map(|(name, time)| (name.to_owned(), humantime::format_duration(time).to_string()))
        .to_vec()
    }
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

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

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

    #[test]
    fn one_root_is_enough_to_mean_real_services() {
        let given = ServiceArgs { hsm_url: Some("http://hsm".to_owned()), ..ServiceArgs::default() };
        assert!(given.is_given() && !ServiceArgs::default().is_given());
        let endpoints = given.endpoints(&AccessArgs::default());
        assert_eq!((endpoints.hsm.as_str(), endpoints.bss.as_str()), ("http://hsm", "http://cray-bss"));
        assert_eq!(given.environment(), [("BOSUN_HSM_URL".to_owned(), "http://hsm".to_owned())]);
    }

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
