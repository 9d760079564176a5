//! `/bosun/v1/stuck`: sessions that somebody should look at, and what to look at next.

use axum::extract::State;
use serde_json::{Value, json};

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::Endpoint,
        schema::{Shape, required},
        tenant::Tenant,
    },
    db,
};

const STUCK: Shape = Shape::Named(
    "StuckSession",
    &Shape::Object(&[
        required("session", &answer::TEXT),
        required("operation", &answer::TEXT),
        required("state", &answer::STATE),
        required("reason", &Shape::Nullable(&answer::TEXT)),
        required("last_event_at", &Shape::Nullable(&Shape::Moment)),
        required("overdue", &answer::COUNT),
        required("overdue_step", &Shape::Nullable(&answer::TEXT)),
        required("next_command", &answer::TEXT),
    ]),
);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/stuck",
            list,
            "Sessions that wait for an operator, or in which components take too long",
        )
        .answer(200, &Shape::Many(&STUCK)),
    ]
}

async fn list(State(state): State<ApiState>, tenant: Tenant) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let line = |one: db::session::StuckSession| {
        json!({
            "session": one.session, "operation": one.operation, "state": one.state, "reason": one.reason,
            "last_event_at": one.last_event_at, "overdue": one.overdue, "overdue_step": one.overdue_step,
            "next_command": one.next_command,
        })
    };
    Ok(Json::ok(db::session::stuck(&mut conn, tenant.filter()).await?.into_iter().map(line).collect()))
}
