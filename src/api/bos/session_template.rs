//! `/v2/sessiontemplates`, `/v2/sessiontemplatesvalid`, `/v2/sessiontemplatetemplate`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{answer, shape};
use crate::{
    api::{
        ApiError, ApiState,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        name_in_path, schema,
        session_template::{canonical, check_images, read, show},
        tenant::{Tenant, Unknown},
    },
    db::{self, session_template::StoredTemplate},
};

/// How often a change is tried while others change the same template.
const PATCH_TRIES: usize = 10;
const CREATE_PREFIX: &str = "The session template could not be created: ";
const PATCH_PREFIX: &str = "The session template could not be patched: ";

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sessiontemplates", list, "All session templates")
            .tenant()
            .answer(200, &answer::SESSION_TEMPLATES),
        Endpoint::get("/sessiontemplates/{name}", one, "A session template")
            .tenant()
            .answer(200, &answer::SESSION_TEMPLATE)
            .errors(&[404]),
        Endpoint::put("/sessiontemplates/{name}", put, "Create or replace a session template")
            .tenant()
            .body(&shape::SESSION_TEMPLATE)
            .answer(200, &answer::SESSION_TEMPLATE),
        Endpoint::patch("/sessiontemplates/{name}", patch, "Change a session template")
            .describe("Boot sets are merged by name and cannot be taken away.")
            .tenant()
            .body(&shape::SESSION_TEMPLATE_PATCH)
            .answer(200, &answer::SESSION_TEMPLATE)
            .errors(&[404]),
        Endpoint::delete("/sessiontemplates/{name}", delete, "Delete a session template")
            .tenant()
            .empty(204)
            .errors(&[404]),
        Endpoint::get(
            "/sessiontemplatesvalid/{name}",
            validate,
            "Whether a session template could be booted",
        )
        .tenant()
        .answer(200, &answer::SENTENCE)
        .errors(&[404]),
        Endpoint::get("/sessiontemplatetemplate", skeleton, "An example to start from")
            .answer(200, &answer::SESSION_TEMPLATE),
    ]
}

async fn list(State(state): State<ApiState>, tenant: Tenant) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let templates = db::session_template::list(&mut conn, tenant.filter()).await?;
    Ok(Json::ok(templates.iter().map(show).collect()))
}

async fn one(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    name_in_path(&name)?;
    Ok(Json::ok(show(&find(&state, &tenant, &name).await?)))
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
    let template = read(&shape::SESSION_TEMPLATE, body.required()?, options.reject_nids, CREATE_PREFIX)?;
    check_images(&state, &template, &options, CREATE_PREFIX).await?;
    let mut conn = db::acquire(&state.pool).await?;
    db::session_template::put(&mut conn, &tenant.0, &parsed, &template).await?;
    let stored = db::session_template::get(&mut conn, &tenant.0, &name).await?;
    Ok(Json::ok(show(&stored)))
}

/// Tried again when somebody else changed the template in the meantime: no change is lost.
async fn patch(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let parsed = name_in_path(&name)?;
    let patch = body.required()?;
    schema::check(&shape::SESSION_TEMPLATE_PATCH, &patch)?;
    let options = state.options().await?;
    for _ in 0..PATCH_TRIES {
        let stored = find(&state, &tenant, &name).await?;
        let mut merged = json!(stored.content);
        merge(&mut merged, patch.clone());
        let template = canonical(merged, options.reject_nids, PATCH_PREFIX)?;
        check_images(&state, &template, &options, PATCH_PREFIX).await?;
        let mut conn = db::acquire(&state.pool).await?;
        if db::session_template::replace(&mut conn, &tenant.0, &parsed, &template, stored.version).await? {
            return Ok(Json::ok(show(&StoredTemplate { content: template, ..stored })));
        }
    }
    Err(ApiError::Unavailable(format!("session template '{name}' is being changed by others; try again")))
}

async fn find(state: &ApiState, tenant: &Tenant, name: &str) -> Result<StoredTemplate, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    db::session_template::get(&mut conn, &tenant.0, name).await.map_err(|error| missing(error, tenant, name))
}

/// BOS's merge: `cfs` field by field, boot sets key by key with their `cfs` one level deeper, the rest replaced. A boot
/// set cannot be removed.
fn merge(stored: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return };
    for (key, value) in patch {
        match (key.as_str(), value) {
            ("cfs", value) => fields(&mut stored["cfs"], value),
            ("boot_sets", Value::Object(sets)) => {
                for (name, mut set) in sets {
                    let target = &mut stored["boot_sets"][name.as_str()];
                    let cfs = set.as_object_mut().and_then(|set| set.remove("cfs"));
                    fields(target, set);
                    if let Some(cfs) = cfs {
                        fields(&mut target["cfs"], cfs);
                    }
                }
            }
            (_, value) => stored[key.as_str()] = value,
        }
    }
}

fn fields(target: &mut Value, patch: Value) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let (Value::Object(target), Value::Object(patch)) = (target, patch) {
        target.extend(patch);
    }
}

async fn delete(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    name_in_path(&name)?;
    let mut conn = db::acquire(&state.pool).await?;
    db::session_template::delete(&mut conn, &tenant.0, &name)
        .await
        .map_err(|error| missing(error, &tenant, &name))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A JSON string, whatever is found.
async fn validate(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<String>, ApiError> {
    name_in_path(&name)?;
    let template = find(&state, &tenant, &name).await?;
    let found = state.admit.validate_template(&name, &template.content, true).await?;
    Ok(Json::ok(found.text()))
}

fn missing(error: db::DbError, tenant: &Tenant, name: &str) -> ApiError {
    match error {
        db::DbError::NotFound { .. } => {
            ApiError::NotFound(format!("Session template {}'{name}' does not exist", tenant.words()))
        }
        error => error.into(),
    }
}

async fn skeleton() -> Json<Value> {
    Json::ok(json!({
        "boot_sets": {"name_your_boot_set": {
            "cfs": {"configuration": "default-cfs-config"},
            "etag": "your_boot_image_etag",
            "kernel_parameters": "your-kernel-parameters",
            "node_list": ["xname1", "xname2", "xname3"],
            "path": "s3://boot-images/boot-image-ims-id/manifest.json",
            "rootfs_provider": "sbps",
            "rootfs_provider_passthrough":
                "sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.my-system.my-site-domain:300",
            "type": "s3",
        }},
        "cfs": {"configuration": "desired-cfs-config"},
        "enable_cfs": true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_merges_as_boss_does() {
        let mut stored = json!({
            "description": "old", "cfs": {"configuration": "a"},
            "boot_sets": {"c": {"path": "p", "type": "s3", "etag": "e", "cfs": {"configuration": "x"}}},
        });
        merge(
            &mut stored,
            json!({
                "description": "new",
                "boot_sets": {
                    "c": {"path": "q", "type": "s3", "cfs": {}},
                    "d": {"path": "r", "type": "s3", "cfs": {"configuration": "y"}},
                },
            }),
        );
        assert_eq!(
            stored,
            json!({
                "description": "new", "cfs": {"configuration": "a"},
                "boot_sets": {
                    "c": {"path": "q", "type": "s3", "etag": "e", "cfs": {"configuration": "x"}},
                    "d": {"path": "r", "type": "s3", "cfs": {"configuration": "y"}},
                },
            })
        );
    }
}
