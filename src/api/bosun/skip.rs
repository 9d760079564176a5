//! `/bosun/v1/sessions/{name}/skips`: everybody who was left out of a session, and why: at admission and on the way.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{answer, page, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, parameter},
        query::Query,
        schema::{Shape, required, text},
        tenant::Tenant,
    },
    db::{self, skip::SkipLine},
};

const SKIP: Shape = Shape::Named(
    "Skip",
    &Shape::Object(&[
        required("component", &answer::TEXT),
        required("step", &Shape::Nullable(&answer::TEXT)),
        required("reason", &Shape::Nullable(&answer::TEXT)),
        required("error", &Shape::Nullable(&answer::TEXT)),
        required("at", &Shape::Nullable(&Shape::Moment)),
    ]),
);
const REASON: Shape = text(127);
const PAGE: Shape = Shape::Named(
    "SkipPage",
    &Shape::Object(&[required("skips", &Shape::Many(&SKIP)), required("next", &page::NEXT)]),
);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sessions/{name}/skips", skips, "Who was left out of a session, and why")
            .describe("At admission (step is null) and on the way.")
            .query(&[parameter("reason", &REASON, "Only those left out for this reason")])
            .query(page::PARAMETERS)
            .answer(200, &PAGE)
            .errors(&[404]),
    ]
}

async fn skips(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let (after, limit) = page::wanted(&query)?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
    let found = db::skip::page(&mut conn, &session.id, query.text("reason"), after, limit).await?;
    Ok(Json::ok(json!({
        "skips": found.lines.iter().map(line).collect::<Vec<_>>(), "next": page::next(found.next),
    })))
}

fn line(line: &SkipLine) -> Value {
    json!({
        "component": line.xname, "step": line.step, "reason": line.reason, "error": line.text, "at": line.at,
    })
}
