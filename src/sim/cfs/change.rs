//! Changes of components: one, several, or all that a filter admits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::patch;
use serde_json::{Map, Value, json};

use super::component::{Detail, not_found};
use super::filter::Filter;
use super::status::{Layer, LayerStatus, Status};
use super::{Component, decoded};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json};
use crate::sim::world::World;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/components", patch(patch_many).put(put_many))
        .route("/components/{id}", patch(patch_one).put(put_one).delete(delete))
}

/// A change of a component, with everything checked that CFS checks.
#[derive(Clone, Debug, Default)]
pub struct Change {
    enabled: Option<bool>,
    desired_config: Option<Arc<str>>,
    state: Option<Vec<Layer>>,
    state_append: Option<Layer>,
    error_count: Option<i64>,
    retry_policy: Option<i64>,
    tags: Option<BTreeMap<String, String>>,
}

impl Change {
    /// Reads a change; layers without a time are stamped with `now`.
    pub fn read(object: &Map<String, Value>, now: &Arc<str>) -> Result<Self, Refusal> {
        let mut change = Self::default();
        for (key, value) in object {
            let wrong = || bad(format!("Wrong type for '{key}'"));
            match key.as_str() {
                "id" => {}
                "enabled" => change.enabled = Some(value.as_bool().ok_or_else(wrong)?),
                "desired_config" => change.desired_config = Some(value.as_str().ok_or_else(wrong)?.into()),
                "error_count" => change.error_count = Some(value.as_i64().ok_or_else(wrong)?),
                "retry_policy" => change.retry_policy = Some(value.as_i64().ok_or_else(wrong)?),
                "state" => {
                    let layers = value.as_array().ok_or_else(wrong)?.iter();
                    change.state =
                        Some(layers.map(|layer| read_layer(layer, now)).collect::<Result<_, _>>()?);
                }
                "state_append" => change.state_append = Some(read_layer(value, now)?),
                "tags" => {
                    let tags: Option<BTreeMap<String, String>> = serde_json::from_value(value.clone()).ok();
                    change.tags = Some(tags.ok_or_else(wrong)?);
                }
                other => {
                    return Err(bad(format!(
                        "Additional properties are not allowed ('{other}' was unexpected)"
                    )));
                }
            }
        }
        Ok(change)
    }

    fn apply(self, component: &mut Component) {
        let resets = self.desired_config.is_some() || self.state.as_ref().is_some_and(Vec::is_empty);
        let thinks = resets || self.enabled.is_some_and(|enabled| enabled != component.enabled);
        if thinks || self.state.is_some() || self.state_append.is_some() || self.error_count.is_some() {
            component.round += 1;
        }
        if let Some(enabled) = self.enabled {
            component.enabled = enabled;
        }
        if let Some(config) = self.desired_config {
            component.desired_config = config;
        }
        if let Some(state) = self.state {
            component.state = Some(state);
        }
        if let Some(layer) = self.state_append {
            let state = component.state.get_or_insert_default();
            state.retain(|old| old.clone_url != layer.clone_url || old.playbook != layer.playbook);
            state.push(layer);
        }
        if resets {
            component.error_count = Some(0);
        }
        component.error_count = self.error_count.or(component.error_count);
        component.retry_policy = self.retry_policy.or(component.retry_policy);
        for (key, value) in self.tags.into_iter().flatten() {
            if value.is_empty() {
                component.tags.remove(&key);
            } else {
                component.tags.insert(key, value);
            }
        }
    }
}

fn read_layer(value: &Value, now: &Arc<str>) -> Result<Layer, Refusal> {
    let word = |key: &str| -> Result<Arc<str>, Refusal> {
        value[key].as_str().map(Arc::from).ok_or_else(|| bad(format!("'{key}' is a required property")))
    };
    let status = word("status")?;
    Ok(Layer {
        clone_url: word("clone_url")?,
        playbook: word("playbook")?,
        commit: word("commit")?,
        status: LayerStatus::read(&status)
            .ok_or_else(|| bad(format!("'{status}' is not a layer's status")))?,
        last_updated: value["last_updated"].as_str().map_or_else(|| now.clone(), Arc::from),
        session_name: word("session_name")?,
    })
}

impl World {
    /// The time as CFS writes it into layers: whole seconds.
    pub fn cfs_time(&self) -> Arc<str> {
        self.clock.seconds(self.now).into()
    }

