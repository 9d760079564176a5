//! `/bosun/v1/sessions`: created and admitted in one request, then read.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{answer, rollout, view, wave};
use crate::{
    admit::{Api, Guards, SessionRequest, default_on_conflict},
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        bos,
        endpoint::{Endpoint, parameter},
        query::Query,
        refuse_while_parked,
        schema::{Field, Shape, optional, required, some_text, text},
        tenant::Tenant,
    },
    db::{
        self,
        session::{Session, SessionFilter},
    },
    model::{
        plan::UnknownPolicy,
        role::Role,
        session::{Name, OnConflict, SessionState},
    },
};

/// Most lines of one page.
const PAGE_MAX: i64 = 1_000;

/// What is to be done with whom.
pub(super) const REQUEST: Shape =
    Shape::Named("SessionRequest", &Shape::Both(REQUEST_FIELDS, rollout::FIELDS));
const REQUEST_FIELDS: &[Field] = &[
    required("template", &some_text(150)),
    required("operation", &Shape::Name),
    optional("limit", &Shape::Nullable(&text(524_288))),
    optional("include_disabled", &Shape::Boolean),
    optional("unknown", &Shape::Nullable(&Shape::Word(&["leave", "reboot"]))),
    optional("on_conflict", &Shape::Nullable(&Shape::Word(&["reject", "wait", "skip", "preempt"]))),
    optional("name", &Shape::Nullable(&Shape::Name)),
    optional("expect_at_most", &Shape::Nullable(&COMPONENTS)),
    optional("confirmed", &Shape::Nullable(&Shape::AnyOf(&[&Shape::Boolean, &COMPONENTS]))),
    optional("plan_hash", &Shape::Nullable(&text(64))),
];
/// How many components.
const COMPONENTS: Shape = Shape::Integer { min: 0, max: u32::MAX as i64 };

/// A request as it is written in a body.
#[derive(Deserialize)]
struct RequestBody {
    name: Option<Name>,
    template: String,
    operation: String,
    limit: Option<String>,
    #[serde(default)]
    include_disabled: bool,
    unknown: Option<UnknownPolicy>,
    on_conflict: Option<OnConflict>,
    expect_at_most: Option<u32>,
    confirmed: Option<Confirmed>,
    plan_hash: Option<String>,
    #[serde(flatten)]
    rollout: rollout::RolloutBody,
}

/// For how many components it is known and meant: for so many, or for however many there are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Confirmed {
    All(bool),
    So(u32),
}

impl Confirmed {
    fn components(&self) -> Option<u32> {
        match self {
            Self::All(true) => Some(u32::MAX),
            Self::All(false) => None,
            Self::So(many) => Some(*many),
        }
    }
}

/// Reads a request for a session, or for a plan.
pub(super) fn request(body: JsonBody, tenant: &Tenant, actor: Actor) -> Result<SessionRequest, ApiError> {
    let body: RequestBody = body.parsed(&REQUEST)?;
    let name = body.name.unwrap_or_else(|| {
        Uuid::new_v4().to_string().parse().expect("a UUID is made of letters, digits and '-'")
    });
    Ok(SessionRequest {
        name,
        tenant: tenant.0.clone(),
        operation: body.operation,
        template: body.template,
        limit: body.limit.unwrap_or_default(),
        include_disabled: body.include_disabled,
        stage: false,
        api: Api::Bosun,
        unknown: body.unknown,
        on_conflict: body.on_conflict.unwrap_or(default_on_conflict(Api::Bosun)),
        guards: Guards {
            expect_at_most: body.expect_at_most,
            confirmed: body.confirmed.and_then(|confirmed| confirmed.components()),
            plan_hash: body.plan_hash,
        },
        rollout: body.rollout.read()?,
        actor: actor.0,
    })
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let full = parameter("full", &Shape::Boolean, "Name every component that failed, however many they are");
    vec![
        Endpoint::get("/sessions", list, "Sessions, newest first")
            .query(&[
                parameter("state", &answer::STATE, "Only sessions in this state"),
                parameter("max", &Shape::Integer { min: 1, max: PAGE_MAX }, "At most so many"),
            ])
            .answer(200, &answer::SESSIONS),
        Endpoint::post("/sessions", create, "Create a session, and admit it in this request")
            .describe(
                "Members, artifacts and conflicts are resolved before anything is touched; what is wrong is the answer.",
            )
            .body(&REQUEST)
            .answer(201, &answer::SESSION)
            .errors(&[409, 422]),
        Endpoint::post("/resume", resume_all, "Trust this database: what was parked goes on")
            .role(Role::Admin)
            .answer(200, &answer::MESSAGE),
        Endpoint::get("/sessions/{name}", one, "A session with its steps and errors")
            .query(&[full, parameter("brief", &Shape::Boolean, "Leave out who failed why")])
            .answer(200, &answer::SESSION)
            .errors(&[404]),
        Endpoint::delete("/sessions/{name}", delete, "Delete a session; one that still runs is cancelled")
            .describe("Its history stays.")
            .empty(204)
            .errors(&[404]),
        Endpoint::get("/sessions/{name}/steps", steps, "The steps of a session")
            .answer(200, &answer::STEPS)
            .errors(&[404]),
        Endpoint::get("/sessions/{name}/errors", errors, "What failed in a session, by step and reason")
            .query(&[full])
            .answer(200, &answer::ERRORS)
            .errors(&[404]),
    ]
}

