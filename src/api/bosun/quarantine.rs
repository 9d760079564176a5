//! `/bosun/v1/quarantine`: components that sessions leave out until somebody releases them.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        schema::{Field, Shape, optional, required, some_text, text},
        tenant::Tenant,
    },
    db,
    model::xname,
};

const QUARANTINED: Shape = Shape::Named(
    "Quarantined",
    &Shape::Object(&[
        required("component", &answer::TEXT),
        required("reason", &answer::TEXT),
        required("actor", &answer::TEXT),
        required("is_automatic", &Shape::Boolean),
        required("since", &Shape::Moment),
    ]),
);
const REQUEST: Shape = Shape::Named("QuarantineRequest", &Shape::Object(REQUEST_FIELDS));
const REQUEST_FIELDS: &[Field] =
    &[required("components", &some_text(524_288)), required("reason", &some_text(1_023))];
const RELEASE: Shape = Shape::Named("ReleaseRequest", &Shape::Object(RELEASE_FIELDS));
const RELEASE_FIELDS: &[Field] =
    &[required("components", &some_text(524_288)), optional("reason", &Shape::Nullable(&text(1_023)))];

#[derive(Deserialize)]
struct Body {
    components: String,
    reason: Option<String>,
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/quarantine", list, "Components in quarantine")
            .answer(200, &Shape::Many(&QUARANTINED)),
        Endpoint::post("/quarantine", put, "Put components into quarantine")
            .describe(
                "Sessions that are admitted from now on leave them out; those at work are not disturbed.",
            )
            .body(&REQUEST)
            .answer(200, &answer::MESSAGE),
        Endpoint::post("/quarantine/release", release, "Release components from quarantine")
            .body(&RELEASE)
            .answer(200, &answer::MESSAGE),
    ]
}

async fn list(State(state): State<ApiState>) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let line = |one: db::quarantine::Quarantined| {
        json!({
            "component": one.xname, "reason": one.reason, "actor": one.actor, "is_automatic": one.is_automatic,
            "since": one.since,
        })
    };
    Ok(Json::ok(db::quarantine::list(&mut conn).await?.into_iter().map(line).collect()))
}

async fn put(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    tenant.nobodys()?;
    let body: Body = body.parsed(&REQUEST)?;
    let chosen = state.admit.select("", &body.components).await?;
    let mut conn = db::acquire(&state.pool).await?;
    let reason = body.reason.unwrap_or_default();
    let put = db::quarantine::insert(&mut conn, &chosen.components, &reason, &actor.0).await?;
    Ok(Json::ok(json!({"message": format!("in quarantine: {put} more ({})", xname::fold(&chosen.xnames))})))
}

async fn release(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    tenant.nobodys()?;
    let body: Body = body.parsed(&RELEASE)?;
    let chosen = state.admit.select("", &body.components).await?;
    let mut conn = db::acquire(&state.pool).await?;
    let released = db::quarantine::release(&mut conn, &chosen.components, &actor.0).await?;
    Ok(Json::ok(json!({"message": format!("released: {released} of {}", xname::fold(&chosen.xnames))})))
}
