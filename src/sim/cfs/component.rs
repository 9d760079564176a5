//! Components: reading them in pages, and changing one, several or all that a filter admits.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::configuration::WantedLayer;
use super::status::{Layer, LayerStatus, Status, status};
use super::{Cfs, decoded};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json, missing, query, refuse};
use crate::sim::world::World;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/components", get(list).patch(patch_many).put(put_many))
        .route("/components/{id}", get(one).patch(patch_one).put(put_one).delete(delete))
}

/// A component's record.
#[derive(Clone, Debug)]
pub struct Component {
    pub enabled: bool,
    pub desired_config: Arc<str>,
    /// A record put without this, or without the next, cannot be read any more.
    pub state: Option<Vec<Layer>>,
    pub error_count: Option<i64>,
    pub retry_policy: Option<i64>,
    pub tags: BTreeMap<String, String>,
    /// The status as of the last write, which is what a write answers.
    pub stored_status: Status,
    /// Rises when the batcher has to think again.
    pub round: u32,
}

impl Component {
    fn is_poisoned(&self) -> bool {
        self.state.is_none() || self.error_count.is_none()
    }
}

/// A component as CFS shows it.
#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    enabled: bool,
    desired_config: &'a str,
    configuration_status: Status,
    error_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<i64>,
    tags: &'a BTreeMap<String, String>,
    logs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a [Layer]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_state: Option<Vec<Value>>,
}

impl Cfs {
    /// The layers a component is to have, if its configuration exists.
    pub fn wanted(&self, component: &Component) -> Option<&[WantedLayer]> {
        Some(&self.configurations.get(&component.desired_config)?.layers)
    }

    /// A component's status now; `None` if its record is poisoned.
    pub fn status_of(&self, component: &Component) -> Option<Status> {
        let (state, errors) = (component.state.as_deref()?, component.error_count?);
        let policy = component.retry_policy.unwrap_or_else(|| self.default_retries());
        Some(status(self.wanted(component), state, policy != -1 && errors >= policy))
    }

    fn view<'a>(&self, id: &'a str, component: &'a Component, detail: Detail, status: Status) -> View<'a> {
        let desired = || {
            let layers = self.wanted(component).into_iter().flatten();
            let view = |layer: &WantedLayer| json!({"clone_url": *layer.clone_url, "playbook": *layer.playbook, "commit": *layer.commit});
            layers.map(view).collect()
        };
        View {
            id,
            enabled: component.enabled,
            desired_config: &component.desired_config,
            configuration_status: status,
            error_count: component.error_count.unwrap_or_default(),
            retry_policy: component.retry_policy,
            tags: &component.tags,
            logs: format!("ara.local?label={id}"),
            state: component.state.as_deref().filter(|_| detail.state),
            desired_state: detail.config.then(desired),
        }
    }
}

/// What a reader wants beside the usual.
#[derive(Clone, Copy, Default)]
struct Detail {
    state: bool,
    config: bool,
}

/// Which components are meant.
#[derive(Debug, Default)]
pub struct Filter {
    ids: Option<Vec<String>>,
    status: Option<Status>,
    enabled: Option<bool>,
    config_name: Option<String>,
    tags: Vec<(String, String)>,
}

