//! Floor 1: the outside services, one file each, under the names operators call them.
//!
//! A client knows its service's limits and keeps to them. It repeats reads (a few tries, jitter, `Retry-After`, one
//! total bound) and never a write: whether a write may be said twice is for the verbs to know. Wire types are private;
//! what comes out is plain data. What services answer beyond what we know is ignored.

use std::{collections::HashMap, fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use crate::model::{Timestamp, metric::Tally, options::Options, verb::CallError};

mod bearer;
pub mod bss;
pub mod cfs;
pub mod command;
pub mod hsm;
mod http;
pub mod ims;
pub mod jwks;
pub mod kubernetes;
pub mod notification;
pub mod otlp;
pub mod pcs;
pub mod s3;
pub mod tapms;
pub mod webhook;

pub use http::Dated;

/// Longest time for a connection to come up; what BOS allows.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the services are. A URL that ends in a path keeps it as prefix, so that a gateway works as well.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Hardware State Manager; `/hsm/v2` is added.
    pub hsm: String,
    /// Power Control Service; nothing is added before `/transitions`.
    pub pcs: String,
    /// Boot Script Service; `/boot/v1` is added.
    pub bss: String,
    /// Configuration Framework Service; `/v3` is added.
    pub cfs: String,
    /// Image Management Service; `/v3` is added.
    pub ims: String,
    /// Tenant and Partition Management Service; `/v1alpha3` is added.
    pub tapms: String,
    /// The store of boot images.
    pub s3: S3Endpoint,
    /// Certificates (PEM) to be trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A file with a bearer token, for a gateway; read again when it changes.
    pub token_file: Option<PathBuf>,
}

/// Where boot images are kept.
#[derive(Clone)]
pub struct S3Endpoint {
    /// The gateway's URL; buckets are addressed by path.
    pub url: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl fmt::Debug for S3Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Endpoint({})", self.url)
    }
}

impl Default for Endpoints {
    /// The names inside a CSM cluster.
    fn default() -> Self {
        Self {
            hsm: "http://cray-smd".to_owned(),
            pcs: "http://cray-power-control".to_owned(),
            bss: "http://cray-bss".to_owned(),
            cfs: "http://cray-cfs-api".to_owned(),
            ims: "http://cray-ims".to_owned(),
            tapms: "http://cray-tapms".to_owned(),
            s3: S3Endpoint {
                url: "http://rgw-vip.nmn".to_owned(),
                access_key: String::new(),
                secret_key: String::new(),
            },
            ca_file: None,
            token_file: None,
        }
    }
}

/// What is known of the services' own clocks, and how long we wait for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// How often PCS reads the hardware (`PCS_POWER_SAMPLE_INTERVAL`): how stale its answers may be.
    pub pcs_sample_interval: Duration,
    /// How long PCS waits before each look at whether a transition has worked.
    pub pcs_confirm_interval: Duration,
    /// What PCS takes for a minute in `taskDeadlineMinutes`. A simulator shrinks it.
    pub pcs_minute: Duration,
    /// The longest a write may take, waiting for our own other calls included.
    pub write_timeout: Duration,
    /// The longest a read may take, with all its tries, until BOS's options are heeded.
    pub read_timeout: Duration,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            pcs_sample_interval: Duration::from_secs(30),
            pcs_confirm_interval: Duration::from_secs(15),
            pcs_minute: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
        }
    }
}

impl ServiceSettings {
    /// How long after a power action PCS' table may still show the state before it: one confirmation for the hardware to
    /// obey, and one sample. A graceful shutdown may need longer to take hold; only its transition tells of that one.
    pub fn power_staleness(&self) -> Duration {
        self.pcs_sample_interval + self.pcs_confirm_interval
    }
}

