//! `bosun dev`: everything on one machine. A private Postgres, a simulated machine (or real services), the API, and
//! workers as child processes.

use std::{
    ffi::OsString, io::Write as _, net::SocketAddr, os::unix::process::CommandExt as _, path::PathBuf,
    process::Stdio, time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::AdmitSettings,
    cli::client::Client,
    config::{
        AccessArgs, AuthArgs, DevArgs, LauncherArgs, LogArgs, NotifyArgs, PatienceArgs, PcsArgs, ServiceArgs,
    },
    db::{self, private::PrivatePostgres},
    model::session_template::SessionTemplate,
    serve::{self, Serving},
};

/// How long the simulated machine may take to come up: 100,000 nodes are made in well under a second.
const MACHINE_START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a child may take to end before it is killed.
const CHILD_END_TIMEOUT: Duration = Duration::from_secs(5);
/// Most workers at once, on one machine.
const RUNNING_MAX: usize = 16;
/// The template that comes with a simulated machine.
pub const DEMO_TEMPLATE: &str = "demo";

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where metrics are told.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the private database is kept.
    pub data: PathBuf,
    /// An existing database instead.
    pub database_url: Option<String>,
    /// Workflows of the site.
    pub workflows: Option<PathBuf>,
    /// How long a service may be down before the components that need it fail.
    pub service_patience: Duration,
    /// Who is told of sessions.
    pub notify: NotifyArgs,
    /// Real services.
    pub services: ServiceArgs,
    /// What they want to see of us.
    pub access: AccessArgs,
    /// How PCS, real or simulated, is set up.
    pub pcs: PcsArgs,
    /// The simulator's command line, where no services are given.
    pub machine: Vec<OsString>,
    /// What else workers are told.
    pub worker_environment: Vec<(String, String)>,
}

/// Everything, running.
#[derive(Debug)]
pub struct House {
    /// The API's root.
    pub url: String,
    /// The database.
    pub pool: db::Pool,
    /// The simulated machine's root, if there is one.
    pub machine_url: Option<String>,
    stop: CancellationToken,
    serving: Serving,
    machine: Option<Machine>,
    postgres: Option<PrivatePostgres>,
}

/// Runs everything until SIGTERM or SIGINT, or until a part of it dies.
///
/// # Errors
/// When something cannot be started, or ended by itself.
pub async fn run(args: DevArgs, machine: Vec<OsString>, log: &LogArgs) -> anyhow::Result<()> {
    let settings = Settings {
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        data: args.data,
        database_url: args.database_url,
        workflows: args.workflows,
        service_patience: args.service_patience,
        notify: args.notify,
        services: args.services,
        access: args.access,
        pcs: PcsArgs {
            pcs_sample_interval: args.machine.pcs_sample_interval,
            pcs_confirm_interval: args.machine.pcs_confirm_interval,
            pcs_minute: args.machine.pcs_minute,
        },
        machine,
        worker_environment: log.environment(),
    };
    let stop = serve::until_signal()?;
    let mut house = tokio::select! {
        house = House::open(settings) => house?,
        () = stop.cancelled() => return Ok(()),
    };
    announce(&house.url)?;
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        what = house.broken() => Err(what),
    };
    house.close().await;
    ended
}

/// Tells whoever started us that it serves.
pub fn announce(url: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {url}").and_then(|()| out.flush()).context("cannot write to stdout")
}

impl House {
    /// Starts everything, in order; what was started ends again when something fails.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let listener = serve::listen(settings.listen).await?;
        let (postgres, database_url) = match settings.database_url {
            Some(url) => (None, url),
            None => {
                let postgres = PrivatePostgres::start(&settings.data).await?;
                let url = postgres.url();
                (Some(postgres), url)
            }
        };
        let pool = db::connect(&database_url, 4, "bosun dev").await?;
        db::migrate(&pool).await?;
        let (machine, services) = if settings.services.is_given() {
            (None, settings.services)
        } else {
            let machine = Machine::start(&settings.machine, &settings.worker_environment).await?;
            let services = ServiceArgs::of_machine(&machine.url);
            (Some(machine), services)
        };
        let stop = CancellationToken::new();
        let serving = serve::start(
            serve::Settings {
                program: serve::own_program()?,
                database_url,
                metrics_listen: settings.metrics_listen,
                services,
                access: settings.access,
                pcs: settings.pcs,
                workflows: settings.workflows,
                patience: PatienceArgs::NONE,
                launcher: LauncherArgs::local(RUNNING_MAX),
                notify: settings.notify,
                service_patience: settings.service_patience,
                tenant_cache_time: AdmitSettings::default().tenant_cache_time,
                auth: AuthArgs::off(),
                worker_environment: settings.worker_environment,
            },
            listener,
            stop.clone(),
        )
        .await?;
        let house = Self {
            url: serving.url.clone(),
            pool,
            machine_url: machine.as_ref().map(|machine| machine.url.clone()),
            stop,
            serving,
            machine,
            postgres,
        };
        if let Some(machine) = &house.machine {
            machine.introduce(&house.url, &house.pool).await?;
        }
        Ok(house)
    }

    /// Waits for a part of it to end by itself, and says which.
    pub async fn broken(&mut self) -> anyhow::Error {
        let machine = async {
            match &mut self.machine {
                Some(machine) => machine.child.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = machine => match ended {
                Ok(status) => anyhow!("the simulated machine ended: {status}"),
                Err(error) => anyhow!("the simulated machine was lost: {error}"),
            },
            error = self.serving.broken() => error,
        }
    }

    /// Ends everything, in the opposite order.
    pub async fn close(self) {
        self.stop.cancel();
        self.serving.ended().await;
        if let Some(machine) = self.machine {
            machine.end().await;
        }
        self.pool.close().await;
        if let Some(postgres) = self.postgres {
            // It waits for the server without giving way, and nothing else is left to be done.
            postgres.stop();
        }
    }
}

