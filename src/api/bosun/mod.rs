//! Our own API: what `bosun`'s client commands use. Sessions with any operation, plans, steps, history, commands.

pub mod answer;
mod claim;
pub(super) mod command;
mod component;
mod effect;
mod event;
mod freeze;
mod import;
mod options;
mod page;
pub(super) mod plan;
mod quarantine;
mod result;
mod rollout;
mod session;
mod session_template;
mod skip;
mod stuck;
pub(super) mod view;
mod wave;

use axum::extract::State;
use serde_json::{Value, json};

use super::{ApiError, ApiState, body::Json, endpoint::Endpoint};
use crate::db;

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let own = vec![
        Endpoint::get("/healthz", health, "Whether the database answers; 503 if not")
            .open()
            .answer(200, &answer::HEALTH),
    ];
    [
        own,
        session::endpoints(),
        result::endpoints(),
        skip::endpoints(),
        effect::endpoints(),
        event::endpoints(),
        command::endpoints(),
        plan::endpoints(),
        session_template::endpoints(),
        component::endpoints(),
        claim::endpoints(),
        options::endpoints(),
        freeze::endpoints(),
        import::endpoints(),
        stuck::endpoints(),
        quarantine::endpoints(),
    ]
    .concat()
    .into_iter()
    .map(|endpoint| if endpoint.path == "/healthz" { endpoint } else { endpoint.tenant() })
    .collect()
}

/// 503 without a database: unlike BOS's, this one may be believed.
async fn health(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    if db::is_alive(&state.pool).await {
        Ok(Json::ok(json!({"database": "ok", "version": env!("CARGO_PKG_VERSION")})))
    } else {
        Err(ApiError::Unavailable("the database does not answer".to_owned()))
    }
}
