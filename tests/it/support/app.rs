//! A whole bosun in one test: database, simulated machine, a way for nodes to report, workers.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::Path, extract::State, http::StatusCode, routing::patch};
use bosun::{
    clients::{Endpoints, ServiceSettings, Services},
    db::{
        self,
        admission::{Admission, Admitted},
        session::{Api, NewSession},
    },
    engine::{self, EngineError, EngineSettings, Exit},
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        component::ComponentNo,
        event::{EventKind, NewEvent},
        options::Options,
        plan::{Plan, SliceArtifacts, UnknownPolicy},
        session::SessionId,
        session_template::SessionTemplate,
    },
    plan::{self, Binding, BoundBootSet},
    sim,
};
use tokio_util::sync::CancellationToken;

use super::postgres::{self, Database};

pub struct App {
    pub database: Database,
    pub machine: sim::Handle,
    pub services: Arc<Services>,
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
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let machine = sim::spawn(settings.clone(), listener).unwrap();
        let url = machine.url();
        let mut endpoints = Endpoints {
            hsm: url.clone(),
            pcs: url.clone(),
            bss: url.clone(),
            cfs: url.clone(),
            ims: url.clone(),
            ..Endpoints::default()
        };
        endpoints.s3.url = url;
        let service_settings = ServiceSettings {
            pcs_sample_interval: settings.pcs_sample_interval,
            pcs_confirm_interval: settings.pcs_confirm_interval,
            pcs_minute: settings.pcs_minute,
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
        Self { database, machine, services }
    }

    pub async fn admit(&self, operation: &str, name: &str) -> SessionId {
        let mut connection = db::acquire(&self.database.pool).await.unwrap();
        let numbers = db::component::numbers(&mut connection, &self.machine.xnames()).await.unwrap();
        let members = numbers.iter().map(|(xname, id)| (ComponentNo(*id), xname.parse().unwrap())).collect();
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
        let workflows = plan::workflow::embedded();
        let declared = workflows.get(operation).unwrap();
        let boots = matches!(operation, "boot" | "reboot");
        let binding = Binding {
            boot_sets: vec![BoundBootSet {
                name: "compute".to_owned(),
                boot_ordinal: None,
                shutdown_ordinal: None,
                artifacts: boots.then_some(artifacts),
                configuration: Some("compute-config".to_owned()),
                members,
            }],
            options: &Options::default(),
            unknown: UnknownPolicy::Leave,
            service_patience: Duration::from_secs(1800),
            threshold_percent: 100,
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
            event: NewEvent { kind: EventKind::Admitted, actor: None, data: serde_json::json!({}) },
        };
        match db::admission::admit(&self.database.pool, admission).await.unwrap() {
            Admitted::Session(session) => session,
            other => panic!("{other:?}"),
        }
    }

    pub async fn drive(&self, session: SessionId, worker: &str) -> Result<Exit, EngineError> {
        let settings = EngineSettings {
            database_url: self.database.url.clone(),
            worker: worker.to_owned(),
            lease_time: Duration::from_secs(30),
        };
        engine::drive::run(&settings, self.services.clone(), session, CancellationToken::new()).await
    }
}

async fn report(
    State(pool): State<db::Pool>,
    Path(id): Path<String>,
    Json(body): Json<serde_json::Value>,
) -> StatusCode {
    let token = body["actual_state"]["bss_token"].as_str().unwrap().to_owned();
    let mut connection = db::acquire(&pool).await.unwrap();
    db::component::report(&mut connection, &[(id, token)], true).await.unwrap();
    StatusCode::OK
}
