//! `/bosun/v1/claims`: which session holds which component, and who waits for it.

use axum::extract::State;
use serde_json::{Value, json};

use super::{answer, page};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        bos::shape,
        endpoint::{Endpoint, Parameter, parameter},
        query::Query,
        schema::{Shape, required, text},
        tenant::Tenant,
    },
    db::{
        self,
        claim::{ClaimFilter, ClaimLine},
    },
};

const CLAIM: Shape = Shape::Named(
    "Claim",
    &Shape::Object(&[
        required("component", &answer::TEXT),
        required("session", &answer::TEXT),
        required("session_id", &answer::COUNT),
        required("state", &answer::STATE),
        required("phase", &shape::PHASE),
        required("wanted_by", &Shape::Nullable(&answer::TEXT)),
    ]),
);

const FILTERS: &[Parameter] = &[
    parameter("session", &text(127), "Only what this session holds"),
    parameter("wanted", &Shape::Boolean, "Only what another session waits for"),
    parameter("after", &shape::COMPONENT_ID, "Only components after this one"),
    parameter("page_size", &page::SIZE, "At most so many"),
];

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/claims", claims, "Which session holds which component, by component")
            .query(FILTERS)
            .answer(200, &Shape::Many(&CLAIM)),
    ]
}

async fn claims(
    State(state): State<ApiState>,
    tenant: Tenant,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    if tenant.filter().is_some() {
        let detail =
            "claims are of everybody's sessions; a tenant sees those of its components in their records";
        return Err(ApiError::Forbidden(detail.to_owned()));
    }
    let filter = ClaimFilter {
        session: query.text("session"),
        wanted: query.boolean("wanted")?.unwrap_or(false),
        after: query.checked("after", &shape::COMPONENT_ID)?,
        limit: query.number("page_size", 1, page::LINES_MAX)?.unwrap_or(page::LINES_MAX),
    };
    let mut conn = db::acquire(&state.pool).await?;
    let claims = db::claim::page(&mut conn, filter).await?;
    Ok(Json::ok(claims.iter().map(line).collect()))
}

fn line(line: &ClaimLine) -> Value {
    json!({
        "component": line.xname, "session": line.session, "session_id": line.session_id, "state": line.state,
        "phase": line.phase, "wanted_by": line.wanted_by,
    })
}
