//! A whole bosun in one test: database, simulated machine, a way for nodes to report, workers.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::Path, extract::State, http::StatusCode, routing::patch};
use bosun::{
    clients::{Endpoints, ServiceSettings, Services},
    db::{
        self,
        admission::{Admission, Admitted},
        session::{Api, NewSession, Session},
    },
    engine::{self, EngineError, EngineSettings, Exit},
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        component::ComponentNo,
        event::{Event, EventKind, NewEvent},
        gate::Rollout,
        options::Options,
        plan::{Plan, SliceArtifacts, UnknownPolicy},
        session::{OnConflict, SessionId},
        session_template::SessionTemplate,
    },
    plan::{self, Binding, BoundBootSet},
    sim,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::postgres::{self, Database};

pub struct App {
    pub database: Database,
    pub machine: sim::Handle,
    pub services: Arc<Services>,
    pub settings: sim::Settings,
    endpoints: Endpoints,
}

/// What is asked of a session beside its operation.
#[derive(Clone)]
pub struct Wish {
    pub options: Options,
    pub service_patience: Duration,
    pub on_conflict: OnConflict,
    /// The first so many nodes; none: all.
    pub nodes: Option<usize>,
    /// Waves and gates.
    pub rollout: Rollout,
    /// The first quarter is a boot set of its own, with ordinals: it boots first and goes off last.
    pub ordered: bool,
    /// A workflow of the site's own; none: the built-in one of the operation.
    pub workflow: Option<String>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            options: Options::default(),
            service_patience: Duration::from_secs(1800),
            on_conflict: OnConflict::Reject,
            nodes: None,
            rollout: Rollout::default(),
            ordered: false,
            workflow: None,
        }
    }
}

pub fn fast(nodes: usize) -> sim::Settings {
    sim::Settings {
        nodes,
        soft_off: Duration::from_millis(100),
        force_off: Duration::from_millis(60),
        power_on: Duration::from_millis(60),
        boot: Duration::from_millis(300),
        configure: Duration::from_millis(150),
        hsm_lag: Duration::from_millis(20),
        pcs_sample_interval: Duration::from_millis(50),
        pcs_confirm_interval: Duration::from_millis(30),
        pcs_minute: Duration::from_millis(400),
        pcs_start: Duration::from_millis(10),
        pcs_bmc_patience: Duration::from_millis(200),
        ..sim::Settings::default()
    }
}

impl App {
    pub async fn new(settings: sim::Settings) -> Self {
        let database = postgres::database().await;
        Self::on(database, settings, ServiceSettings::default().write_timeout).await
    }

