//! `/bosun/v1/sessions/{name}/commands`: what operators ask of a session. Its writer obeys and answers with an event.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::session;
use crate::{
    admit::RetryRequest,
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        refuse_while_parked,
        schema::{self, Field, Shape, optional, required, some_text, text},
    },
    db::{self, session::Session},
    model::{
        command::{CommandKind, CommandRequest},
        session::SessionState,
    },
};

const COMMAND: &[Field] = &[
    required("kind", &Shape::Word(&["pause", "resume", "cancel", "retry", "restart", "skip"])),
    optional("step", &Shape::Nullable(&some_text(255))),
    optional("components", &Shape::List { min: 0, max: 200_000, item: &some_text(127) }),
    optional("reason", &Shape::Nullable(&text(1_023))),
];

/// A command as it is written in a body: components by name.
#[derive(Deserialize)]
struct CommandBody {
    kind: CommandKind,
    step: Option<String>,
    #[serde(default)]
    components: Vec<String>,
    reason: Option<String>,
}

/// The path below `/bosun/v1`.
pub fn router() -> Router<ApiState> {
    Router::new().route("/sessions/{name}/commands", get(list).post(order))
}

async fn list(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &name).await?;
    let commands = db::command::list(&mut conn, &session.id).await?;
    let shown = commands.iter().map(|row| {
        json!({
            "id": row.command.id, "kind": row.command.request.kind, "step": row.command.request.step,
            "reason": row.command.request.reason, "actor": row.command.actor, "created_at": row.created_at,
            "obeyed_at": row.obeyed_at, "answer": row.answer,
        })
    });
    Ok(Json::ok(shown.collect()))
}

async fn order(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.required()?;
    schema::check(&Shape::Object(COMMAND), &body)?;
    let body: CommandBody =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &name).await?;
    let step = step_of(&mut conn, &session, body.step).await?;
    let message = match body.kind {
        CommandKind::Retry | CommandKind::Restart => {
            refuse_while_parked(&mut conn).await?;
            drop(conn);
            let retry = RetryRequest {
                session: name.clone(),
                tenant: String::new(),
                step,
                limit: body.components.join(","),
                reason: body.reason,
                actor: actor.0,
            };
            let retried = state.admit.retry(&retry).await?;
            format!("session {name} goes on with {} that had failed", counted(retried.components))
        }
        kind => {
            let components = components_of(&mut conn, &body.components).await?;
            let request = CommandRequest { kind, step, components, reason: body.reason };
            may(&session, &request)?;
            db::command::insert(&mut conn, &session.id, &request, &actor.0).await?;
            let kind = json!(kind);
            format!("{} asked of session {name}", kind.as_str().unwrap_or_default())
        }
    };
    Ok(Json(StatusCode::ACCEPTED, json!({"message": message})))
}

fn counted(components: usize) -> String {
    if components == 1 { "1 component".to_owned() } else { format!("{components} components") }
}

/// What makes no sense where the session is.
fn may(session: &Session, request: &CommandRequest) -> Result<(), ApiError> {
    let name = &session.new.name;
    let no = |why: String| Err(ApiError::conflict("The command makes no sense now", why));
    match (request.kind, session.state) {
        (_, SessionState::Ended) => no(format!("session '{name}' has ended")),
        (CommandKind::Resume, SessionState::Running | SessionState::Cancelling | SessionState::Waiting) => {
            no(format!(
                "session '{name}' is {}; only a paused, halted or stuck one goes on",
                session.state.label()
            ))
        }
        (CommandKind::Skip, _) if request.step.is_none() && request.components.is_empty() => {
            Err(ApiError::bad_request("skip needs a step or components"))
        }
        _ => Ok(()),
    }
}

/// A step by its name, or by what every boot set calls it.
async fn step_of(
    conn: &mut db::Connection,
    session: &Session,
    step: Option<String>,
) -> Result<Option<String>, ApiError> {
    let Some(step) = step else { return Ok(None) };
    let steps = db::step::list(conn, &session.id).await?;
    let is_meant = |name: &str| name == step || name.rsplit_once('/').is_some_and(|(_, stem)| stem == step);
    if steps.iter().any(|row| is_meant(&row.name)) {
        return Ok(Some(step));
    }
    let known: Vec<_> = steps.iter().map(|row| row.name.as_str()).collect();
    Err(ApiError::bad_request(format!(
        "session '{}' has no step '{step}'; it has {}",
        session.new.name,
        known.join(", ")
    )))
}

/// The numbers of components, ascending.
async fn components_of(conn: &mut db::Connection, names: &[String]) -> Result<Vec<i32>, ApiError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: BTreeMap<String, i32> = db::component::numbers(conn, names).await?.into_iter().collect();
    let unknown: Vec<_> = names.iter().filter(|name| !numbers.contains_key(*name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(ApiError::bad_request(format!("no such component: {}", unknown.join(", "))));
    }
    let mut numbers: Vec<i32> = numbers.into_values().collect();
    numbers.sort_unstable();
    Ok(numbers)
}
