//! `/bosun/v1/components`: what is being done with components, and what was.

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    api::{ApiError, ApiState, body::Json, query::Query},
    db::{
        self,
        component::{Component, ComponentFilter, HistoryLine},
    },
};

/// Most components of one page.
const PAGE_MAX: i64 = 100_000;
/// Most sessions of one history.
const SESSIONS_MAX: i64 = 100;

/// The paths below `/bosun/v1`.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/components", get(list))
        .route("/components/{id}", get(one))
        .route("/components/{id}/history", get(history))
}

async fn list(State(state): State<ApiState>, query: Query) -> Result<Json<Vec<Value>>, ApiError> {
    let statuses: Option<Vec<String>> =
        query.text("status").map(|list| list.split(',').map(str::to_owned).collect());
    let filter = ComponentFilter {
        session: query.text("session"),
        enabled: query.boolean("enabled")?,
        phase: query.text("phase"),
        statuses: statuses.as_deref(),
        start_after: query.text("after"),
        limit: Some(query.number("page_size", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX)),
        ..ComponentFilter::default()
    };
    let mut conn = db::acquire(&state.pool).await?;
    let components = db::component::list(&mut conn, &filter).await?;
    Ok(Json::ok(components.iter().map(line).collect()))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    Ok(Json::ok(line(&db::component::get(&mut conn, &id).await?)))
}

fn line(component: &Component) -> Value {
    json!({
        "name": component.xname,
        "status": component.status,
        "phase": component.phase,
        "enabled": component.enabled,
        "session": component.session,
        "held_by": component.claimed_by,
        "last_action": component.last_action.action,
        "last_action_at": component.last_action.last_updated,
        "error": component.error,
        "kernel": component.actual.artifacts.as_ref().map(|artifacts| &artifacts.kernel),
        "configuration": component.desired.configuration,
    })
}

async fn history(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let max = query.number("max", 1, SESSIONS_MAX)?.unwrap_or(20);
    let mut conn = db::acquire(&state.pool).await?;
    db::component::get(&mut conn, &id).await?;
    let lines = db::component::component_history(&mut conn, &id, max).await?;
    Ok(Json::ok(lines.iter().map(history_line).collect()))
}

fn history_line(line: &HistoryLine) -> Value {
    json!({
        "at": line.at, "session": line.session, "session_id": line.session_id, "operation": line.operation,
        "step": line.step, "run": line.run, "outcome": line.result, "attempts": line.attempts,
        "reason": line.reason, "error": line.error,
    })
}
