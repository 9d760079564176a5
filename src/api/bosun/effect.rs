//! `/bosun/v1/sessions/{name}/effects`: the calls of a session that changed the world.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{answer, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, parameter},
        query::Query,
        schema::Shape,
        tenant::Tenant,
    },
    db::{self, effect::EffectLine},
};

/// Most lines of one page.
const PAGE_MAX: i64 = 1_000;
const NUMBER: Shape = Shape::Integer { min: 0, max: i32::MAX as i64 };

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/sessions/{name}/effects",
            effects,
            "The calls of a session that changed the world, in order",
        )
        .query(&[parameter("after", &NUMBER, "Only those after this number")])
        .answer(200, &Shape::Many(&answer::EFFECT))
        .errors(&[404]),
    ]
}

async fn effects(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let after = query.number("after", 0, i32::MAX)?.unwrap_or(0);
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
    let lines = db::effect::page(&mut conn, &session.id, after, PAGE_MAX).await?;
    Ok(Json::ok(lines.iter().map(effect_line).collect()))
}

fn effect_line(line: &EffectLine) -> Value {
    json!({
        "no": line.no, "step": line.step, "verb": line.verb, "rung": line.rung, "state": line.state,
        "components": line.components, "reference": line.reference, "error": line.error,
        "intended_at": line.intended_at, "answered_at": line.answered_at, "lost_at": line.lost_at,
        "settled_at": line.settled_at,
    })
}
