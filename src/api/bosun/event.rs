//! `/bosun/v1/sessions/{name}/events`: the narrative of a session.

use axum::extract::{Path, State};

use super::{answer, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, parameter},
        query::Query,
        schema::Shape,
    },
    db,
    model::event::Event,
};

/// Most lines of one page.
const PAGE_MAX: i64 = 1_000;

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sessions/{name}/events", events, "The narrative of a session, in order")
            .query(&[
                parameter(
                    "after",
                    &Shape::Integer { min: 0, max: i64::MAX },
                    "Only events after this number",
                ),
                parameter("max", &Shape::Integer { min: 1, max: PAGE_MAX }, "At most so many"),
            ])
            .answer(200, &Shape::Many(&answer::EVENT))
            .errors(&[404]),
    ]
}

async fn events(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Vec<Event>>, ApiError> {
    let after = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let max = query.number("max", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX);
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &name).await?;
    Ok(Json::ok(db::event::list_after(&mut conn, &session.id, after, max).await?))
}