/// Why a service gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Our own settings do not work.
    #[error("{0}")]
    Configuration(String),
    /// It cannot be asked now; a write was surely not taken.
    #[error("{service} cannot be asked now: {text}")]
    Unavailable {
        /// Who was asked.
        service: &'static str,
        /// What it said, or what broke.
        text: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It does not accept our credentials; a write was surely not taken.
    #[error("{service} does not accept our credentials: {text}; check the token file or the keys")]
    Unauthorised {
        /// Who was asked.
        service: &'static str,
        /// What it said.
        text: String,
    },
    /// Too much for one call.
    #[error("{service}: too much for one call")]
    TooLarge {
        /// Who was asked.
        service: &'static str,
    },
    /// It refused.
    #[error("{service} refused ({status}): {text}")]
    Refused {
        /// Who was asked.
        service: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// A write that may have been taken.
    #[error("{service} may or may not have taken it: {text}")]
    Lost {
        /// Who was asked.
        service: &'static str,
        /// What was seen.
        text: String,
    },
    /// It answered something else than its contract says.
    #[error("{service} gave an answer that cannot be read: {text}")]
    Unreadable {
        /// Who was asked.
        service: &'static str,
        /// What is wrong with it.
        text: String,
    },
}

impl ClientError {
    /// Whether it is a plain "there is no such thing".
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl From<ClientError> for CallError {
    /// Bad credentials are the service's trouble, not the components': what needs it waits, nothing is refused.
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unavailable { service, text, retry_after } => {
                Self::Transient { service, text, retry_after }
            }
            ClientError::Unauthorised { service, ref text } => Self::Transient {
                service,
                text: format!("it does not accept our credentials: {text}"),
                retry_after: None,
            },
            ClientError::TooLarge { .. } => Self::TooLarge,
            ClientError::Refused { text, .. } | ClientError::Configuration(text) => {
                Self::Rejected { text, named: Vec::new() }
            }
            ClientError::Lost { service, text } | ClientError::Unreadable { service, text } => {
                Self::Lost { service, text }
            }
        }
    }
}

/// `Ok(None)` for "there is no such thing".
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// For a write whose path names nothing that could be missing: "not found" is then said by whatever stands before the
/// service (a gateway, a mesh during a restart), or the URL is wrong. Either way it says nothing about components.
fn fixed_path<T>(answer: Result<T, ClientError>) -> Result<T, ClientError> {
    answer.map_err(|error| match error {
        ClientError::Refused { service, status: 404 | 405, text } => ClientError::Unavailable {
            service,
            text: format!("there is no such service behind its URL; check it ({text})"),
            retry_after: None,
        },
        other => other,
    })
}

/// All services.
#[derive(Debug)]
pub struct Services {
    /// Hardware State Manager.
    pub hsm: hsm::Hsm,
    /// Power Control Service.
    pub pcs: pcs::Pcs,
    /// Boot Script Service.
    pub bss: bss::Bss,
    /// Configuration Framework Service.
    pub cfs: cfs::Cfs,
    /// Image Management Service.
    pub ims: ims::Ims,
    /// Tenant and Partition Management Service. Few sites have tenants: its health is nobody's else.
    pub tapms: tapms::Tapms,
    /// The store of boot images.
    pub s3: s3::S3,
    /// Services of the site's own.
    pub webhook: webhook::Webhook,
    /// Commands of the site's own, on this machine.
    pub commands: command::Commands,
    /// The same as Jobs of Kubernetes.
    pub site_jobs: kubernetes::site_job::SiteJobs,
    /// What is known of the services' own clocks.
    pub settings: ServiceSettings,
    /// How often they were asked, and how long they took.
    pub tally: Arc<Tally>,
    read_timeouts: HashMap<&'static str, Arc<http::ReadTimeout>>,
}

impl Services {
    /// Prepares the clients; asks nobody yet.
    ///
    /// # Errors
    /// `Configuration`: a URL, the CA file or the token file cannot be used.
    pub fn new(endpoints: &Endpoints, settings: ServiceSettings) -> Result<Self, ClientError> {
        let client = transport(endpoints, &settings)?;
        let bearer = endpoints.token_file.clone().map(bearer::Bearer::new).transpose()?.map(Arc::new);
        let mut read_timeouts = HashMap::new();
        let tally = Arc::new(Tally::default());
        let mut http = |service, root: &str| {
            let timeout = Arc::new(http::ReadTimeout::new(settings.read_timeout));
            read_timeouts.insert(service, timeout.clone());
            http::Http::new(service, root, client.clone(), bearer.clone(), &settings, timeout)
                .map(|http| http.counted(tally.clone()))
        };
        let soon = Arc::new(http::ReadTimeout::new(settings.read_timeout.min(tapms::READ_TIMEOUT)));
        let tapms =
            http::Http::new("tapms", &endpoints.tapms, client.clone(), bearer.clone(), &settings, soon)?;
        Ok(Self {
            hsm: hsm::Hsm::new(http("hsm", &endpoints.hsm)?),
            pcs: pcs::Pcs::new(http("pcs", &endpoints.pcs)?),
            bss: bss::Bss::new(http("bss", &endpoints.bss)?),
            cfs: cfs::Cfs::new(http("cfs", &endpoints.cfs)?),
            ims: ims::Ims::new(http("ims", &endpoints.ims)?),
            tapms: tapms::Tapms::new(tapms.counted(tally.clone())),
            s3: s3::S3::new(&endpoints.s3, client.clone(), settings.read_timeout, tally.clone())?,
            webhook: webhook::Webhook::new(client, settings.write_timeout, tally.clone()),
            commands: command::Commands::default(),
            site_jobs: kubernetes::site_job::SiteJobs::new(settings.write_timeout),
            settings,
            tally,
            read_timeouts,
        })
    }

