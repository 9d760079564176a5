//! `/v2/sessions`: taken at once, admitted by `serve`'s loop; always ending as `complete`.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{session_view, shape, tenant::Tenant, time};
use crate::{
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        name_in_path,
        query::Query,
        schema::{self, Shape},
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
const STATUS: Shape = Shape::Word(&["pending", "running", "complete"]);

/// The paths below `/v2`.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/sessions", get(list).post(create).delete(delete_many))
        .route("/sessions/{name}", get(one).delete(delete))
        .route("/sessions/{name}/status", get(status).post(status))
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
    let mut conn = db::acquire(&state.pool).await?;
    let id = db::session::insert_waiting(&mut conn, &new).await?;
    state.waiting.notify_one();
    let session = db::session::get_by_id(&mut conn, &id).await?;
    Ok(Json(StatusCode::CREATED, session_view::show(&session, &[])))
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

async fn find(conn: &mut db::Connection, tenant: &Tenant, name: &str) -> Result<Session, ApiError> {
    name_in_path(name)?;
    let missing = || {
        let words = tenant.words();
        let space = if words.is_empty() { " " } else { "" };
        let session = if words.is_empty() { String::new() } else { format!(" {words}") };
        ApiError::NotFound(format!("Session{session}{space}'{name}' does not exist"))
    };
    match db::session::get(conn, &tenant.0, name).await {
        Ok(session) if OPERATIONS.contains(&session.new.operation.as_str()) => Ok(session),
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
    let members = db::session_component_batch::member_names(&mut conn, &session.id).await?;
    Ok(Json::ok(session_view::show(&session, &members)))
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let sessions = wanted(&mut conn, &tenant, &query).await?;
    let mut shown = Vec::with_capacity(sessions.len());
    for session in &sessions {
        let members = db::session_component_batch::member_names(&mut conn, &session.id).await?;
        shown.push(session_view::show(session, &members));
    }
    Ok(Json::ok(shown))
}

/// The sessions a query asks for.
async fn wanted(conn: &mut db::Connection, tenant: &Tenant, query: &Query) -> Result<Vec<Session>, ApiError> {
    let age = |name: &str| query.text(name).map(time::age).transpose();
    let (min_age, max_age) = (age("min_age")?, age("max_age")?);
    let label = query.checked("status", &STATUS)?;
    let filter = SessionFilter { tenant: tenant.filter(), ..SessionFilter::default() };
    let sessions = db::session::list(conn, &filter).await?;
    let fits = |session: &Session| {
        let age = session.now - session.created_at;
        OPERATIONS.contains(&session.new.operation.as_str())
            && min_age.is_none_or(|min| age >= min)
            && max_age.is_none_or(|max| age <= max)
            && label.is_none_or(|label| session_view::label(session.state) == label)
    };
    Ok(sessions.into_iter().filter(fits).collect())
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    remove(&mut conn, &[session], &actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Without any filter only what is complete: BOS deletes everything then, and nobody has ever wanted that.
async fn delete_many(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    query: Query,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let mut sessions = wanted(&mut conn, &tenant, &query).await?;
    if ["min_age", "max_age", "status"].iter().all(|name| query.text(name).is_none()) {
        sessions.retain(|session| session.state == SessionState::Ended);
    }
    remove(&mut conn, &sessions, &actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What is not over is cancelled: nothing that nobody can see any more goes on acting.
async fn remove(conn: &mut db::Connection, sessions: &[Session], actor: &Actor) -> Result<(), ApiError> {
    for session in sessions.iter().filter(|session| session.state != SessionState::Ended) {
        if session.state == SessionState::Waiting {
            db::session::reject(conn, &session.id, "deleted before it was admitted").await?;
            continue;
        }
        let cancel = CommandRequest {
            kind: CommandKind::Cancel,
            step: None,
            components: Vec::new(),
            reason: Some("deleted through /v2".to_owned()),
        };
        db::command::insert(conn, &session.id, &cancel, &actor.0).await?;
    }
    let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    db::session::delete(conn, &ids).await?;
    Ok(())
}

async fn status(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    let counts = db::session::counts(&mut conn, &session.id).await?;
    let failures = db::result::failures(&mut conn, &session.id, session_view::NAMES_SHOWN + 1).await?;
    Ok(Json::ok(session_view::status(&session, counts, &failures)))
}
