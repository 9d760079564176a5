//! `/bosun/v1/sessions/{name}/events`: the narrative of a session, page by page or as Server-Sent Events.
//!
//! A stream tells every event once, in order; its id is the event's number, so that whoever lost the connection goes on
//! from `Last-Event-ID`. It ends with the session. It lives through a restart of the database.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;

use super::{answer, session};
use crate::{
    api::{
        ApiError, ApiState,
        body::Json,
        endpoint::{Endpoint, parameter},
        query::Query,
        schema::{Shape, text},
        tenant::Tenant,
        watch::Watcher,
    },
    db,
    model::{
        event::Event,
        session::{SessionId, SessionState},
    },
};

/// Most lines of one page.
const PAGE_MAX: i64 = 1_000;
/// How often a stream without events shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);
const STREAM: &str = "text/event-stream";
const NUMBER: Shape = Shape::Integer { min: 0, max: i64::MAX };
const ANY_TEXT: Shape = text(usize::MAX);

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sessions/{name}/events", events, "The narrative of a session, in order")
            .describe(
                "With 'Accept: text/event-stream' as Server-Sent Events: those there are, then each as it happens, until \
                 the session ends. The id of each is its number; after a lost connection send the last one as \
                 Last-Event-ID. 204: the session has ended, and there is nothing after that number.",
            )
            .query(&[
                parameter("after", &NUMBER, "Only events after this number"),
                parameter("max", &Shape::Integer { min: 1, max: PAGE_MAX }, "At most so many of a page"),
            ])
            .header(parameter("Last-Event-ID", &NUMBER, "The same for a stream; comes before 'after'"))
            .answer(200, &Shape::Many(&answer::EVENT))
            .answer_as(200, STREAM, &ANY_TEXT)
            .empty(204)
            .errors(&[404]),
    ]
}

async fn events(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, ApiError> {
    let after = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let max = query.number("max", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX);
    let last = last_event_id(&headers)?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
    let accepts = |value: &header::HeaderValue| value.to_str().is_ok_and(|text| text.contains(STREAM));
    if !headers.get_all(header::ACCEPT).iter().any(accepts) {
        let page = db::event::list_after(&mut conn, &session.id, after, max).await?;
        return Ok(Json::ok(page).into_response());
    }
    let after = last.unwrap_or(after);
    // A browser that asks again after the end is told to stop.
    let ended = session.state == SessionState::Ended;
    if ended && db::event::last_seq(&mut conn, &session.id).await? <= after {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    drop(conn);
    let watcher = state.watch.watcher(session.id).await?;
    let told = Narrative {
        pool: state.pool,
        session: session.id,
        after,
        page: VecDeque::new(),
        ended: false,
        watcher,
    };
    let stream = stream::unfold((told, true), async |(mut told, first)| {
        let event = told.next().await?;
        let shown = serde_json::to_string(&event).unwrap_or_default();
        let line = sse::Event::default().id(event.seq.to_string()).data(shown);
        let line = if first { line.retry(RECONNECT) } else { line };
        Some((Ok::<_, Infallible>(line), (told, false)))
    });
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive"));
    // Proxies that gather answers would keep it all to themselves.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
    number
        .map(Some)
        .ok_or_else(|| ApiError::bad_request("the header Last-Event-ID is not the number of an event"))
}

/// A session's events as they come.
struct Narrative {
    pool: db::Pool,
    session: SessionId,
    /// The last that was read.
    after: i64,
    /// Read, and not told yet.
    page: VecDeque<Event>,
    /// The session was seen to have ended: what is written by then is all.
    ended: bool,
    watcher: Watcher,
}

impl Narrative {
    /// The next event; none after the last.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(event);
            }
            let goes_on = match self.look().await {
                Ok(Look::Found) => continue,
                Ok(Look::Over) => return None,
                Ok(Look::Nothing) => self.watcher.wait().await,
                Err(error) if error.is_transient() => self.watcher.rest().await,
                Err(error) => {
                    tracing::error!("a stream of events ends: {error}");
                    return None;
                }
            };
            if !goes_on {
                return None;
            }
        }
    }

    async fn look(&mut self) -> Result<Look, db::DbError> {
        let mut conn = db::acquire(&self.pool).await?;
        let page = db::event::list_after(&mut conn, &self.session, self.after, PAGE_MAX).await?;
        if let Some(last) = page.last() {
            self.after = last.seq;
            self.page = page.into();
            return Ok(Look::Found);
        }
        if self.ended {
            return Ok(Look::Over);
        }
        // What was written between the two questions is found by one more.
        self.ended = db::session::get_by_id(&mut conn, &self.session).await?.state == SessionState::Ended;
        Ok(if self.ended { Look::Found } else { Look::Nothing })
    }
}

/// What there was to see.
enum Look {
    /// Something; or a reason to look once more.
    Found,
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    Over,
}