async fn create(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let request = request(body, &tenant, actor)?;
    let name = request.name.clone();
    refuse_while_parked(&mut *db::acquire(&state.pool).await?).await?;
    let admitted = state.admit.session(request).await?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, name.as_str()).await?;
    let mut shown = show(&mut conn, &session, false, false).await?;
    if !admitted.notes.is_empty() {
        shown["notes"] = json!(admitted.notes);
    }
    Ok(Json(StatusCode::CREATED, shown))
}

/// A tenant's session; without a tenant one of nobody's.
pub(super) async fn find(
    conn: &mut db::Connection,
    tenant: &Tenant,
    name: &str,
) -> Result<Session, ApiError> {
    db::session::get(conn, &tenant.0, name).await.map_err(|error| match error {
        db::DbError::NotFound { .. } => ApiError::NotFound(format!("session '{name}' does not exist")),
        error => error.into(),
    })
}

async fn show(
    conn: &mut db::Connection,
    session: &Session,
    full: bool,
    brief: bool,
) -> Result<Value, ApiError> {
    let steps = db::step::list(conn, &session.id).await?;
    let held = db::session::counts(conn, &session.id).await?;
    let errors = if brief { Vec::new() } else { errors_of(conn, session, full).await? };
    let hand_overs = if brief { Vec::new() } else { db::hand_over::list(conn, &session.id).await? };
    let mut shown = view::session(session, &steps, held, errors, &hand_overs);
    if brief {
        return Ok(shown);
    }
    let gates = db::plan::gates(conn, &session.id).await?;
    if !gates.is_empty() {
        let waves = db::wave::list(conn, &session.id).await?;
        shown["waves"] = json!(wave::shown(session, &gates, &waves));
        shown["gates"] = json!(gates);
    }
    Ok(shown)
}

async fn errors_of(conn: &mut db::Connection, session: &Session, full: bool) -> Result<Vec<Value>, ApiError> {
    let names = if full { i32::MAX } else { view::NAMES_MAX };
    let groups = db::result::failures(conn, &session.id, names).await?;
    Ok(groups.iter().map(|group| view::error(group, full)).collect())
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let (full, brief) = (query.boolean("full")?, query.boolean("brief")?);
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    Ok(Json::ok(show(&mut conn, &session, full == Some(true), brief == Some(true)).await?))
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let max = query.number("max", 1, PAGE_MAX)?.unwrap_or(100);
    let wanted = match query.text("state") {
        None => None,
        Some(label) => Some(serde_json::from_value::<SessionState>(json!(label)).map_err(|_| {
            ApiError::bad_request(format!(
                "'{label}' is no state: waiting, running, paused, halted, stuck, cancelling or ended"
            ))
        })?),
    };
    let states: Vec<SessionState> = wanted.into_iter().collect();
    let filter = SessionFilter {
        tenant: tenant.filter(),
        states: &states,
        limit: Some(max),
        ..SessionFilter::default()
    };
    let mut conn = db::acquire(&state.pool).await?;
    let sessions = db::session::list(&mut conn, &filter).await?;
    Ok(Json::ok(sessions.iter().map(view::line).collect()))
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    actor: Actor,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    bos::session::remove(&state, &mut conn, &[session], &actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn steps(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    let steps = db::step::list(&mut conn, &session.id).await?;
    Ok(Json::ok(steps.iter().map(|row| view::step(row, session.state)).collect()))
}

async fn errors(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let full = query.boolean("full")? == Some(true);
    let mut conn = db::acquire(&state.pool).await?;
    let session = find(&mut conn, &tenant, &name).await?;
    Ok(Json::ok(errors_of(&mut conn, &session, full).await?))
}

/// Ends the parking of law 6: what was running goes on, what waits is admitted.
async fn resume_all(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    if tenant.filter().is_some() {
        return Err(ApiError::Forbidden("this concerns everybody, and no tenant may do it".to_owned()));
    }
    let resumed = db::session::resume_all(&mut conn, &actor.0).await?;
    state.waiting.notify_one();
    Ok(Json::ok(json!({"message": format!("{resumed} parked sessions go on")})))
}
