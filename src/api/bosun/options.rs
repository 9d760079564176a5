//! `/bosun/v1/options`: what a site sets for bosun itself. BOS's options are at `/v2/options`.

use axum::extract::State;

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        body::{Json, JsonBody},
        bos::shape,
        endpoint::Endpoint,
        schema::{self, Field, Shape, optional, required},
        tenant::Tenant,
    },
    db,
    model::{role::Role, site_options::SiteOptions},
};

const OPTIONS: Shape = Shape::Named(
    "SiteOptions",
    &Shape::Object(&[
        required("confirm_over", &answer::COUNT),
        required("quarantine_after", &answer::COUNT),
        required("history_ttl", &answer::TEXT),
    ]),
);
const PATCH_FIELDS: &[Field] = &[
    optional("confirm_over", &Shape::Integer { min: 0, max: 10_000_000 }),
    optional("history_ttl", &shape::AGE),
    optional("quarantine_after", &Shape::Integer { min: 0, max: 1_000 }),
];
const PATCH: Shape = Shape::NonEmptyObject(&[PATCH_FIELDS]);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/options", show, "bosun's own options as they are").answer(200, &OPTIONS),
        Endpoint::patch("/options", patch, "Change some of bosun's own options")
            .role(Role::Admin)
            .body(&PATCH)
            .answer(200, &OPTIONS),
    ]
}

async fn show(State(state): State<ApiState>) -> Result<Json<SiteOptions>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    Ok(Json::ok(db::options::get_of_site(&mut conn).await?))
}

async fn patch(
    State(state): State<ApiState>,
    tenant: Tenant,
    body: JsonBody,
) -> Result<Json<SiteOptions>, ApiError> {
    tenant.nobodys()?;
    let body = body.required()?;
    schema::check(&PATCH, &body)?;
    let mut conn = db::acquire(&state.pool).await?;
    Ok(Json::ok(db::options::patch_of_site(&mut conn, &body).await?))
}
