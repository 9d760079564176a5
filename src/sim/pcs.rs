//! PCS, power control: orders to BMCs, and what it believes of power.
//!
//! Everything it says and decides comes from a table that it refills only now and then, so it is wrong for a while
//! after every change. A transition that is `completed` is over; whether it did anything is told by its tasks.

mod stage;
mod table;
mod transition;

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use self::table::{Question, Reading};
use self::transition::{Operation, Transition};
use super::Shared;
use super::http::{Answer, bad, json, json_with, missing, query, read, refuse};

/// What PCS keeps.
#[derive(Debug)]
pub struct Pcs {
    /// By node; `None` for what PCS has not seen yet, or what is not there.
    table: Vec<Option<Reading>>,
    transitions: Vec<Transition>,
    by_id: HashMap<Uuid, usize>,
}

impl Pcs {
    /// A PCS that has not looked at anything yet.
    pub fn new(nodes: usize) -> Self {
        Self { table: vec![None; nodes], transitions: Vec::new(), by_id: HashMap::new() }
    }

    /// Makes room for one more node.
    pub fn grow(&mut self) {
        self.table.push(None);
    }
}

/// PCS's routes, which exist bare and below `/v1`.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/power-status", get(status_get).post(status_post))
        .route("/transitions", post(create).get(list))
        .route("/transitions/{id}", get(one).delete(abort))
        .route("/liveness", get(async || StatusCode::NO_CONTENT))
        .route("/readiness", get(async || StatusCode::NO_CONTENT))
        .route("/health", get(health))
}

async fn health() -> Response {
    json(&json!({
        "KvStore": "connected, responsive", "DistLocking": "connected, responsive",
        "StateManager": "connected, responsive", "Vault": "connected, responsive",
        "TaskRunner": {"Status": "connected, responsive, Local Mode"},
    }))
}

async fn status_get(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let mut question = Question::default();
    for (key, value) in query(raw.as_deref()) {
        match key.as_str() {
            "xname" => question.xname.extend(value.split(',').map(str::to_owned)),
            "powerStateFilter" => question.power_state_filter = value,
            "managementStateFilter" => question.management_state_filter = value,
            _ => {}
        }
    }
    sim.with(|world| world.power_status(&question))
}

async fn status_post(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let question: Question = read(&body).map_err(bad)?;
    sim.with(|world| world.power_status(&question))
}

#[derive(Deserialize)]
struct NewTransition {
    #[serde(default)]
    operation: String,
    #[serde(rename = "taskDeadlineMinutes", default = "default_deadline")]
    deadline_minutes: i64,
    #[serde(default)]
    location: Vec<Location>,
}

fn default_deadline() -> i64 {
    5
}

/// A component of a new transition.
#[derive(Debug, Deserialize)]
struct Location {
    #[serde(default)]
    xname: String,
    #[serde(rename = "deputyKey", default)]
    deputy_key: Option<String>,
}

async fn create(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let new: NewTransition = read(&body).map_err(bad)?;
    let operation = Operation::read(&new.operation)
        .ok_or_else(|| bad(format!("invalid Operation type {}", new.operation)))?;
    sim.with(|world| {
        if new.location.len() > world.settings.pcs_max_xnames {
            return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "etcdserver: request is too large"));
        }
        let id = world.create_transition(operation, new.deadline_minutes, new.location);
        let mut response = json(&json!({"transitionID": id, "operation": operation.name()}));
        if let Ok(place) = HeaderValue::from_str(&format!("../transitions/{id}")) {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    })
}

async fn list(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| {
        let all: Vec<_> = world.pcs.transitions.iter().map(|t| t.view(&world.clock, false)).collect();
        json(&json!({ "transitions": all }))
    })
}

fn parse_id(id: &str) -> Result<Uuid, super::http::Refusal> {
    Uuid::parse_str(id).map_err(|_| bad(format!("invalid UUID length: {}", id.len())))
}

async fn one(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    let id = parse_id(&id)?;
    sim.with(|world| match world.pcs.by_id.get(&id) {
        Some(&number) => Ok(json(&world.pcs.transitions[number].view(&world.clock, true))),
        None => Err(missing(format!("Key /transition/{id} does not exist"))),
    })
}

async fn abort(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    let id = parse_id(&id)?;
    sim.with(|world| {
        let Some(&number) = world.pcs.by_id.get(&id) else {
            return Err(missing(format!("Key /transition/{id} does not exist")));
        };
        if !world.pcs.transitions[number].signal_abort() {
            return Err(bad("Transition is already finished and cannot be aborted."));
        }
        let accepted = json!({"abortStatus": "Accepted - abort initiated"});
        Ok(json_with(StatusCode::ACCEPTED, &accepted))
    })
}
