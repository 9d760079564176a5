//! `/bosun/v1/sessions/{name}/results`: what became of components in steps.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{answer, page, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, Parameter, parameter},
        query::Query,
        schema::{Shape, required, text},
        tenant::Tenant,
    },
    db::{
        self,
        result::{ResultFilter, ResultLine},
    },
    model::result::FactKind,
};

/// What is said of a component.
pub const OUTCOME: Shape = Shape::Word(&["succeeded", "failed", "skipped", "sent_back", "passed", "noticed"]);

const FILTERS: &[Parameter] = &[
    parameter("step", &text(255), "Only of this step, by its name or by what every boot set calls it"),
    parameter("outcome", &OUTCOME, "Only of this outcome"),
    parameter("component", &text(127), "Only of this component"),
];

const PAGE: Shape = Shape::Named(
    "ResultPage",
    &Shape::Object(&[required("results", &Shape::Many(&answer::RESULT)), required("next", &page::NEXT)]),
);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/sessions/{name}/results",
            results,
            "What became of components in steps, oldest first",
        )
        .query(FILTERS)
        .query(page::PARAMETERS)
        .answer(200, &PAGE)
        .errors(&[404]),
    ]
}

async fn results(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let kind = match query.text("outcome") {
        None => None,
        Some(label) => Some(serde_json::from_value::<FactKind>(json!(label)).map_err(|_| {
            ApiError::bad_request(format!(
                "'{label}' is no outcome: succeeded, failed, skipped, sent_back, passed or noticed"
            ))
        })?),
    };
    let (after, limit) = page::wanted(&query)?;
    let filter =
        ResultFilter { step: query.text("step"), kind, xname: query.text("component"), after, limit };
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
    let found = db::result::page(&mut conn, &session.id, &filter).await?;
    Ok(Json::ok(json!({
        "results": found.lines.iter().map(line).collect::<Vec<_>>(), "next": page::next(found.next),
    })))
}

fn line(line: &ResultLine) -> Value {
    json!({
        "component": line.xname, "step": line.step, "run": line.run, "outcome": line.result,
        "attempts": line.attempts, "reason": line.reason, "error": line.error, "decision": line.decision,
        "at": line.at, "seq": line.seq,
    })
}
