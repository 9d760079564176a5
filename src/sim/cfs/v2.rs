//! The bit of version 2 that old clients read: camel case, bare lists, no pages.

use axum::Router;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::status::LayerStatus;
use super::{Cfs, Component, Configuration, Layer};
use crate::sim::Shared;
use crate::sim::http::{Answer, bad, json, missing, query, refuse};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/components", get(components))
        .route("/components/{id}", get(component))
        .route("/configurations", get(configurations))
        .route("/configurations/{name}", get(configuration))
}

fn layer(layer: &Layer) -> Value {
    // Version 2 has no status of a layer: it hangs a failure onto the commit.
    let suffix = match layer.status {
        LayerStatus::Failed => "_failed",
        LayerStatus::Skipped => "_skipped",
        LayerStatus::Incomplete => "_incomplete",
        LayerStatus::Applied => "",
    };
    json!({
        "cloneUrl": *layer.clone_url, "playbook": *layer.playbook, "commit": format!("{}{suffix}", layer.commit),
        "lastUpdated": *layer.last_updated, "sessionName": *layer.session_name,
    })
}

fn view(cfs: &Cfs, id: &str, component: &Component) -> Option<Value> {
    Some(json!({
        "id": id, "enabled": component.enabled, "desiredConfig": *component.desired_config,
        "configurationStatus": cfs.status_of(component)?, "errorCount": component.error_count?,
        "retryPolicy": component.retry_policy, "tags": component.tags,
        "state": component.state.as_ref()?.iter().map(layer).collect::<Vec<_>>(),
    }))
}

async fn components(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let pairs = query(raw.as_deref());
    let ids = pairs.iter().find(|(key, value)| key == "ids" && !value.is_empty()).map(|(_, value)| value);
    sim.with(|world| {
        let cfs = &world.cfs;
        let found: Vec<(&String, &Component)> = match ids {
            Some(ids) => ids.split(',').filter_map(|id| cfs.components.get_key_value(id)).collect(),
            None => cfs.components.iter().collect(),
        };
        if found.len() > cfs.page_size() {
            return Err(bad("The response size is too large"));
        }
        let views: Option<Vec<Value>> =
            found.into_iter().map(|(id, component)| view(cfs, id, component)).collect();
        let broken = || refuse(StatusCode::INTERNAL_SERVER_ERROR, "The server encountered an internal error");
        Ok(json(&views.ok_or_else(broken)?))
    })
}

async fn component(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    sim.with(|world| {
        let component = world.cfs.components.get(&id);
        let found = component.ok_or_else(|| missing(format!("Component {id} could not be found")))?;
        let broken = || refuse(StatusCode::INTERNAL_SERVER_ERROR, "The server encountered an internal error");
        Ok(json(&view(&world.cfs, &id, found).ok_or_else(broken)?))
    })
}

fn old(configuration: &Configuration) -> Value {
    let layers = configuration.layers.iter();
    let layer = |layer: &super::configuration::WantedLayer| json!({"cloneUrl": *layer.clone_url, "playbook": *layer.playbook, "commit": *layer.commit});
    json!({
        "name": *configuration.name, "lastUpdated": configuration.last_updated,
        "layers": layers.map(layer).collect::<Vec<_>>(),
    })
}

async fn configurations(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.cfs.configurations.values().map(old).collect::<Vec<_>>()))
}

async fn configuration(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Answer {
    sim.with(|world| match world.cfs.configurations.get(name.as_str()) {
        Some(found) => Ok(json(&old(found))),
        None => Err(missing(format!("Configuration {name} could not be found"))),
    })
}
