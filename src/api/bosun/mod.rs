//! Our own API: what `bosun`'s client commands use. Sessions with any operation, plans, steps, history, commands.

mod command;
mod component;
mod plan;
mod session;
mod session_template;
mod view;

use axum::{Router, extract::State, routing::get};
use serde_json::{Value, json};

use super::{ApiError, ApiState, body::Json};
use crate::db;

/// The paths below `/bosun/v1`.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/healthz", get(health))
        .merge(session::router())
        .merge(command::router())
        .merge(plan::router())
        .merge(session_template::router())
        .merge(component::router())
}

/// 503 without a database: unlike BOS's, this one may be believed.
async fn health(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    if db::is_alive(&state.pool).await {
        Ok(Json::ok(json!({"database": "ok", "version": env!("CARGO_PKG_VERSION")})))
    } else {
        Err(ApiError::Unavailable("the database does not answer".to_owned()))
    }
}
