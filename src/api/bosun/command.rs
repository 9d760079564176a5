//! `/bosun/v1/sessions/{name}/commands`: what operators ask of a session. Its writer obeys and answers with an event.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer, session};
use crate::{
    admit::RetryRequest,
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        refuse_while_parked,
        schema::{self, Field, Shape, optional, required, some_text, text},
        tenant::Tenant,
    },
    db::{self, session::Session},
    model::{
        command::{CommandKind, CommandRequest},
        session::SessionState,
        xname::{self, Xname},
    },
};

/// Most characters of names in an answer.
const NAMES_CHARS_MAX: usize = 500;

const COMMAND: Shape = Shape::Named("CommandRequest", &Shape::Object(COMMAND_FIELDS));
const COMMAND_FIELDS: &[Field] = &[
    required("kind", &Shape::Word(&["pause", "resume", "cancel", "retry", "restart", "skip"])),
    optional("step", &Shape::Nullable(&some_text(255))),
    optional("components", &Shape::List { min: 0, max: 200_000, item: &some_text(1_023) }),
    optional("from", &Shape::Nullable(&some_text(255))),
    optional("reason", &Shape::Nullable(&text(1_023))),
];

/// A command as it is written in a body: components by name, range, parent, group or NID, as in a limit.
#[derive(Deserialize)]
pub struct CommandBody {
    /// What is asked.
    pub kind: CommandKind,
    /// Of which step.
    pub step: Option<String>,
    /// For whom.
    #[serde(default)]
    pub components: Vec<String>,
    /// Of a retry: from this step.
    pub from: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let path = "/sessions/{name}/commands";
    vec![
        Endpoint::get(path, list, "What was asked of a session, newest first")
            .answer(200, &Shape::Many(&answer::COMMAND))
            .errors(&[404]),
        Endpoint::post(path, order, "Ask something of a session")
            .describe("Its worker obeys, and answers with an event.")
            .body(&COMMAND)
            .answer(202, &answer::MESSAGE)
            .errors(&[404, 409, 422]),
    ]
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
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
    tenant: Tenant,
    Path(name): Path<String>,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.required()?;
    schema::check(&COMMAND, &body)?;
    let body: CommandBody =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let session = session::find(&mut *db::acquire(&state.pool).await?, &tenant, &name).await?;
    let message = give(&state, &session, body, actor).await?;
    Ok(Json(StatusCode::ACCEPTED, json!({"message": message})))
}

/// Asks a command of a session; what was asked, for people.
///
/// # Errors
/// The command makes no sense now, or names what there is not.
pub async fn give(
    state: &ApiState,
    session: &Session,
    body: CommandBody,
    actor: Actor,
) -> Result<String, ApiError> {
    let name = session.new.name.as_str();
    let mut conn = db::acquire(&state.pool).await?;
    let step = step_of(&mut conn, session, body.step).await?;
    Ok(match body.kind {
        CommandKind::Retry | CommandKind::Restart => {
            refuse_while_parked(&mut conn).await?;
            let retry = RetryRequest {
                session: name.to_owned(),
                tenant: session.new.tenant.clone(),
                step,
                limit: body.components.join(","),
                from: step_of(&mut conn, session, body.from).await?,
                reason: body.reason,
                actor: actor.0,
            };
            drop(conn);
            let retried = state.admit.retry(&retry).await?;
            format!("session {name} goes on with {} that had failed", counted(&retried.xnames))
        }
        kind => {
            drop(conn);
            let chosen = match body.components.as_slice() {
                [] => None,
                selection => Some(state.admit.choose(session, &selection.join(",")).await?),
            };
            let whom = chosen.as_ref().map(|chosen| format!(" for {}", counted(&chosen.xnames)));
            let components = chosen.map(|chosen| chosen.components).unwrap_or_default();
            let request = CommandRequest { kind, step, components, reason: body.reason };
            may(session, &request)?;
            let mut conn = db::acquire(&state.pool).await?;
            if request.kind != CommandKind::Cancel || !db::staged::cancel(&mut conn, &session.id).await? {
                db::command::insert(&mut conn, &session.id, &request, &actor.0).await?;
            }
            let kind = json!(kind);
            let kind = kind.as_str().unwrap_or_default();
            format!("{kind} asked of session {name}{}", whom.unwrap_or_default())
        }
    })
}

/// How many, and who, as far as a line has room.
fn counted(xnames: &[Xname]) -> String {
    let folded = xname::fold(xnames);
    let names = if folded.len() <= NAMES_CHARS_MAX { format!(" ({folded})") } else { String::new() };
    match xnames.len() {
        1 => format!("1 component{names}"),
        count => format!("{count} components{names}"),
    }
}

/// What makes no sense where the session is.
fn may(session: &Session, request: &CommandRequest) -> Result<(), ApiError> {
    let name = &session.new.name;
    let no = |why: String| Err(ApiError::conflict("The command makes no sense now", why));
    match (request.kind, session.state) {
        (_, SessionState::Ended) => no(format!("session '{name}' has ended")),
        (kind, SessionState::Running) if session.new.stage && kind != CommandKind::Cancel => {
            no(format!("session '{name}' is staged: nothing of it is done before it is applied"))
        }
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
