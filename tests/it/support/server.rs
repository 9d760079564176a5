//! A served bosun: API, admission, launcher with real worker processes, against a simulated machine.

use std::{
    process::{Command, Output},
    time::Duration,
};

use bosun::{
    config::{AccessArgs, AuthArgs, LauncherArgs, NotifyArgs, PatienceArgs, PcsArgs, ServiceArgs},
    serve::{self, Serving},
    sim,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    document,
    postgres::{self, Database},
};

/// How long the server believes which nodes are a tenant's.
pub const TENANT_CACHE_TIME: Duration = Duration::from_millis(500);

pub struct Server {
    pub url: String,
    pub machine: sim::Handle,
    pub database: Database,
    http: reqwest::Client,
    pub serving: Serving,
    _stop: DropGuard,
}

impl Server {
    /// Serves a machine, with a template `demo` for its compute nodes.
    pub async fn new(settings: sim::Settings) -> Self {
        let server = Self::with(settings, |_| {}).await;
        server.ok(Method::PUT, "/v2/sessiontemplates/demo", Some(server.template())).await;
        server
    }

    /// Serves a machine as `adjust` says.
    pub async fn with(settings: sim::Settings, adjust: impl FnOnce(&mut serve::Settings)) -> Self {
        let database = postgres::database().await;
        let machine = sim::spawn(settings.clone(), loopback().await).unwrap();
        let stop = CancellationToken::new();
        let mut settings = serve::Settings {
            program: env!("CARGO_BIN_EXE_bosun").into(),
            database_url: database.url.clone(),
            metrics_listen: None,
            services: ServiceArgs::of_machine(&machine.url()),
            access: AccessArgs::default(),
            pcs: PcsArgs {
                pcs_sample_interval: settings.pcs_sample_interval,
                pcs_confirm_interval: settings.pcs_confirm_interval,
                pcs_minute: settings.pcs_minute,
            },
            workflows: None,
            patience: PatienceArgs::NONE,
            launcher: LauncherArgs::local(4),
            service_patience: Duration::from_secs(60),
            tenant_cache_time: TENANT_CACHE_TIME,
            notify: NotifyArgs::default(),
            auth: AuthArgs::off(),
            worker_environment: vec![("BOSUN_LOG".to_owned(), "error".to_owned())],
        };
        adjust(&mut settings);
        let serving = serve::start(settings, loopback().await, stop.clone()).await.unwrap();
        machine.set_bosun_url(&serving.url);
        Self {
            url: serving.url.clone(),
            machine,
            database,
            http: reqwest::Client::new(),
            serving,
            _stop: stop.drop_guard(),
        }
    }

    /// The template `demo`.
    pub fn template(&self) -> Value {
        let image = &self.machine.images()[0];
        json!({
            "cfs": {"configuration": "compute-config"},
            "boot_sets": {"compute": {
                "path": image.path, "type": "s3", "etag": image.etag, "rootfs_provider": "sbps",
                "node_roles_groups": ["Compute"],
            }},
        })
    }

    /// Asks; the status and the body. As everything that goes to and fro here, held against the document.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.ask_for("", method, path, body).await
    }

    /// Asks as a tenant (empty: as nobody); the status and the body.
    pub async fn ask_for(
        &self,
        tenant: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if !tenant.is_empty() {
            request = request.header("Cray-Tenant-Name", tenant);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let (status, text) = document::checked(&self.url, &method, path, request.send().await.unwrap()).await;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (status, body)
    }

    /// Asks, and gets what it wants.
    pub async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, body) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// Sends a body as it is.
    pub async fn raw(&self, method: Method, path: &str, kind: &str, body: &str) -> (StatusCode, String) {
        let request = self.http.request(method.clone(), format!("{}{path}", self.url));
        let answer = request.header("content-type", kind).body(body.to_owned()).send().await.unwrap();
        document::checked(&self.url, &method, path, answer).await
    }

    /// Runs a client command.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bosun"));
        command.args(arguments).env("BOSUN_URL", &self.url).env_remove("BOSUN_LOG");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

async fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
