//! `bosun serve`: the API, admission, discovery and the launcher, until SIGTERM.

mod history;
mod notify;
mod patience;
mod workers;

pub use patience::patiently;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::{Admit, AdmitSettings, Gathered, Tokens},
    api::{self, ApiState, Authentication, Certificates, Limits},
    clients,
    config::{
        AccessArgs, AuthArgs, LauncherArgs, LogArgs, NotifyArgs, PatienceArgs, PcsArgs, ServeArgs,
        ServiceArgs,
    },
    db,
    engine::launcher::{self, LauncherSettings},
    model::options::Options,
    plan::{Mistake, workflow::Workflows},
    telemetry,
};

/// Connections for requests and the loops; workers bring their own.
const CONNECTIONS_MAX: u32 = 16;
/// How often waiting sessions are looked for when nobody says that there are new ones.
const ADMISSION_INTERVAL: Duration = Duration::from_secs(2);
/// How soon enabled components are looked at again when somebody else was faster.
const CHANGED_PAUSE: Duration = Duration::from_millis(100);
/// How soon discovery is tried again while HSM is down.
const DISCOVERY_RETRY: Duration = Duration::from_secs(10);
/// How often it is looked for what may expire.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether options that are heeded at once have changed.
const OPTIONS_INTERVAL: Duration = Duration::from_secs(5);
/// How often the database's sign of life is renewed.
const LIFE_INTERVAL: Duration = Duration::from_secs(60);
/// A database without a sign of life for so long was restored or copied: nothing goes on by itself (law 6).
const RESUME_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How long open requests may go on after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What is served, and with what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that workers run: this one.
    pub program: PathBuf,
    /// The database; workers are told the same.
    pub database_url: String,
    /// Where metrics are told.
    pub metrics_listen: Option<SocketAddr>,
    /// The services; workers are told the same.
    pub services: ServiceArgs,
    /// What the services want to see of us.
    pub access: AccessArgs,
    /// How PCS is set up; workers are told the same.
    pub pcs: PcsArgs,
    /// A directory of the site's workflows.
    pub workflows: Option<PathBuf>,
    /// How long to wait for the database.
    pub patience: PatienceArgs,
    /// How sessions get their workers.
    pub launcher: LauncherArgs,
    /// How long a service may be down before the components that need it fail.
    pub service_patience: Duration,
    /// How long it is believed which components are a tenant's.
    pub tenant_cache_time: Duration,
    /// Who is told of sessions.
    pub notify: NotifyArgs,
    /// Who may ask for what.
    pub auth: AuthArgs,
    /// What else workers are told.
    pub worker_environment: Vec<(String, String)>,
}

/// A server at work.
#[derive(Debug)]
pub struct Serving {
    /// The API's root.
    pub url: String,
    /// Where metrics are told, if they are.
    pub metrics: Option<SocketAddr>,
    /// The database.
    pub pool: db::Pool,
    tasks: JoinSet<&'static str>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or a part of it ends by itself.
pub async fn run(args: ServeArgs, log: &LogArgs) -> anyhow::Result<()> {
    let stop = until_signal()?;
    let settings = Settings {
        program: own_program()?,
        database_url: args.database.database_url,
        metrics_listen: args.metrics_listen,
        services: args.services,
        access: args.access,
        pcs: args.pcs,
        workflows: args.workflows,
        patience: args.patience,
        launcher: args.launcher,
        service_patience: args.service_patience,
        tenant_cache_time: args.tenant_cache_time,
        notify: args.notify,
        auth: args.auth,
        worker_environment: log.environment(),
    };
    let listener = listen(args.listen).await?;
    let mut serving = start(settings, listener, stop.clone()).await?;
    tracing::info!(url = serving.url, "bosun serves");
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        error = serving.broken() => Err(error),
    };
    stop.cancel();
    serving.ended().await;
    ended
}

/// Cancelled when somebody asks this process to end.
///
/// # Errors
/// When signals cannot be waited for.
pub fn until_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

/// Takes the address before anything else is started.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| anyhow!("cannot listen on {address}: {error}; choose another address with --listen"))
}

