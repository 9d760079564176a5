//! `/v2/components`: the records, and the reports of nodes that booted.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    answer,
    component_view::{self, show},
    shape,
};
use crate::{
    admit::Scope,
    api::{
        ApiError, ApiState,
        actor::Actor,
        auth::BeyondReports,
        body::{Json, JsonBody},
        endpoint::{Endpoint, Parameter, parameter},
        query::Query,
        reports,
        schema::{self, Shape, some_text, text},
        tenant::{Tenant, Unknown},
    },
    db::{
        self,
        component::{Component, ComponentFilter, ComponentPatch, Patching},
    },
    model::role::Role,
};

/// Largest body of a bulk request: a patch for each of 100,000 components.
const BULK_BYTES_MAX: usize = 16 << 20;

const FILTERS: &[Parameter] = &[
    parameter("ids", &some_text(usize::MAX - 1), "Only these, separated by commas"),
    parameter("session", &Shape::Name, "Only components of this session"),
    parameter("staged_session", &Shape::Name, "Only components staged by this session"),
    parameter("enabled", &Shape::Boolean, "Only components that are enabled, or are not"),
    parameter("phase", &shape::PHASE, "Only components in this phase"),
    parameter("status", &text(512), "Only components with one of these statuses, separated by commas"),
    parameter("start_after_id", &shape::COMPONENT_ID, "Only components after this one"),
    parameter("page_size", &Shape::Integer { min: 0, max: 1_048_576 }, "At most so many; 0: all"),
];

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/components", list, "Components, by id")
            .tenant()
            .query(FILTERS)
            .answer(200, &answer::COMPONENTS),
        Endpoint::put("/components", put_bulk, "Create or replace components")
            .tenant()
            .body(&shape::COMPONENT_LIST)
            .body_bytes_max(BULK_BYTES_MAX)
            .answer(200, &answer::COMPONENTS)
            .errors(&[404]),
        Endpoint::patch("/components", patch_bulk, "Change components")
            .describe("A list with a patch for each, or one patch with a filter that says for whom.")
            .tenant()
            .query(&[parameter("skip_bad_ids", &Shape::Boolean, "Pass over components that do not exist")])
            .body(&shape::COMPONENT_PATCHES)
            .body_bytes_max(BULK_BYTES_MAX)
            .answer(200, &answer::COMPONENTS)
            .errors(&[404]),
        Endpoint::get("/components/{id}", one, "A component")
            .tenant()
            .answer(200, &answer::COMPONENT)
            .errors(&[404]),
        Endpoint::put("/components/{id}", put, "Create or replace a component")
            .tenant()
            .body(&shape::COMPONENT)
            .answer(200, &answer::COMPONENT)
            .errors(&[404]),
        Endpoint::patch(
            "/components/{id}",
            patch,
            "Change a component; a node reports by this what it booted",
        )
        .tenant()
        .role(Role::Report)
        .body(&shape::COMPONENT)
        .answer(200, &answer::COMPONENT)
        .errors(&[404, 409]),
        Endpoint::delete("/components/{id}", delete, "Delete a component's record")
            .tenant()
            .empty(204)
            .errors(&[404]),
    ]
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let scope = tenant.scope(&state, Unknown::Component).await?;
    let mut wanted = Wanted::read(&query)?;
    wanted.xnames = scope.narrow(wanted.xnames);
    let mut conn = db::acquire(&state.pool).await?;
    let components = db::component::list(&mut conn, &wanted.filter()).await?;
    Ok(Json::ok(components.iter().map(|component| show(component, true)).collect()))
}

/// The filters of a list.
struct Wanted<'a> {
    xnames: Option<Vec<String>>,
    session: Option<&'a str>,
    staged_session: Option<&'a str>,
    enabled: Option<bool>,
    phase: Option<&'a str>,
    statuses: Option<Vec<String>>,
    start_after: Option<&'a str>,
    limit: Option<i64>,
}