/// A simulated machine in a process of its own.
#[derive(Debug)]
struct Machine {
    url: String,
    child: Child,
    /// Ends the child when we are gone, however we went.
    guard: std::process::Child,
}

impl Machine {
    async fn start(arguments: &[OsString], environment: &[(String, String)]) -> anyhow::Result<Self> {
        let program = serve::own_program()?;
        let mut child = Command::new(program)
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for us: we end it when the workers have ended.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the simulated machine")?;
        let stdout = child.stdout.take().context("the simulated machine has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = line.strip_prefix("ready ") {
                    return Some(url.to_owned());
                }
            }
            None
        };
        match tokio::time::timeout(MACHINE_START_TIMEOUT, ready).await {
            Ok(Some(url)) => {
                let guard = guard(child.id()).context("cannot start a guard")?;
                Ok(Self { url, child, guard })
            }
            Ok(None) => bail!("the simulated machine did not start; its own words are above"),
            Err(_) => {
                bail!("the simulated machine was not ready within {} s", MACHINE_START_TIMEOUT.as_secs())
            }
        }
    }

    /// Tells the nodes where to report, and keeps a template for them unless there is one.
    async fn introduce(&self, bosun_url: &str, pool: &db::Pool) -> anyhow::Result<()> {
        let controls = Client::at(&self.url, &["sim"])?;
        let _: Value = controls
            .post(&["bosun-url"], &json!({"url": bosun_url}))
            .await
            .context("cannot tell the simulated nodes where to report")?;
        let images: Value =
            controls.get(&["images"], &[]).await.context("cannot ask for the simulated images")?;
        let template = demo_template(&images).context("the simulated machine has no image")?;
        let mut conn = db::acquire(pool).await?;
        let name = DEMO_TEMPLATE.parse().expect("'demo' is a name");
        if db::session_template::get(&mut conn, "", DEMO_TEMPLATE).await.is_err() {
            db::session_template::put(&mut conn, "", &name, &template).await?;
        }
        Ok(())
    }

    async fn end(mut self) {
        end_child(&mut self.child).await;
        drop(self.guard.stdin.take());
        // It has nothing left to wait for.
        let _ = self.guard.wait();
    }
}

/// All compute nodes with the first image the machine offers.
fn demo_template(images: &Value) -> Option<SessionTemplate> {
    let image = images.as_object()?.values().find(|image| image["etag"].as_str() != Some(""))?;
    serde_json::from_value(json!({
        "description": "All compute nodes of the simulated machine",
        "enable_cfs": true,
        "cfs": {"configuration": "compute-config"},
        "boot_sets": {"compute": {
            "path": image["path"],
            "type": "s3",
            "etag": image["etag"],
            "kernel_parameters": "console=ttyS0,115200 ip=dhcp",
            "node_roles_groups": ["Compute"],
            "arch": "X86",
            "rootfs_provider": "sbps",
            "rootfs_provider_passthrough": "sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.sim.local:300",
        }},
    }))
    .ok()
}

/// Waits for our end of its standard input to close, which it does even when we are killed.
fn guard(child: Option<u32>) -> std::io::Result<std::process::Child> {
    std::process::Command::new("sh")
        .args(["-c", "read -r _; kill \"$1\" 2>/dev/null", "sh", &child.unwrap_or_default().to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// SIGTERM, then SIGKILL.
async fn end_child(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(CHILD_END_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
