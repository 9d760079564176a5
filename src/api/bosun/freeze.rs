//! `/bosun/v1/freezes`: maintenance locks. While one is in force nothing is begun with what it covers.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use crate::{
    admit::FreezeRequest,
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::{Endpoint, parameter},
        query::Query,
        schema::{Field, Shape, optional, required, some_text, text},
        tenant::Tenant,
    },
    db,
    model::{Timestamp, freeze::Freeze},
};

/// Most freezes of a list.
const LINES_MAX: i64 = 1_000;

const FREEZE: Shape = Shape::Named(
    "Freeze",
    &Shape::Object(&[
        required("id", &answer::COUNT),
        required("reason", &answer::TEXT),
        required("actor", &answer::TEXT),
        required("components", &Shape::Nullable(&answer::TEXT)),
        required("except", &Shape::Nullable(&answer::TEXT)),
        required("except_actors", &Shape::Many(&answer::TEXT)),
        required("created_at", &Shape::Moment),
        required("until", &Shape::Nullable(&Shape::Moment)),
        required("lifted_at", &Shape::Nullable(&Shape::Moment)),
        required("lifted_by", &Shape::Nullable(&answer::TEXT)),
        required("in_force", &Shape::Boolean),
    ]),
);
const REQUEST: Shape = Shape::Named("FreezeRequest", &Shape::Object(REQUEST_FIELDS));
const REQUEST_FIELDS: &[Field] = &[
    required("reason", &some_text(1_023)),
    optional("components", &Shape::Nullable(&text(524_288))),
    optional("except", &Shape::Nullable(&text(524_288))),
    optional("except_actors", &Shape::List { min: 0, max: 100, item: &some_text(255) }),
    optional("until", &Shape::Nullable(&Shape::Moment)),
];

#[derive(Deserialize)]
struct Body {
    reason: String,
    components: Option<String>,
    except: Option<String>,
    #[serde(default)]
    except_actors: Vec<String>,
    until: Option<Timestamp>,
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    const NUMBER: Shape = Shape::Integer { min: 1, max: i64::MAX };
    vec![
        Endpoint::get("/freezes", list, "Maintenance locks, newest first")
            .query(&[parameter("all", &Shape::Boolean, "Those that are over too")])
            .answer(200, &Shape::Many(&FREEZE)),
        Endpoint::post("/freezes", set, "Freeze the machine, or a part of it")
            .describe(
                "No session begins anything with what is frozen: new ones are refused, those that wait go on waiting, and \
                 in running ones nobody passes the gate.",
            )
            .body(&REQUEST)
            .answer(201, &FREEZE),
        Endpoint::delete("/freezes", lift_all, "Lift every freeze that is in force")
            .answer(200, &answer::MESSAGE),
        Endpoint::delete("/freezes/{number}", lift, "Lift a freeze")
            .path_shape("number", &NUMBER)
            .empty(204)
            .errors(&[404]),
    ]
}

async fn list(State(state): State<ApiState>, query: Query) -> Result<Json<Vec<Value>>, ApiError> {
    let all = query.boolean("all")? == Some(true);
    let mut conn = db::acquire(&state.pool).await?;
    let freezes = db::freeze::list(&mut conn, !all, LINES_MAX).await?;
    Ok(Json::ok(freezes.iter().map(show).collect()))
}

async fn set(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    tenant.nobodys()?;
    let body: Body = body.parsed(&REQUEST)?;
    let mut conn = db::acquire(&state.pool).await?;
    let now = db::service_life::get(&mut conn).await?.now;
    drop(conn);
    if let Some(until) = body.until.filter(|until| *until <= now) {
        return Err(ApiError::bad_request(format!("until: {until} is past; nothing was frozen")));
    }
    let request = FreezeRequest {
        reason: body.reason,
        scope: body.components.unwrap_or_default(),
        exempt: body.except.unwrap_or_default(),
        except_actors: body.except_actors,
        until: body.until,
        actor: actor.0,
    };
    let id = state.admit.freeze(request).await?;
    let mut conn = db::acquire(&state.pool).await?;
    let freezes = db::freeze::list(&mut conn, false, LINES_MAX).await?;
    let freeze = freezes.iter().find(|freeze| freeze.id == id);
    Ok(Json(StatusCode::CREATED, freeze.map(show).unwrap_or_default()))
}

async fn lift(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    Path(number): Path<String>,
) -> Result<Response, ApiError> {
    tenant.nobodys()?;
    let id: i64 = number
        .parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| ApiError::bad_request(format!("'{number}' is not the number of a freeze")))?;
    let mut conn = db::acquire(&state.pool).await?;
    if db::freeze::lift(&mut conn, Some(id), &actor.0).await? == 0 {
        return Err(ApiError::NotFound(format!("no freeze {id} is in force; see 'bosun freeze show'")));
    }
    state.waiting.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn lift_all(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
) -> Result<Json<Value>, ApiError> {
    tenant.nobodys()?;
    let mut conn = db::acquire(&state.pool).await?;
    let lifted = db::freeze::lift(&mut conn, None, &actor.0).await?;
    state.waiting.notify_one();
    Ok(Json::ok(json!({"message": format!("freezes lifted: {lifted}")})))
}

fn show(freeze: &Freeze) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "id": freeze.id, "reason": freeze.reason, "actor": freeze.actor, "components": text(&freeze.scope),
        "except": text(&freeze.exempt), "except_actors": freeze.except_actors, "created_at": freeze.created_at,
        "until": freeze.until, "lifted_at": freeze.lifted_at, "lifted_by": freeze.lifted_by,
        "in_force": freeze.in_force,
    })
}