impl<'a> Wanted<'a> {
    fn read(query: &'a Query) -> Result<Self, ApiError> {
        let words = |list: &str| -> Vec<String> { list.split(',').map(str::to_owned).collect() };
        let not_empty = |value: Option<&'a str>| value.filter(|text| !text.is_empty());
        let session = query.checked("session", &Shape::Name)?;
        let staged_session = query.checked("staged_session", &Shape::Name)?;
        let phase = not_empty(query.checked("phase", &shape::PHASE)?);
        let statuses = not_empty(query.checked("status", &text(512))?).map(words);
        let others = session.is_some() || staged_session.is_some() || phase.is_some() || statuses.is_some();
        // BOS lists everybody when `enabled=false` is asked for alone, or of named components.
        let enabled = query.boolean("enabled")?.filter(|enabled| *enabled || others);
        Ok(Self {
            xnames: query.checked("ids", &some_text(usize::MAX - 1))?.map(words),
            session,
            staged_session,
            enabled,
            phase,
            statuses,
            start_after: query.checked("start_after_id", &shape::COMPONENT_ID)?,
            limit: query.number("page_size", 0, 1_048_576)?.filter(|size| *size > 0),
        })
    }

    fn filter(&self) -> ComponentFilter<'_> {
        ComponentFilter {
            xnames: self.xnames.as_deref(),
            session: self.session,
            staged_session: self.staged_session,
            enabled: self.enabled,
            phase: self.phase,
            statuses: self.statuses.as_deref(),
            start_after: self.start_after,
            limit: self.limit,
        }
    }
}

async fn find(state: &ApiState, id: &str) -> Result<Component, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    Ok(db::component::get(&mut conn, id).await?)
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    id_in_path(&id)?;
    let scope = tenant.scope(&state, Unknown::Component).await?;
    within(&scope, &id)?;
    Ok(Json::ok(show(&find(&state, &id).await?, true)))
}

/// A component of others does not exist for a tenant.
fn within(scope: &Scope, id: &str) -> Result<(), ApiError> {
    if scope.holds(id) { Ok(()) } else { Err(reports::unknown(id)) }
}

fn id_in_path(id: &str) -> Result<(), ApiError> {
    schema::check_text(&shape::COMPONENT_ID, id).map_err(ApiError::bad_request)
}

/// A node's report, gathered with others; or any other change.
async fn patch(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    beyond_reports: BeyondReports,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    id_in_path(&id)?;
    let scope = tenant.scope(&state, Unknown::Component).await?;
    within(&scope, &id)?;
    let body = body.required()?;
    schema::check(&shape::COMPONENT, &body)?;
    if let Some(token) = component_view::report(&body) {
        let token = token.to_owned();
        return Ok(Json::ok(show(&state.reports.keep(id, token).await?, false)));
    }
    beyond_reports.check()?;
    let patch = component_view::read(body)?;
    if patch.actual.is_some() {
        let stored = find(&state, &id).await?;
        let believed = stored.last_action.action.as_deref() == Some("powering_on");
        if stored.enabled == Some(true) && stored.status != "stable" && !believed {
            return Err(reports::refused(&id));
        }
    }
    let how = Patching::Merge { skip_unknown: false };
    let written = write(&state, vec![(id.clone(), patch)], how, &actor).await?;
    written.first().map(|component| Json::ok(show(component, false))).ok_or_else(|| reports::unknown(&id))
}

/// Writes records. Whoever is enabled waits to be driven to its desired state.
async fn write(
    state: &ApiState,
    patches: Vec<(String, ComponentPatch)>,
    how: Patching,
    actor: &Actor,
) -> Result<Vec<Component>, ApiError> {
    let written = db::component::patch(&state.pool, patches, how, Some(&actor.0)).await?;
    if written.iter().any(|component| component.enabled == Some(true)) {
        state.waiting.notify_one();
    }
    Ok(written)
}

