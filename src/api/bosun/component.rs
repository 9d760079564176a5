//! `/bosun/v1/components`: what is being done with components, and what was.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        bos::shape,
        endpoint::{Endpoint, Parameter, parameter},
        query::Query,
        schema::{Shape, text},
        tenant::{Tenant, Unknown},
    },
    db::{
        self,
        component::{Component, ComponentFilter, HistoryLine},
    },
};

/// Most components of one page.
const PAGE_MAX: i64 = 100_000;
/// Longest limit in a URL, which the server reads up to 64 KiB of.
const LIMIT_CHARS_MAX: usize = 16_384;
/// Most sessions of one history.
const SESSIONS_MAX: i64 = 100;

const FILTERS: &[Parameter] = &[
    parameter("limit", &text(LIMIT_CHARS_MAX), "Only these components: a limit, as of a session"),
    parameter("session", &text(127), "Only components that this session set last"),
    parameter("enabled", &Shape::Boolean, "Only components that are enabled, or are not"),
    parameter("phase", &shape::PHASE, "Only components in this phase"),
    parameter("status", &text(512), "Only components with one of these statuses, separated by commas"),
    parameter("after", &shape::COMPONENT_ID, "Only components after this one"),
    parameter("page_size", &Shape::Integer { min: 1, max: PAGE_MAX }, "At most so many"),
];

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let max = parameter("max", &Shape::Integer { min: 1, max: SESSIONS_MAX }, "At most so many sessions");
    vec![
        Endpoint::get("/components", list, "Components, by id")
            .query(FILTERS)
            .answer(200, &Shape::Many(&answer::COMPONENT)),
        Endpoint::get("/components/{id}", one, "A component").answer(200, &answer::COMPONENT).errors(&[404]),
        Endpoint::get(
            "/components/{id}/history",
            history,
            "What sessions did with a component, oldest first",
        )
        .query(&[max])
        .answer(200, &Shape::Many(&answer::HISTORY_LINE))
        .errors(&[404]),
    ]
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let scope = tenant.scope(&state, Unknown::Component).await?;
    let limited = match query.checked("limit", &text(LIMIT_CHARS_MAX))?.filter(|limit| !limit.is_empty()) {
        Some(limit) => {
            let chosen = state.admit.select(tenant.filter().unwrap_or_default(), limit).await?;
            Some(chosen.xnames.iter().map(ToString::to_string).collect())
        }
        None => None,
    };
    let xnames = scope.narrow(limited);
    let statuses: Option<Vec<String>> =
        query.text("status").map(|list| list.split(',').map(str::to_owned).collect());
    let filter = ComponentFilter {
        xnames: xnames.as_deref(),
        session: query.text("session"),
        enabled: query.boolean("enabled")?,
        phase: query.text("phase"),
        statuses: statuses.as_deref(),
        start_after: query.text("after"),
        limit: Some(query.number("page_size", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX)),
        ..ComponentFilter::default()
    };
    let mut conn = db::acquire(&state.pool).await?;
    let components = db::component::list(&mut conn, &filter).await?;
    Ok(Json::ok(components.iter().map(line).collect()))
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    within(&state, &tenant, &id).await?;
    let mut conn = db::acquire(&state.pool).await?;
    Ok(Json::ok(line(&db::component::get(&mut conn, &id).await?)))
}

/// A component of others does not exist for a tenant.
async fn within(state: &ApiState, tenant: &Tenant, id: &str) -> Result<(), ApiError> {
    match tenant.scope(state, Unknown::Component).await?.holds(id) {
        true => Ok(()),
        false => Err(ApiError::NotFound(format!("Component '{id}' does not exist"))),
    }
}

fn line(component: &Component) -> Value {
    json!({
        "name": component.xname,
        "status": component.status,
        "phase": component.phase,
        "enabled": component.enabled,
        "session": component.session,
        "held_by": component.claimed_by,
        "last_action": component.last_action.action,
        "last_action_at": component.last_action.last_updated,
        "error": component.error,
        "kernel": component.actual.artifacts.as_ref().map(|artifacts| &artifacts.kernel),
        "configuration": component.desired.configuration,
    })
}

async fn history(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let max = query.number("max", 1, SESSIONS_MAX)?.unwrap_or(20);
    within(&state, &tenant, &id).await?;
    let mut conn = db::acquire(&state.pool).await?;
    db::component::get(&mut conn, &id).await?;
    let lines = db::component::component_history(&mut conn, tenant.filter(), &id, max).await?;
    Ok(Json::ok(lines.iter().map(history_line).collect()))
}

fn history_line(line: &HistoryLine) -> Value {
    json!({
        "at": line.at, "session": line.session, "session_id": line.session_id, "operation": line.operation,
        "step": line.step, "run": line.run, "outcome": line.result, "attempts": line.attempts,
        "reason": line.reason, "error": line.error, "template": line.template,
        "template_version": line.template_version, "image": line.image, "kernel": line.kernel,
    })
}
