//! Components: their records, and reading them in pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Cfs;
use super::configuration::WantedLayer;
use super::filter::{Filter, Selection};
use super::status::{Layer, Status, status};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json, missing, query, refuse};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new().route("/components", get(list)).route("/components/{id}", get(one))
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
    /// Whether the record cannot be read any more.
    pub fn is_poisoned(&self) -> bool {
        self.state.is_none() || self.error_count.is_none()
    }
}

/// A component as CFS shows it.
#[derive(Serialize)]
pub struct View<'a> {
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

    /// The component as CFS shows it, with the status that the caller found.
    pub fn view<'a>(
        &self,
        id: &'a str,
        component: &'a Component,
        detail: Detail,
        status: Status,
    ) -> View<'a> {
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
pub struct Detail {
    pub state: bool,
    pub config: bool,
}

/// What CFS answers when a record cannot be read.
pub fn poisoned() -> Refusal {
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The server encountered an internal error and was unable to complete your request.",
    )
}

/// What CFS answers for an unknown id.
pub fn not_found(id: &str) -> Refusal {
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
        let Selection { found, more } = filter.select(cfs, &after, limit)?;
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
