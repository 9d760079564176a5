//! Configurations: named lists of layers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decoded;
use super::status::{Layer, LayerStatus};
use crate::sim::Shared;
use crate::sim::http::{Answer, bad, json, missing, query};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/configurations", get(list))
        .route("/configurations/{name}", get(one).put(put).delete(delete))
}

/// What identifies a layer.
#[derive(Clone, Debug)]
pub struct WantedLayer {
    pub clone_url: Arc<str>,
    pub playbook: Arc<str>,
    pub commit: Arc<str>,
}

impl WantedLayer {
    /// This layer in a component's state.
    pub fn reached(&self, status: LayerStatus, last_updated: &Arc<str>, session_name: &Arc<str>) -> Layer {
        Layer {
            clone_url: self.clone_url.clone(),
            playbook: self.playbook.clone(),
            commit: self.commit.clone(),
            status,
            last_updated: last_updated.clone(),
            session_name: session_name.clone(),
        }
    }
}

/// A configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Configuration {
    pub name: Arc<str>,
    pub last_updated: String,
    #[serde(rename = "layers")]
    written: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_inventory: Option<Value>,
    #[serde(skip)]
    pub layers: Vec<WantedLayer>,
}

impl Configuration {
    /// A configuration of layers that name their commits.
    pub fn new(
        name: &str,
        layers: Vec<Value>,
        additional_inventory: Option<Value>,
        last_updated: String,
    ) -> Self {
        let word = |layer: &Value, key: &str| Arc::from(layer[key].as_str().unwrap_or_default());
        let wanted = |layer: &Value| WantedLayer {
            clone_url: word(layer, "clone_url"),
            playbook: word(layer, "playbook"),
            commit: word(layer, "commit"),
        };
        let wanted = layers.iter().map(wanted).collect();
        Self { name: name.into(), last_updated, written: layers, additional_inventory, layers: wanted }
    }
}

fn not_found(name: &str) -> crate::sim::http::Refusal {
    missing(format!("Configuration {name} could not be found"))
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Response {
    let in_use = query(raw.as_deref()).into_iter().find(|(key, _)| key == "in_use").map(|(_, v)| v == "true");
    sim.with(|world| {
        let used = |name: &Arc<str>| {
            world.cfs.components.values().any(|component| component.desired_config == *name)
        };
        let all = world.cfs.configurations.values();
        let asked: Vec<&Configuration> =
            all.filter(|config| in_use.is_none_or(|wanted| used(&config.name) == wanted)).collect();
        json(&json!({ "configurations": asked, "next": null }))
    })
}

async fn one(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Answer {
    sim.with(|world| match world.cfs.configurations.get(name.as_str()) {
        Some(configuration) => Ok(json(configuration)),
        None => Err(not_found(&name)),
    })
}

async fn put(Extract(sim): Extract<Shared>, Path(name): Path<String>, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        layers: Vec<Value>,
        additional_inventory: Option<Value>,
    }
    let Body { mut layers, additional_inventory } = decoded(&body)?;
    if name.is_empty() || name.len() > 60 {
        return Err(bad("The configuration's name must have 1 to 60 characters"));
    }
    for layer in &mut layers {
        if layer["commit"].as_str().is_none() {
            let Some(branch) = layer["branch"].as_str() else {
                return Err(bad("Error converting branch name to commit"));
            };
            // A branch is resolved once, when it is put; here its name stands for its head.
            let head = format!(
                "{:0>40}",
                branch.bytes().fold(7_u64, |sum, byte| sum * 31 % 0xffff_ffff + u64::from(byte))
            );
            layer["commit"] = head.into();
        }
    }
    Ok(sim.with(|world| {
        let now = world.clock.seconds(world.now);
        let configuration = Configuration::new(&name, layers, additional_inventory, now);
        let response = json(&configuration);
        world.cfs.configurations.insert(configuration.name.clone(), configuration);
        world.cfs_consider_all_of(&name);
        response
    }))
}

async fn delete(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Answer {
    sim.with(|world| {
        if world.cfs.components.values().any(|component| *component.desired_config == *name) {
            return Err(bad("Configuration is in use."));
        }
        match world.cfs.configurations.remove(name.as_str()) {
            Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
            None => Err(not_found(&name)),
        }
    })
}
