//! `/v2/sessions`: taken at once, admitted by `serve`'s loop; always ending as `complete`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{answer, session_view, shape, time};
use crate::{
    admit::{APPLIES, SessionRequest},
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::{Endpoint, Parameter, parameter},
        name_in_path,
        query::Query,
        schema,
        tenant::{Tenant, Unknown},
    },
    db::{
        self,
        session::{Api, NewSession, Session, SessionFilter},
    },
    model::{
        command::{CommandKind, CommandRequest},
        limit::looks_like_nid,
        options::Options,
        session::{Name, SessionState},
    },
};

/// What BOS knows; sessions with another operation are not for its clients to see.
const OPERATIONS: [&str; 3] = ["boot", "reboot", "shutdown"];

const FILTERS: &[Parameter] = &[
    parameter("min_age", &shape::AGE, "Only sessions at least so old"),
    parameter("max_age", &shape::AGE, "Only sessions at most so old"),
    parameter("status", &shape::SESSION_LABEL, "Only sessions with this status"),
];

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sessions", list, "Sessions").tenant().query(FILTERS).answer(200, &answer::SESSIONS),
        Endpoint::post("/sessions", create, "Ask for a session; it is admitted soon after")
            .tenant()
            .body(&shape::SESSION_CREATE)
            .answer(201, &answer::SESSION)
            .errors(&[409]),
        Endpoint::delete("/sessions", delete_many, "Delete sessions")
            .describe("Without a filter only those that are complete. One that still runs is cancelled.")
            .tenant()
            .query(FILTERS)
            .empty(204),
        Endpoint::get("/sessions/{name}", one, "A session")
            .tenant()
            .answer(200, &answer::SESSION)
            .errors(&[404]),
        Endpoint::patch("/sessions/{name}", patch, "Change what is shown of a session")
            .tenant()
            .body(&shape::SESSION_UPDATE)
            .answer(200, &answer::SESSION)
            .errors(&[404]),
        Endpoint::delete("/sessions/{name}", delete, "Delete a session; one that still runs is cancelled")
            .tenant()
            .empty(204)
            .errors(&[404]),
        Endpoint::get("/sessions/{name}/status", status, "How far a session is")
            .tenant()
            .answer(200, &answer::SESSION_STATUS)
            .errors(&[404]),
        Endpoint::post("/sessions/{name}/status", save_status, "Save how far a session is")
            .tenant()
            .answer(200, &answer::SESSION_STATUS)
            .errors(&[404]),
    ]
}

#[derive(Deserialize)]
struct Body {
    name: Option<Name>,
    operation: String,
    template_name: Name,
    limit: Option<String>,
    #[serde(default)]
    stage: bool,
    #[serde(default)]
    include_disabled: bool,
}

async fn create(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.required()?;
    tenant.scope(&state, Unknown::Owner).await?;
    schema::check(&shape::SESSION_CREATE, &body)?;
    let body: Body =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let limit = body.limit.unwrap_or_default();
    check_limit(&limit, &state.options().await?)?;
    let template_name = body.template_name.as_str();
    check_template(&state, &tenant, template_name, body.operation != "shutdown").await?;
    let new = NewSession {
        name: body.name.unwrap_or_else(|| {
            Uuid::new_v4().to_string().parse().expect("a UUID is made of letters, digits and '-'")
        }),
        tenant: tenant.0,
        operation: body.operation,
        template_name: template_name.to_owned(),
        api: Api::V2,
        limit,
        include_disabled: body.include_disabled,
        stage: body.stage,
        request: json!({}),
        actor: actor.0,
    };
    if !new.stage {
        state.admit.refuse_frozen(&SessionRequest::of(&new)).await?;
    }
    let mut conn = db::acquire(&state.pool).await?;
    let id = db::session::insert_waiting(&mut conn, &new).await?;
    state.waiting.notify_one();
    let session = db::session::get_by_id(&mut conn, &id).await?;
    Ok(Json(StatusCode::CREATED, session_view::show(&session, "", None)))
}

fn check_limit(limit: &str, options: &Options) -> Result<(), ApiError> {
    if options.session_limit_required && limit.is_empty() {
        return Err(ApiError::bad_request("session_limit_required: give a limit; '*' means everybody"));
    }
    let named_by_nid = |item: &str| looks_like_nid(item.trim_start_matches(['&', '!']));
    if options.reject_nids && limit.split(',').any(named_by_nid) {
        return Err(ApiError::bad_request(format!(
            "reject_nids: session limit appears to contain NIDs: {limit}"
        )));
    }
    Ok(())
}

async fn check_template(state: &ApiState, tenant: &Tenant, name: &str, boots: bool) -> Result<(), ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let template = match db::session_template::get(&mut conn, &tenant.0, name).await {
        Ok(template) => template,
        Err(db::DbError::NotFound { .. }) => {
            return Err(ApiError::bad_request(format!("Session Template Name invalid: {name}")));
        }
        Err(error) => return Err(error.into()),
    };
    drop(conn);
    let found = state.admit.validate_template(name, &template.content, boots).await?;
    match found.errors.first() {
        Some(error) => Err(ApiError::bad_request(format!("Session Template fails check: {error}"))),
        None => Ok(()),
    }
}

/// What applies a staged session shows in its components, and not as a session.
fn is_shown(session: &Session) -> bool {
    OPERATIONS.contains(&session.new.operation.as_str()) && session.new.request.get(APPLIES).is_none()
}