/// Starts everything; what runs ends with `stop`.
///
/// # Errors
/// When the database, a workflow or a service's URL cannot be used.
pub async fn start(
    settings: Settings,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<Serving> {
    let address = listener.local_addr().context("the listener has no address")?;
    let metrics = metrics_listener(settings.metrics_listen).await?;
    let workflows = workflows(settings.workflows.as_deref(), settings.launcher.has_pods())?;
    let endpoints = settings.services.endpoints(&settings.access);
    let services = clients::Services::new(&endpoints, settings.pcs.settings())
        .context("the services cannot be used as configured")?;
    let workers = workers::workers(&settings).await?;
    let told = notify::Told::new(&settings, &workers)?;
    let pool = patiently(settings.patience, async || {
        let pool = db::connect(&settings.database_url, CONNECTIONS_MAX, "bosun serve").await?;
        db::check_schema(&pool).await?;
        Ok(pool)
    })
    .await?;
    look_for_life(&pool).await?;
    let site = AdmitSettings {
        service_patience: settings.service_patience,
        tenant_cache_time: settings.tenant_cache_time,
        ..AdmitSettings::default()
    };
    let services = Arc::new(services);
    let admit = Arc::new(Admit::new(services.clone(), pool.clone(), workflows, site));
    let waiting = Arc::new(Notify::new());
    let (authentication, certificates) = callers(&settings)?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let state = ApiState::new(pool.clone(), admit.clone(), waiting.clone(), authentication);
    let launcher = LauncherSettings {
        workers,
        database_url: settings.database_url,
        running_max: settings.launcher.max_running_sessions,
    };
    let mut tasks = JoinSet::new();
    let ending = stop.clone();
    tasks.spawn(async move {
        let served = api::serve(listener, certificates, state, Limits::default(), ending.clone());
        let drained = async {
            ending.cancelled().await;
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = served => {}
            () = drained => {}
        }
        "the API"
    });
    let metrics_address = metrics.as_ref().and_then(|metrics| metrics.local_addr().ok());
    if let Some(metrics) = metrics {
        let (pool, tally, stop) = (pool.clone(), services.tally.clone(), stop.clone());
        tasks.spawn(named("what tells metrics", api::serve_metrics(metrics, pool, tally, stop)));
    }
    tasks.spawn(named("the launcher", launcher::run(launcher, pool.clone(), stop.clone())));
    let until = |name, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let stop = stop.clone();
        named(name, async move {
            stop.run_until_cancelled(task).await;
        })
    };
    tasks.spawn(until("admission", Box::pin(admit_waiting(admit.clone(), pool.clone(), waiting))));
    tasks.spawn(until("discovery", Box::pin(discover(admit, pool.clone()))));
    tasks.spawn(until("expiry", Box::pin(expire(pool.clone()))));
    tasks.spawn(until("notifications", Box::pin(told.tell(pool.clone()))));
    tasks.spawn(until("history", Box::pin(history::keep(pool.clone()))));
    tasks.spawn(until("the options", Box::pin(heed_options(services, pool.clone()))));
    tasks.spawn(until("the sign of life", Box::pin(give_life(pool.clone()))));
    Ok(Serving { url: url(scheme, address), metrics: metrics_address, pool, tasks })
}

async fn metrics_listener(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        anyhow!("cannot tell metrics on {address}: {error}; choose another address with --metrics-listen")
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics are told on http://{address}/metrics");
    }
    Ok(Some(listener))
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// How callers are known, and what the server shows them.
fn callers(settings: &Settings) -> anyhow::Result<(Authentication, Option<Certificates>)> {
    let auth = &settings.auth;
    let authentication = match auth.tokens(settings.access.ca_file.clone()) {
        None => Authentication::Off,
        Some(tokens) => Authentication::Tokens {
            tokens: Box::new(Tokens::new(tokens).context("callers cannot be authenticated")?),
            open_reports: auth.open_reports,
        },
    };
    let certificates = match (&auth.tls_certificate, &auth.tls_key) {
        (Some(certificate), Some(key)) => Some(Certificates::new(certificate.clone(), key.clone())?),
        _ => None,
    };
    Ok((authentication, certificates))
}

/// Where a client on this machine finds it.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{address}")
}

impl Serving {
    /// Waits for a part of it to end by itself, and says which.
    pub async fn broken(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(name)) => anyhow!("{name} ended by itself"),
            Some(Err(error)) => anyhow!("a part of the server broke: {error}"),
            None => anyhow!("nothing is served"),
        }
    }

    /// Waits for everything to end, after `stop`.
    pub async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.pool.close().await;
    }
}

/// The built-in workflows, and those of the site.
fn workflows(directory: Option<&Path>, has_pods: bool) -> anyhow::Result<Workflows> {
    let mut texts = Vec::new();
    if let Some(directory) = directory {
        let unreadable = || format!("cannot read the workflows in {}", directory.display());
        for entry in std::fs::read_dir(directory).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml")
                && let Some(operation) = path.file_stem().and_then(|stem| stem.to_str())
            {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read the workflow {}", path.display()))?;
                texts.push((operation.to_owned(), text));
            }
        }
    }
    let told = |mistakes: Vec<Mistake>| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    };
    let workflows = Workflows::load(texts).map_err(told)?;
    let pods = if has_pods { Vec::new() } else { workflows.pods() };
    if pods.is_empty() { Ok(workflows) } else { Err(told(pods)) }
}

/// This very program.
///
/// # Errors
/// When the system does not say where it is.
pub fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find our own program")
}