    /// Waits for answers as long as BOS's options say, from now on.
    pub fn heed(&self, options: &Options) {
        for (service, seconds) in [
            ("bss", options.bss_read_timeout),
            ("cfs", options.cfs_read_timeout),
            ("hsm", options.hsm_read_timeout),
            ("ims", options.ims_read_timeout),
            ("pcs", options.pcs_read_timeout),
        ] {
            if let Some(timeout) = self.read_timeouts.get(service) {
                timeout.set(Duration::from_secs(seconds.into()));
            }
        }
    }

    /// Asks every service whether it is well, all at once.
    pub async fn health(&self) -> Vec<(&'static str, Result<(), ClientError>)> {
        let (hsm, pcs, bss, cfs, ims, s3) = tokio::join!(
            self.hsm.ready(),
            self.pcs.ready(),
            self.bss.ready(),
            self.cfs.ready(),
            self.ims.ready(),
            self.s3.ready()
        );
        let of = |answer: Result<http::Reply, ClientError>| answer.map(drop);
        vec![
            ("hsm", of(hsm)),
            ("pcs", of(pcs)),
            ("bss", of(bss)),
            ("cfs", of(cfs)),
            ("ims", of(ims)),
            ("s3", s3),
        ]
    }

    /// Asks every service what can be told of it, all at once.
    pub async fn probe(&self) -> Vec<Probe> {
        let seen = |reply: http::Reply| Seen { date: reply.date(), version: None };
        let (hsm, pcs, bss, cfs, ims, tapms, s3) = tokio::join!(
            timed("hsm", self.hsm.root(), async { self.hsm.ready().await.map(seen) }),
            timed("pcs", self.pcs.root(), async { self.pcs.ready().await.map(seen) }),
            timed("bss", self.bss.root(), async { self.bss.ready().await.map(seen) }),
            timed("cfs", self.cfs.root(), async { self.cfs.ready().await.map(seen) }),
            timed("ims", self.ims.root(), async {
                let mut seen = self.ims.ready().await.map(seen)?;
                seen.version = self.ims.version().await;
                Ok(seen)
            }),
            timed("tapms", self.tapms.root(), async { self.tapms.ready().await.map(seen) }),
            timed("s3", self.s3.root(), async { self.s3.ready().await.map(|()| Seen::default()) }),
        );
        vec![hsm, pcs, bss, cfs, ims, tapms, s3]
    }
}

/// What was found of a service.
#[derive(Debug)]
pub struct Probe {
    /// Which.
    pub service: &'static str,
    /// Where it is.
    pub url: String,
    /// Our own clock when it answered.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What it told.
    pub answer: Result<Seen, ClientError>,
}

/// What a service tells of itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its clock, in whole seconds.
    pub date: Option<Timestamp>,
    /// Its version; few tell.
    pub version: Option<String>,
}

async fn timed(
    service: &'static str,
    url: &str,
    asked: impl Future<Output = Result<Seen, ClientError>>,
) -> Probe {
    let begun = std::time::Instant::now();
    let answer = asked.await;
    Probe { service, url: url.to_owned(), at: chrono::Utc::now(), took: begun.elapsed(), answer }
}

/// One connection pool for all. No proxy: these services live on the management network.
fn transport(endpoints: &Endpoints, settings: &ServiceSettings) -> Result<reqwest::Client, ClientError> {
    // Somebody else (sqlx, a second set of clients) may have installed it already; that is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = match &endpoints.ca_file {
        None => Vec::new(),
        Some(path) => {
            let unusable = |why: String| {
                ClientError::Configuration(format!("the CA file '{}' cannot be used: {why}", path.display()))
            };
            let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(http::causes(&error)))?
        }
    };
    // A write has at least half of its timeout left when it begins. It must not end while its connection may still
    // come up: that would make it a lost one.
    let connect = CONNECT_TIMEOUT.min(settings.write_timeout / 3).min(settings.read_timeout / 4);
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("bosun/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
    };
    // An image without system certificates fails the first form; plain http, and our own CA, work all the same.
    builder()
        .tls_certs_merge(certificates.clone())
        .build()
        .or_else(|_| builder().tls_certs_only(certificates).build())
        .map_err(|error| ClientError::Configuration(http::causes(&error)))
}