    /// Changes a component; answers its status of before, as CFS does. `None` if there is no such component.
    pub fn cfs_change(&mut self, id: &str, change: Change) -> Option<Status> {
        let component = self.cfs.components.get_mut(id)?;
        let before = component.stored_status;
        change.apply(component);
        self.cfs_settle(id);
        Some(before)
    }

    /// Stores the status that is true now, and lets the batcher look at the component.
    pub fn cfs_settle(&mut self, id: &str) {
        let Some(component) = self.cfs.components.get(id) else { return };
        let status = self.cfs.status_of(component);
        if let (Some(component), Some(status)) = (self.cfs.components.get_mut(id), status) {
            component.stored_status = status;
            self.cfs_consider(id);
        }
    }
}

async fn patch_one(Extract(sim): Extract<Shared>, Path(id): Path<String>, body: Bytes) -> Answer {
    let object: Map<String, Value> = decoded(&body)?;
    sim.with(|world| {
        let change = Change::read(&object, &world.cfs_time())?;
        let before = world.cfs_change(&id, change).ok_or_else(|| not_found(&id))?;
        let component = world.cfs.components.get(&id).ok_or_else(|| not_found(&id))?;
        Ok(json(&world.cfs.view(&id, component, Detail { state: true, config: false }, before)))
    })
}

async fn patch_many(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body: Value = decoded(&body)?;
    sim.with(|world| {
        let now = world.cfs_time();
        let ids = match &body {
            Value::Array(changes) => {
                let mut read = Vec::with_capacity(changes.len());
                for change in changes {
                    let object = change.as_object().ok_or_else(|| bad("A component is an object"))?;
                    let id = change["id"].as_str().ok_or_else(|| bad("'id' is a required property"))?;
                    if !world.cfs.components.contains_key(id) {
                        return Err(not_found(id));
                    }
                    read.push((id.to_owned(), Change::read(object, &now)?));
                }
                change_all(world, read)
            }
            Value::Object(object) => {
                let (Some(patch), Some(filters)) = (
                    object.get("patch").and_then(Value::as_object),
                    object.get("filters").and_then(Value::as_object),
                ) else {
                    return Err(bad("'patch' and 'filters' are required properties"));
                };
                let change = Change::read(patch, &now)?;
                let ids = Filter::read(filters)?.ids(&world.cfs)?;
                change_all(world, ids.into_iter().map(|id| (id, change.clone())).collect())
            }
            _ => return Err(bad("Unsupported data type")),
        };
        Ok(json(&json!({ "component_ids": ids })))
    })
}

fn change_all(world: &mut World, changes: Vec<(String, Change)>) -> Vec<String> {
    let mut ids = Vec::with_capacity(changes.len());
    for (id, change) in changes {
        if world.cfs_change(&id, change).is_some() {
            ids.push(id);
        }
    }
    ids
}

async fn put_one(Extract(sim): Extract<Shared>, Path(id): Path<String>, body: Bytes) -> Answer {
    let object: Map<String, Value> = decoded(&body)?;
    sim.with(|world| {
        let status = put(world, &id, &object)?;
        let component = world.cfs.components.get(&id).ok_or_else(|| not_found(&id))?;
        Ok(json(&world.cfs.view(&id, component, Detail { state: true, config: false }, status)))
    })
}

async fn put_many(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let objects: Vec<Map<String, Value>> = decoded(&body)?;
    sim.with(|world| {
        let mut ids = Vec::with_capacity(objects.len());
        for object in &objects {
            let id =
                object.get("id").and_then(Value::as_str).ok_or_else(|| bad("'id' is a required property"))?;
            put(world, id, object)?;
            ids.push(id);
        }
        Ok(json(&json!({ "component_ids": ids })))
    })
}

/// Replaces a record by exactly what is given; what is missing is missing from then on.
fn put(world: &mut World, id: &str, object: &Map<String, Value>) -> Result<Status, Refusal> {
    let change = Change::read(object, &world.cfs_time())?;
    let old = world.cfs.components.get(id);
    let before = old.map_or(Status::Unconfigured, |component| component.stored_status);
    let component = Component {
        enabled: change.enabled.unwrap_or_default(),
        desired_config: change.desired_config.unwrap_or_default(),
        state: change.state,
        error_count: change.error_count,
        retry_policy: change.retry_policy,
        tags: change.tags.unwrap_or_default(),
        stored_status: before,
        round: old.map_or(0, |component| component.round) + 1,
    };
    world.cfs.components.insert(id.to_owned(), component);
    world.cfs_settle(id);
    Ok(before)
}

async fn delete(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    sim.with(|world| match world.cfs.components.remove(&id) {
        Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Err(not_found(&id)),
    })
}
