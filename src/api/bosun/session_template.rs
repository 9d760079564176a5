//! `/bosun/v1/templates`: session templates with their versions.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        body::{Json, JsonBody},
        bos::shape::SESSION_TEMPLATE,
        endpoint::Endpoint,
        name_in_path,
        schema::{Shape, some_text},
        session_template::{read, show},
        tenant::{Tenant, Unknown},
    },
    db::{self, session_template::StoredTemplate},
    model::role::Role,
};

/// `NAME`, or `NAME@VERSION`.
const NAME_AND_VERSION: Shape = some_text(150);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let path = "/templates/{name}";
    vec![
        Endpoint::get("/templates", list, "All session templates")
            .answer(200, &Shape::Many(&answer::TEMPLATE_LINE)),
        Endpoint::get(path, one, "A session template, as it is or as NAME@VERSION was")
            .path_shape("name", &NAME_AND_VERSION)
            .answer(200, &answer::TEMPLATE)
            .errors(&[404]),
        Endpoint::put(path, put, "Create or replace a session template")
            .body(&SESSION_TEMPLATE)
            .answer(200, &answer::TEMPLATE),
        Endpoint::delete(path, delete, "Delete a session template; its versions stay with their sessions")
            .path_shape("name", &NAME_AND_VERSION)
            .empty(204)
            .errors(&[404]),
        Endpoint::get(
            "/templates/{name}/versions",
            versions,
            "The versions of a session template, newest first",
        )
        .describe("Every version that its name ever stood for; each can be named as NAME@VERSION.")
        .answer(200, &Shape::Many(&answer::TEMPLATE_VERSION))
        .errors(&[404]),
        Endpoint::post(
            "/templates/{name}/validate",
            validate,
            "Look whether a session template could be booted",
        )
        .path_shape("name", &NAME_AND_VERSION)
        .role(Role::View)
        .answer(200, &answer::FINDINGS)
        .errors(&[404]),
    ]
}

async fn list(State(state): State<ApiState>, tenant: Tenant) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let templates = db::session_template::list(&mut conn, tenant.filter()).await?;
    let shown = templates.iter().map(|template| {
        json!({
            "name": template.name, "version": template.version, "description": template.content.description,
            "tenant": if template.tenant.is_empty() { Value::Null } else { json!(template.tenant) },
            "boot_set_count": template.content.boot_sets.len(), "updated_at": template.updated_at,
        })
    });
    Ok(Json::ok(shown.collect()))
}

/// A template as BOS shows it, with its version's number.
fn with_version(template: &StoredTemplate) -> Value {
    let mut shown = show(template);
    shown["version"] = json!(template.version);
    shown
}

/// `NAME`, or `NAME@VERSION`.
async fn find(conn: &mut db::Connection, tenant: &Tenant, wanted: &str) -> Result<StoredTemplate, ApiError> {
    let missing = |error| match error {
        db::DbError::NotFound { .. } => {
            ApiError::NotFound(format!("session template '{wanted}' does not exist"))
        }
        error => error.into(),
    };
    let Some((name, version)) = wanted.rsplit_once('@') else {
        return db::session_template::get(conn, &tenant.0, wanted).await.map_err(missing);
    };
    let version = version.parse().map_err(|_| {
        ApiError::bad_request(format!("'{version}' is not the number of a version, as in {name}@3"))
    })?;
    let now = db::session_template::get(conn, &tenant.0, name).await.map_err(missing)?;
    let content = db::session_template::get_version(conn, &tenant.0, name, version).await.map_err(missing)?;
    Ok(StoredTemplate { version, content, ..now })
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    Ok(Json::ok(with_version(&find(&mut conn, &tenant, &name).await?)))
}

async fn versions(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let versions = db::session_template::versions(&mut conn, &tenant.0, &name).await?;
    if versions.is_empty() {
        return Err(ApiError::NotFound(format!("session template '{name}' does not exist")));
    }
    let shown = versions.iter().map(|line| {
        json!({
            "version": line.version, "is_current": line.is_current, "created_at": line.created_at,
            "sessions": line.sessions, "last_used_at": line.last_used_at,
        })
    });
    Ok(Json::ok(shown.collect()))
}

async fn put(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    tenant.scope(&state, Unknown::Owner).await?;
    let parsed = name_in_path(&name)?;
    let options = state.options().await?;
    let template = read(&SESSION_TEMPLATE, body.required()?, options.reject_nids, "")?;
    let mut conn = db::acquire(&state.pool).await?;
    db::session_template::put(&mut conn, &tenant.0, &parsed, &template).await?;
    Ok(Json::ok(with_version(&find(&mut conn, &tenant, &name).await?)))
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    find(&mut conn, &tenant, &name).await?;
    db::session_template::delete(&mut conn, &tenant.0, &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn validate(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let template = find(&mut conn, &tenant, &name).await?;
    drop(conn);
    let found = state.admit.validate_template(&name, &template.content, true).await?;
    Ok(Json::ok(json!({"errors": found.errors, "warnings": found.warnings})))
}