/// Law 6: a database that nobody served for a while may be an old one. Then nothing in it goes on by itself.
async fn look_for_life(pool: &db::Pool) -> anyhow::Result<()> {
    let mut conn = db::acquire(pool).await?;
    let life = db::service_life::get(&mut conn).await?;
    if let Some(at) = life.at
        && (life.now - at).to_std().is_ok_and(|silence| silence > RESUME_WITHIN)
    {
        db::service_life::park(&mut conn).await?;
        let reason = format!("nobody served this database since {at}: it may be a restored or copied one");
        let parked = db::session::park_all_running(&mut conn, &reason).await?;
        tracing::warn!(parked, "{reason}; nothing goes on or is admitted until 'bosun session resume --all'");
    }
    db::service_life::touch(&mut conn).await?;
    Ok(())
}

async fn give_life(pool: db::Pool) {
    loop {
        tokio::time::sleep(LIFE_INTERVAL).await;
        let given = async {
            let mut conn = db::acquire(&pool).await?;
            db::service_life::touch(&mut conn).await
        };
        if let Err(error) = given.await {
            tracing::warn!("no sign of life could be given: {error}");
        }
    }
}

/// Sessions that came through `/v2` are admitted here, first come first served.
async fn admit_waiting(admit: Arc<Admit>, pool: db::Pool, waiting: Arc<Notify>) {
    let mut said = None;
    loop {
        if is_parked(&pool).await {
            tokio::time::sleep(ADMISSION_INTERVAL).await;
            continue;
        }
        match admit.waiting().await {
            Ok(pass) => {
                if pass.waits_for.is_some() && pass.waits_for != said {
                    tracing::warn!("sessions wait: {}", pass.waits_for.as_deref().unwrap_or_default());
                }
                said = pass.waits_for;
            }
            Err(error) => tracing::warn!("waiting sessions could not be looked at: {error}"),
        }
        let pause = match admit.enabled().await {
            Ok(Gathered::Nobody) => ADMISSION_INTERVAL,
            Ok(Gathered::Until(left)) => left.min(ADMISSION_INTERVAL),
            Ok(Gathered::Admitted(admitted)) => {
                tracing::info!(session = %admitted.id, members = admitted.members, "enabled components were admitted");
                Duration::ZERO
            }
            Ok(Gathered::Changed) => CHANGED_PAUSE,
            Err(error) => {
                tracing::warn!("enabled components wait: {error}");
                ADMISSION_INTERVAL
            }
        };
        let _ = tokio::time::timeout(pause, waiting.notified()).await;
    }
}

/// Whether an operator has to resume all first. A database that cannot be asked admits nobody either.
async fn is_parked(pool: &db::Pool) -> bool {
    let life = async {
        let mut conn = db::acquire(pool).await?;
        db::service_life::get(&mut conn).await
    };
    life.await.map_or(true, |life| life.parked_at.is_some())
}

/// Finds the components that HSM knows, at once and then now and again.
async fn discover(admit: Arc<Admit>, pool: db::Pool) {
    let mut down = false;
    loop {
        match admit.discover().await {
            Ok(found) => {
                if found.added > 0 {
                    tracing::info!(nodes = found.nodes, added = found.added, "components discovered");
                }
                down = false;
                next_discovery(&pool).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut down, true) {
                    tracing::warn!("components cannot be discovered: {error}; trying again");
                }
                tokio::time::sleep(DISCOVERY_RETRY).await;
            }
        }
    }
}

/// Waits as long as BOS's option says, also if it says something else in the meantime.
async fn next_discovery(pool: &db::Pool) {
    let last = Instant::now();
    loop {
        match frequency(pool).await.checked_sub(last.elapsed()) {
            None | Some(Duration::ZERO) => return,
            Some(left) => tokio::time::sleep(left.min(OPTIONS_INTERVAL)).await,
        }
    }
}

/// Options that mean something to this process: how long services are waited for, and how much is logged.
async fn heed_options(services: Arc<clients::Services>, pool: db::Pool) {
    loop {
        let options = async {
            let mut conn = db::acquire(&pool).await?;
            db::options::get(&mut conn).await
        };
        if let Ok(options) = options.await {
            services.heed(&options);
            telemetry::heed(&options);
        }
        tokio::time::sleep(OPTIONS_INTERVAL).await;
    }
}

/// What BOS's options let expire.
async fn expire(pool: db::Pool) {
    loop {
        let expired = async {
            let mut conn = db::acquire(&pool).await?;
            let options = db::options::get(&mut conn).await?;
            if let Some(time_to_live) = options.session_time_to_live() {
                db::session::expire(&mut conn, time_to_live).await?;
            }
            if let Some(time_to_live) = options.actual_state_time_to_live() {
                db::component::expire_actual(&mut conn, time_to_live).await?;
            }
            Ok::<_, db::DbError>(())
        };
        if let Err(error) = expired.await {
            tracing::warn!("nothing can expire: {error}");
        }
        tokio::time::sleep(EXPIRY_INTERVAL).await;
    }
}

/// BOS's option.
async fn frequency(pool: &db::Pool) -> Duration {
    let options = async {
        let mut conn = db::acquire(pool).await?;
        db::options::get(&mut conn).await
    };
    let seconds = options.await.unwrap_or_else(|_| Options::default()).discovery_frequency;
    Duration::from_secs(seconds.max(1).into())
}