async fn put(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    id_in_path(&id)?;
    let scope = tenant.scope(&state, Unknown::Component).await?;
    within(&scope, &id)?;
    let body = body.required()?;
    schema::check(&shape::COMPONENT, &body)?;
    let patches = vec![(id.clone(), component_view::read(body)?)];
    let written = write(&state, patches, Patching::Replace, &actor).await?;
    written.first().map(|component| Json::ok(show(component, false))).ok_or_else(|| reports::unknown(&id))
}

async fn put_bulk(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Vec<Value>>, ApiError> {
    let scope = tenant.scope(&state, Unknown::Component).await?;
    let patches = list_of(body.required()?)?;
    patches.iter().try_for_each(|(id, _)| within(&scope, id))?;
    let written = write(&state, patches, Patching::Replace, &actor).await?;
    Ok(Json::ok(written.iter().map(|component| show(component, false)).collect()))
}

async fn patch_bulk(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    query: Query,
    body: JsonBody,
) -> Result<Json<Vec<Value>>, ApiError> {
    let scope = tenant.scope(&state, Unknown::Components).await?;
    let how = Patching::Merge { skip_unknown: query.boolean("skip_bad_ids")?.unwrap_or(false) };
    let body = body.required()?;
    if body.is_array() {
        let patches = ours(&scope, list_of(body)?, how)?;
        let written = write(&state, patches, how, &actor).await?;
        return Ok(Json::ok(written.iter().map(|component| show(component, false)).collect()));
    }
    schema::check(&shape::COMPONENT_BULK, &body)?;
    let filter = |key: &str| body["filters"][key].as_str().filter(|text| !text.is_empty());
    let (ids, computed): (Vec<String>, bool) = match (filter("ids"), filter("session")) {
        (Some(ids), None) => (ids.split(',').map(str::to_owned).collect(), false),
        (None, Some(session)) => (members(&state, &scope, session).await?, true),
        _ => {
            return Err(ApiError::bad_request(
                "filters is not valid under any of the given schemas: give either ids or session - 'filters'",
            ));
        }
    };
    let patch = component_view::read(body["patch"].clone())?;
    // Who was found by the session, and retired since, is nobody's mistake.
    let how = if computed { Patching::Merge { skip_unknown: true } } else { how };
    let patches = ours(&scope, ids.into_iter().map(|id| (id, patch.clone())).collect(), how)?;
    let written = write(&state, patches, how, &actor).await?;
    Ok(Json::ok(written.iter().map(|component| show(component, computed)).collect()))
}

/// What of many patches a tenant may do: all, or else nothing is done; `skip_bad_ids` leaves out what it may not.
fn ours(
    scope: &Scope,
    mut patches: Vec<(String, ComponentPatch)>,
    how: Patching,
) -> Result<Vec<(String, ComponentPatch)>, ApiError> {
    if how == (Patching::Merge { skip_unknown: true }) {
        patches.retain(|(id, _)| scope.holds(id));
    }
    patches.iter().try_for_each(|(id, _)| within(scope, id))?;
    Ok(patches)
}

async fn members(state: &ApiState, scope: &Scope, session: &str) -> Result<Vec<String>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let xnames = scope.narrow(None);
    let filter =
        ComponentFilter { xnames: xnames.as_deref(), session: Some(session), ..ComponentFilter::default() };
    let components = db::component::list(&mut conn, &filter).await?;
    Ok(components.into_iter().map(|component| component.xname).collect())
}

/// A patch for each of many.
fn list_of(body: Value) -> Result<Vec<(String, ComponentPatch)>, ApiError> {
    schema::check(&shape::COMPONENT_LIST, &body)?;
    let Value::Array(items) = body else { return Ok(Vec::new()) };
    let patches = items.into_iter().map(|item| {
        let id = item["id"].as_str().unwrap_or_default().to_owned();
        Ok((id, component_view::read(item)?))
    });
    patches.collect()
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    id_in_path(&id)?;
    let scope = tenant.scope(&state, Unknown::Component).await?;
    within(&scope, &id)?;
    db::component::delete(&state.pool, &id, &actor.0).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