impl Filter {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "ids" => {
                let ids = value.split(',').map(str::trim).filter(|id| !id.is_empty());
                self.ids = Some(ids.map(str::to_owned).collect::<Vec<_>>()).filter(|ids| !ids.is_empty());
            }
            "status" if !value.is_empty() => {
                let status = Status::read(value).ok_or_else(|| {
                    bad(format!("'{value}' is not one of ['unconfigured', 'failed', 'pending', 'configured', '']\n\nFailed validating 'enum' in schema"))
                })?;
                self.status = Some(status);
            }
            "enabled" => self.enabled = Some(value.eq_ignore_ascii_case("true")),
            "config_name" if !value.is_empty() => self.config_name = Some(value.to_owned()),
            "tags" => {
                let pairs = value.split(',').filter_map(|pair| pair.split_once('='));
                self.tags.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the `filters` of a PATCH.
    pub fn read(object: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut filter = Self::default();
        for (key, value) in object {
            match value {
                Value::String(text) => filter.set(key, text)?,
                Value::Null => {}
                other => filter.set(key, &other.to_string())?,
            }
        }
        Ok(filter)
    }

    fn admits(&self, cfs: &Cfs, component: &Component) -> Result<bool, Refusal> {
        let tag = |(key, value): &(String, String)| component.tags.get(key) == Some(value);
        let status = match self.status {
            None => true,
            Some(wanted) => cfs.status_of(component).ok_or_else(poisoned)? == wanted,
        };
        Ok(status
            && self.enabled.is_none_or(|enabled| enabled == component.enabled)
            && self.config_name.as_ref().is_none_or(|name| **name == *component.desired_config)
            && self.tags.iter().all(tag))
    }

    /// The components that are meant, behind `after`, at most `limit`; and whether there are more.
    fn select<'a>(
        &self,
        cfs: &'a Cfs,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<(&'a String, &'a Component)>, bool), Refusal> {
        let mut ids = self.ids.clone();
        if let Some(ids) = &mut ids {
            ids.sort_unstable();
            ids.dedup();
        }
        let range = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        let mut some = ids
            .iter()
            .flatten()
            .filter(|id| id.as_str() > after)
            .filter_map(|id| cfs.components.get_key_value(id));
        let mut all = cfs.components.range::<String, _>(range);
        let named = self.ids.is_some();
        let mut found = Vec::new();
        while let Some((id, component)) = if named { some.next() } else { all.next() } {
            if component.is_poisoned() {
                return Err(poisoned());
            }
            if self.admits(cfs, component)? {
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push((id, component));
            }
        }
        Ok((found, false))
    }

    /// The ids of all components that are meant.
    pub fn ids(&self, cfs: &Cfs) -> Result<Vec<String>, Refusal> {
        let (found, _) = self.select(cfs, "", usize::MAX)?;
        Ok(found.into_iter().map(|(id, _)| id.clone()).collect())
    }
}

fn poisoned() -> Refusal {
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The server encountered an internal error and was unable to complete your request.",
    )
}

fn not_found(id: &str) -> Refusal {
    missing(format!("Component {id} could not be found"))
}

#[derive(Serialize)]
struct Page<'a> {
    components: Vec<View<'a>>,
    next: Option<Map<String, Value>>,
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let pairs = query(raw.as_deref());
    let (mut filter, mut detail) = (Filter::default(), Detail::default());
    let (mut after, mut limit) = (String::new(), None);
    for (key, value) in &pairs {
        match key.as_str() {
            "after_id" => after.clone_from(value),
            "limit" => {
                limit = Some(
                    value
                        .parse()
                        .map_err(|_| bad("Wrong type, expected 'integer' for query parameter 'limit'"))?,
                )
            }
            "state_details" => detail.state = value.eq_ignore_ascii_case("true"),
            "config_details" => detail.config = value.eq_ignore_ascii_case("true"),
            _ => filter.set(key, value)?,
        }
    }
    sim.with(|world| {
        let cfs = &world.cfs;
        let limit = limit.filter(|limit| *limit > 0).unwrap_or_else(|| cfs.page_size());
        let (found, more) = filter.select(cfs, &after, limit)?;
        let next = found.last().filter(|_| more).map(|(last, _)| next_page(&pairs, last, limit));
        let mut components = Vec::with_capacity(found.len());
        for (id, component) in found {
            let status = cfs.status_of(component).ok_or_else(poisoned)?;
            components.push(cfs.view(id, component, detail, status));
        }
        Ok(json(&Page { components, next }))
    })
}

/// The parameters of the next page: all of this one's, and where it ended.
fn next_page(pairs: &[(String, String)], last: &str, limit: usize) -> Map<String, Value> {
    let mut next = Map::new();
    for key in ["ids", "status", "enabled", "config_name", "tags", "state_details", "config_details"] {
        let given = pairs.iter().find(|(name, _)| name == key);
        next.insert(key.to_owned(), given.map_or(Value::Null, |(_, value)| value.as_str().into()));
    }
    next.insert("limit".to_owned(), limit.into());
    next.insert("after_id".to_owned(), last.into());
    next
}

async fn one(Extract(sim): Extract<Shared>, Path(id): Path<String>, RawQuery(raw): RawQuery) -> Answer {
    let asked = |name: &str| {
        query(raw.as_deref()).iter().any(|(key, value)| key == name && value.eq_ignore_ascii_case("true"))
    };
    let detail = Detail { state: asked("state_details"), config: asked("config_details") };
    sim.with(|world| {
        let component = world.cfs.components.get(&id).ok_or_else(|| not_found(&id))?;
        let status = world.cfs.status_of(component).ok_or_else(poisoned)?;
        Ok(json(&world.cfs.view(&id, component, detail, status)))
    })
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
