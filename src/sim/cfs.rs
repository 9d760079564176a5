//! CFS, the configuration framework: what each component is to be configured with, and how far it is.
//!
//! A component's status is worked out when somebody asks with GET. What a PATCH or PUT answers is the status of before.

mod batcher;
mod change;
mod component;
mod configuration;
mod filter;
mod session;
mod status;
mod v2;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::response::Response;
use axum::routing::get;
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

pub use self::component::Component;
pub use self::configuration::Configuration;
pub use self::status::{Layer, LayerStatus};

use super::Shared;
use super::clock::{Clock, Moment};
use super::http::{Answer, Refusal, bad, json, read};
use super::settings::{Initially, Settings};

/// CFS's database.
#[derive(Debug)]
pub struct Cfs {
    pub components: BTreeMap<String, Component>,
    pub configurations: BTreeMap<Arc<str>, Configuration>,
    pub sessions: BTreeMap<String, session::Session>,
    pub options: Map<String, Value>,
    batch: (Moment, Arc<str>),
}

impl Cfs {
    /// Two configurations, and all nodes configured with the first a day ago.
    pub fn seeded(settings: &Settings, clock: &Clock, xnames: &[String]) -> Self {
        let yesterday = clock.calendar(Moment::START) - TimeDelta::days(1);
        let yesterday = yesterday.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let configuration = |name: &str, commit: &str| {
            let layer = json!({
                "name": format!("{name}-layer"), "clone_url": "https://vcs.local/vcs/cray/cos-config-management.git",
                "playbook": "site.yml", "commit": commit,
            });
            Configuration::new(name, vec![layer], None, yesterday.clone())
        };
        let wanted = configuration("compute-config", "0123456789abcdef0123456789abcdef01234567");
        let other = configuration("other-config", "89abcdef0123456789abcdef0123456789abcdef");
        let session: Arc<str> = "batcher-00000000-0000-4000-8000-000000000000".into();
        let state: Vec<Layer> = wanted
            .layers
            .iter()
            .map(|layer| layer.reached(LayerStatus::Applied, &yesterday.clone().into(), &session))
            .collect();
        let component = Component {
            enabled: settings.initially != Initially::Off,
            desired_config: "compute-config".into(),
            state: Some(state),
            error_count: Some(0),
            retry_policy: None,
            tags: BTreeMap::new(),
            stored_status: status::Status::Configured,
            round: 0,
        };
        let options = json!({"default_page_size": settings.cfs_page_size, "hardware_sync_interval": 10,
            "batcher_check_interval": 10, "batch_size": 25, "batch_window": 60, "logging_level": "INFO"});
        Self {
            components: xnames.iter().map(|xname| (xname.clone(), component.clone())).collect(),
            configurations: [wanted, other].into_iter().map(|config| (config.name.clone(), config)).collect(),
            sessions: BTreeMap::new(),
            options: options.as_object().cloned().unwrap_or_default(),
            batch: (Moment::START, session),
        }
    }

    /// Components on a page when nobody says how many.
    pub fn page_size(&self) -> usize {
        self.options["default_page_size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(1000)
    }

    /// Tries of a component without its own policy; 1 while the option was never set.
    fn default_retries(&self) -> i64 {
        self.options.get("default_batcher_retry_policy").and_then(Value::as_i64).unwrap_or(1)
    }
}

/// Version 3, below `/v3`.
pub fn v3_routes() -> Router<Shared> {
    Router::new()
        .merge(component::routes())
        .merge(change::routes())
        .merge(configuration::routes())
        .merge(session::routes())
        .route("/options", get(options).patch(set_options))
}

/// What there is of version 2, below `/v2`.
pub fn v2_routes() -> Router<Shared> {
    v2::routes()
}

/// The body as JSON.
fn decoded<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    read(body).map_err(|detail| bad(format!("Error decoding the data provided. {detail}")))
}

async fn options(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.cfs.options))
}

async fn set_options(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let changes: Map<String, Value> = decoded(&body)?;
    Ok(sim.with(|world| {
        world.cfs.options.extend(changes);
        json(&world.cfs.options)
    }))
}