    /// On a database of the caller's; calls of its workers time out, and are dead soon after, as `write_timeout` says.
    pub async fn on(database: Database, settings: sim::Settings, write_timeout: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let machine = sim::spawn(settings.clone(), listener).unwrap();
        let url = machine.url();
        let mut endpoints = Endpoints {
            hsm: url.clone(),
            pcs: url.clone(),
            bss: url.clone(),
            cfs: url.clone(),
            ims: url.clone(),
            tapms: url.clone(),
            ..Endpoints::default()
        };
        endpoints.s3.url = url;
        let service_settings = ServiceSettings {
            pcs_sample_interval: settings.pcs_sample_interval,
            pcs_confirm_interval: settings.pcs_confirm_interval,
            pcs_minute: settings.pcs_minute,
            write_timeout,
            ..ServiceSettings::default()
        };
        let services = Arc::new(Services::new(&endpoints, service_settings).unwrap());
        let mut connection = db::acquire(&database.pool).await.unwrap();
        db::component::discover(&mut connection, &machine.xnames()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        machine.set_bosun_url(&format!("http://{}", listener.local_addr().unwrap()));
        let router =
            Router::new().route("/v2/components/{id}", patch(report)).with_state(database.pool.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { database, machine, services, settings, endpoints }
    }

    pub async fn admit(&self, operation: &str, name: &str) -> SessionId {
        self.admit_as(operation, name, &Wish::default()).await
    }

    pub async fn admit_as(&self, operation: &str, name: &str, wish: &Wish) -> SessionId {
        let mut connection = db::acquire(&self.database.pool).await.unwrap();
        let numbers = db::component::numbers(&mut connection, &self.machine.xnames()).await.unwrap();
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_unstable_by_key(|(_, id)| *id);
        numbers.truncate(wish.nodes.unwrap_or(usize::MAX));
        let members: Vec<_> =
            numbers.iter().map(|(xname, id)| (ComponentNo(*id), xname.parse().unwrap())).collect();
        let (first, rest) = members.split_at(if wish.ordered { members.len() / 4 } else { 0 });
        let image = self.machine.images()[0].id.to_owned();
        let artifacts = SliceArtifacts {
            id: BootArtifactsId(0),
            artifacts: BootArtifacts {
                kernel: format!("s3://boot-images/{image}/kernel"),
                initrd: format!("s3://boot-images/{image}/initrd"),
                kernel_parameters: "root=sbps-s3:x".to_owned(),
            },
            image: Some(image),
            projected: true,
        };
        let site = wish.workflow.iter().map(|text| (operation.to_owned(), text.clone()));
        let workflows = plan::workflow::Workflows::load(site).unwrap();
        let declared = workflows.get(operation).unwrap();
        let boots = declared.workflow.boots();
        let boot_set = |name: &str, turn: u32, members: &[_]| BoundBootSet {
            name: name.to_owned(),
            boot_ordinal: wish.ordered.then_some(turn),
            shutdown_ordinal: wish.ordered.then_some(10 - turn),
            artifacts: boots.then(|| artifacts.clone()),
            configuration: Some("compute-config".to_owned()),
            members: members.to_vec(),
        };
        let binding = Binding {
            boot_sets: vec![boot_set("compute", 2, rest), boot_set("gateways", 1, first)],
            options: &wish.options,
            unknown: UnknownPolicy::Leave,
            service_patience: wish.service_patience,
            threshold_percent: 100,
            rollout: &wish.rollout,
            power_intervals: Vec::new(),
        };
        let plan: Plan = plan::compile(&declared.workflow, &binding).unwrap();
        let template: SessionTemplate =
            serde_json::from_str(r#"{"boot_sets":{"compute":{"path":"s3://boot-images/x","type":"s3"}}}"#)
                .unwrap();
        let admission = Admission {
            new: NewSession {
                name: name.parse().unwrap(),
                tenant: String::new(),
                operation: operation.to_owned(),
                template_name: "compute".to_owned(),
                api: Api::Bosun,
                limit: String::new(),
                include_disabled: false,
                stage: false,
                request: serde_json::json!({}),
                actor: "tester".to_owned(),
            },
            waiting: None,
            template,
            workflow: declared.text.clone(),
            plan_hash: plan::hash(&plan),
            plan,
            skips: Vec::new(),
            on_conflict: wish.on_conflict,
            event: NewEvent { kind: EventKind::Admitted, actor: None, data: serde_json::json!({}) },
            origin: db::admission::Origin::Request,
        };
        match db::admission::admit(&self.database.pool, admission).await.unwrap() {
            Admitted::Session(session) | Admitted::TakingOver(session, _) => session,
            other => panic!("{other:?}"),
        }
    }

    pub fn engine_settings(&self, worker: &str) -> EngineSettings {
        EngineSettings {
            database_url: self.database.url.clone(),
            worker: worker.to_owned(),
            lease_time: Duration::from_secs(30),
            heed: |_| {},
        }
    }

    pub async fn drive(&self, session: SessionId, worker: &str) -> Result<Exit, EngineError> {
        let settings = self.engine_settings(worker);
        engine::drive::run(&settings, self.services.clone(), session, CancellationToken::new()).await
    }

    /// A worker with a runtime and clients of its own: killed, everything of it is gone at once, like a process.
    pub fn spawn_worker(&self, settings: EngineSettings, session: SessionId) -> Worker {
        let services = Arc::new(Services::new(&self.endpoints, self.services.settings.clone()).unwrap());
        let (stop, killed) = (CancellationToken::new(), CancellationToken::new());
        let (asked, kill) = (stop.clone(), killed.clone());
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let drive = kill.run_until_cancelled(engine::drive::run(&settings, services, session, asked));
            let exit = runtime.block_on(drive);
            drop(runtime);
            // Nobody may be waiting any more.
            let _ = end.send(exit);
        });
        Worker { ended, stop, killed }
    }

    /// A launcher that saw this worker die.
    pub async fn saw_death(&self, session: SessionId, worker: &str) {
        let mut connection = db::acquire(&self.database.pool).await.unwrap();
        let lease = db::lease::get(&mut connection, &session).await.unwrap().unwrap();
        if lease.worker.as_deref() == Some(worker) {
            db::lease::expire(&mut connection, &session, lease.epoch).await.unwrap();
        }
    }

    /// The session as it stands.
    pub async fn session(&self, session: SessionId) -> Session {
        let mut connection = db::acquire(&self.database.pool).await.unwrap();
        db::session::get_by_id(&mut connection, &session).await.unwrap()
    }

    /// What the session tells of itself.
    pub async fn events(&self, session: SessionId) -> Vec<Event> {
        let mut connection = db::acquire(&self.database.pool).await.unwrap();
        db::event::list_after(&mut connection, &session, 0, db::event::PAGE_MAX).await.unwrap()
    }
}

/// A worker in a thread.
pub struct Worker {
    ended: oneshot::Receiver<Option<Result<Exit, EngineError>>>,
    killed: CancellationToken,
    pub stop: CancellationToken,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.killed.cancel();
    }
}

impl Worker {
    /// Returns how it ended by itself; a defect of ours if it panicked.
    pub async fn ended(&mut self) -> Result<Exit, EngineError> {
        (&mut self.ended).await.expect("the worker panicked").expect("nobody killed it")
    }

    /// Ends it where it stands.
    pub async fn kill(mut self) {
        self.killed.cancel();
        // It was cut off, or had just ended by itself: either way it is gone.
        let _ = (&mut self.ended).await;
    }
}

async fn report(
    State(pool): State<db::Pool>,
    Path(id): Path<String>,
    Json(body): Json<serde_json::Value>,
) -> StatusCode {
    let token = body["actual_state"]["bss_token"].as_str().unwrap().to_owned();
    let Ok(mut connection) = db::acquire(&pool).await else { return StatusCode::SERVICE_UNAVAILABLE };
    match db::component::report(&mut connection, &[(id, token)], true).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
