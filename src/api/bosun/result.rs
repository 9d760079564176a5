//! `/bosun/v1/sessions/{name}/results`: what became of components in steps.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{answer, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, Parameter, parameter},
        query::Query,
        schema::{Shape, text},
    },
    db::{
        self,
        result::{ResultFilter, ResultLine},
    },
    model::result::FactKind,
};

/// Most lines of one page.
const PAGE_MAX: i64 = 1_000;
/// What is said of a component.
pub const OUTCOME: Shape = Shape::Word(&["succeeded", "failed", "skipped", "sent_back", "passed", "noticed"]);

const FILTERS: &[Parameter] = &[
    parameter("step", &text(255), "Only of this step"),
    parameter("outcome", &OUTCOME, "Only of this outcome"),
    parameter("component", &text(127), "Only of this component"),
    parameter("offset", &Shape::Integer { min: 0, max: i64::MAX }, "Pass over so many"),
    parameter("page_size", &Shape::Integer { min: 1, max: PAGE_MAX }, "At most so many"),
];

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/sessions/{name}/results",
            results,
            "What became of components in steps, oldest first",
        )
        .query(FILTERS)
        .answer(200, &Shape::Many(&answer::RESULT))
        .errors(&[404]),
    ]
}

async fn results(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let kind = match query.text("outcome") {
        None => None,
        Some(label) => Some(serde_json::from_value::<FactKind>(json!(label)).map_err(|_| {
            ApiError::bad_request(format!(
                "'{label}' is no outcome: succeeded, failed, skipped, sent_back, passed or noticed"
            ))
        })?),
    };
    let filter = ResultFilter {
        step: query.text("step"),
        kind,
        xname: query.text("component"),
        offset: query.number("offset", 0, i64::MAX)?.unwrap_or(0),
        limit: query.number("page_size", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX),
    };
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &name).await?;
    let lines = db::result::page(&mut conn, &session.id, &filter).await?;
    Ok(Json::ok(lines.iter().map(result_line).collect()))
}

fn result_line(line: &ResultLine) -> Value {
    json!({
        "component": line.xname, "step": line.step, "run": line.run, "outcome": line.result,
        "attempts": line.attempts, "reason": line.reason, "error": line.error, "decision": line.decision,
        "at": line.at, "seq": line.seq,
    })
}