async fn find(conn: &mut db::Connection, tenant: &Tenant, name: &str) -> Result<Session, ApiError> {
    name_in_path(name)?;
    let missing = || {
        let words = tenant.words();
        let space = if words.is_empty() { " " } else { "" };
        let session = if words.is_empty() { String::new() } else { format!(" {words}") };
        ApiError::NotFound(format!("Session{session}{space}'{name}' does not exist"))
    };
    match db::session::get(conn, &tenant.0, name).await {
        Ok(session) if is_shown(&session) => Ok(session),
        Ok(_) | Err(db::DbError::NotFound { .. }) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    shown_one(&mut conn, &session).await
}

async fn shown_one(conn: &mut db::Connection, session: &Session) -> Result<Json<Value>, ApiError> {
    let shown = show_all(conn, std::slice::from_ref(session)).await?;
    Ok(Json::ok(shown.into_iter().next().unwrap_or_default()))
}

/// Sessions as they are shown, with two statements for all of them.
async fn show_all(conn: &mut db::Connection, sessions: &[Session]) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    let members = db::session_component_batch::joined_member_names(conn, &ids).await?;
    let records = db::session_record::list(conn, &ids).await?;
    let show = |session: &Session| {
        let members = members.get(&session.id).map_or("", String::as_str);
        session_view::show(session, members, records.get(&session.id))
    };
    Ok(sessions.iter().map(show).collect())
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let sessions = wanted(&mut conn, tenant.filter(), &query).await?;
    Ok(Json::ok(show_all(&mut conn, &sessions).await?))
}

/// The sessions a query asks for.
async fn wanted(
    conn: &mut db::Connection,
    tenant: Option<&str>,
    query: &Query,
) -> Result<Vec<Session>, ApiError> {
    let age = |name: &str| query.text(name).map(time::age).transpose();
    let (min_age, max_age) = (age("min_age")?, age("max_age")?);
    let label = query.checked("status", &shape::SESSION_LABEL)?;
    let filter = SessionFilter { tenant, ..SessionFilter::default() };
    let mut sessions = db::session::list(conn, &filter).await?;
    sessions.retain(|session| {
        let age = session.now - session.created_at;
        is_shown(session) && min_age.is_none_or(|min| age >= min) && max_age.is_none_or(|max| age <= max)
    });
    if let Some(label) = label {
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        let records = db::session_record::list(conn, &ids).await?;
        sessions.retain(|session| session_view::shown_label(session, records.get(&session.id)) == label);
    }
    Ok(sessions)
}

/// What BOS's own operators do. Here it changes what is shown, never what is done.
async fn patch(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.required()?;
    schema::check(&shape::SESSION_UPDATE, &body)?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    if body.as_object().is_some_and(|body| !body.is_empty()) {
        let status = body.get("status").cloned().unwrap_or_else(|| json!({}));
        let (components, label) = (body["components"].as_str(), session_view::label(session.state));
        db::session_record::patch(&mut conn, &session.id, components, &status, label).await?;
    }
    shown_one(&mut conn, &session).await
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    remove(&state, &mut conn, &[session], &actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Without any filter only what is complete: BOS deletes everything then, and nobody has ever wanted that. Without a
/// tenant only what is nobody's.
async fn delete_many(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    query: Query,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let mut sessions = wanted(&mut conn, Some(&tenant.0), &query).await?;
    if ["min_age", "max_age", "status"].iter().all(|name| query.text(name).is_none()) {
        sessions.retain(|session| session.state == SessionState::Ended);
    }
    remove(&state, &mut conn, &sessions, &actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What is not over is cancelled: nothing that nobody can see any more goes on acting.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn remove(
    state: &ApiState,
    conn: &mut db::Connection,
    sessions: &[Session],
    actor: &Actor,
) -> Result<(), ApiError> {
    const WHY: &str = "deleted before it was admitted";
    for session in sessions.iter().filter(|session| session.state != SessionState::Ended) {
        let waited =
            session.state == SessionState::Waiting && db::session::reject(conn, &session.id, WHY).await?;
        if waited {
            state.admit.refuse_staged(session, WHY).await?;
        }
        let ended = waited || db::staged::cancel(conn, &session.id).await?;
        if ended || session.state == SessionState::Cancelling {
            continue;
        }
        let cancel = CommandRequest {
            reason: Some("the session was deleted".to_owned()),
            ..CommandRequest::plain(CommandKind::Cancel)
        };
        db::command::insert(conn, &session.id, &cancel, &actor.0).await?;
    }
    let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    db::session::delete(conn, &ids).await?;
    Ok(())
}

/// What was saved of a session that is over; else as it is now.
async fn status(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    let record = db::session_record::list(&mut conn, &[session.id]).await?.remove(&session.id);
    match (session.ended_at, record.and_then(|record| record.saved)) {
        // What was saved before the end tells of another time.
        (Some(ended), Some((saved, at))) if at >= ended => Ok(Json::ok(saved)),
        _ => Ok(Json::ok(live_status(&mut conn, &session).await?)),
    }
}

async fn save_status(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    let status = live_status(&mut conn, &session).await?;
    db::session_record::save_status(&mut conn, &session.id, &status).await?;
    Ok(Json::ok(status))
}

async fn live_status(conn: &mut db::Connection, session: &Session) -> Result<Value, ApiError> {
    let counts = match session.state {
        _ if session.new.stage => {
            db::staged::applied_counts(conn, &session.new.tenant, session.new.name.as_str()).await?
        }
        SessionState::Ended => session_view::final_counts(session),
        _ => db::session::counts(conn, &session.id).await?,
    };
    let staged = db::staged::count(conn, &session.new.tenant, session.new.name.as_str()).await?;
    let failures = db::result::failures(conn, &session.id, session_view::NAMES_SHOWN + 1).await?;
    Ok(session_view::status(session, counts, staged, &failures))
}
