//! Sessions that somebody asked for. They run for a while and change nothing.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::decoded;
use crate::sim::Shared;
use crate::sim::clock::Moment;
use crate::sim::http::{Answer, Refusal, bad, json, json_with, missing, refuse};
use crate::sim::world::World;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/sessions", get(list).post(create))
        .route("/sessions/{name}", get(one).delete(delete))
}

/// A session as it was asked for.
#[derive(Clone, Debug)]
pub struct Session {
    asked: Map<String, Value>,
    created: Moment,
}

fn view(world: &World, name: &str, session: &Session) -> Value {
    let age = world.now.since(session.created);
    let done = age >= world.settings.configure;
    let asked = |key: &str| session.asked.get(key).cloned().unwrap_or_else(|| "".into());
    json!({
        "name": name, "configuration": {"name": asked("configuration_name"), "limit": asked("configuration_limit")},
        "ansible": {"limit": asked("ansible_limit")}, "target": asked("target"), "tags": asked("tags"),
        "status": {
            "artifacts": [],
            "session": {
                "status": if done { "complete" } else { "running" }, "succeeded": if done { "true" } else { "none" },
                "start_time": world.clock.seconds(session.created),
                "completion_time": done.then(|| world.clock.seconds(session.created.after(world.settings.configure))),
                "job": format!("cfs-{name}"),
            },
        },
        "logs": format!("ara.local?label={name}"),
    })
}

fn not_found(name: &str) -> Refusal {
    missing(format!("Session {name} could not be found"))
}

async fn list(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| {
        let all: Vec<Value> =
            world.cfs.sessions.iter().map(|(name, session)| view(world, name, session)).collect();
        json(&json!({ "sessions": all, "next": null }))
    })
}

async fn one(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Answer {
    sim.with(|world| {
        let session = world.cfs.sessions.get(&name).ok_or_else(|| not_found(&name))?;
        Ok(json(&view(world, &name, session)))
    })
}

async fn create(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let asked: Map<String, Value> = decoded(&body)?;
    let word = |key: &str| asked.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, configuration) = (word("name"), word("configuration_name"));
    if name.is_empty() || name.len() > 45 {
        return Err(bad("The session's name must have 1 to 45 characters"));
    }
    sim.with(|world| {
        if world.cfs.sessions.contains_key(&name) {
            return Err(refuse(StatusCode::CONFLICT, "Conflicting session name"));
        }
        if !configuration.starts_with("debug_")
            && !world.cfs.configurations.contains_key(configuration.as_str())
        {
            return Err(bad(format!("No configurations exist named {configuration}")));
        }
        let session = Session { asked, created: world.now };
        let response = json_with(StatusCode::CREATED, &view(world, &name, &session));
        world.cfs.sessions.insert(name, session);
        Ok(response)
    })
}

async fn delete(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Answer {
    sim.with(|world| match world.cfs.sessions.remove(&name) {
        Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Err(not_found(&name)),
    })
}
