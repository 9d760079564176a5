//! Server-sent events that say *something moved*: the page then asks for itself again. The database is looked at once a
//! second per open page, at the price of a few index look-ups; the number of open pages is bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Failure, shared};
use crate::{
    api::{ApiError, ApiState},
    db,
    model::session::SessionId,
};

/// Most pages that are kept fresh at once; others ask by themselves now and then.
const STREAMS_MAX: usize = 128;
/// How often it is looked whether something moved.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// After so many looks a page is told to read itself again although nothing moved: its durations grow.
const STILL_LOOKS_MAX: u32 = 5;

/// The open streams.
#[derive(Debug)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

/// The paths of the streams.
pub fn router() -> Router<ApiState> {
    Router::new().route("/ui/live/sessions", get(of_all)).route("/ui/live/sessions/{id}", get(of_one))
}

/// The stream of a session.
pub fn path_of(id: SessionId) -> String {
    format!("/ui/live/sessions/{id}")
}

/// The stream of the list of sessions.
pub const PATH_OF_ALL: &str = "/ui/live/sessions";

type Moves = Sse<axum::response::sse::KeepAliveStream<std::pin::Pin<Box<dyn Stream<Item = Said> + Send>>>>;
type Said = Result<Event, Infallible>;

async fn of_all(
    State(state): State<ApiState>,
    Extension(stop): Extension<CancellationToken>,
) -> Result<Moves, Failure> {
    stream_of(&state, None, stop)
}

async fn of_one(
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Extension(stop): Extension<CancellationToken>,
) -> Result<Moves, Failure> {
    db::session::mark(&mut *db::acquire(&state.pool).await?, &SessionId(id)).await?;
    stream_of(&state, Some(SessionId(id)), stop)
}

fn stream_of(
    state: &ApiState,
    session: Option<SessionId>,
    stop: CancellationToken,
) -> Result<Moves, Failure> {
    let permit = shared(state).streams.0.clone().try_acquire_owned().map_err(|_| {
        ApiError::Unavailable(format!("{STREAMS_MAX} pages are kept fresh already, which is the most"))
    })?;
    let watch = Watch { pool: state.pool.clone(), session, seen: None, still: 0, stop, _permit: permit };
    let moves: std::pin::Pin<Box<dyn Stream<Item = Said> + Send>> =
        Box::pin(stream::unfold(watch, |mut watch| async move {
            let said = watch.next().await?;
            Some((Ok(said), watch))
        }));
    Ok(Sse::new(moves).keep_alive(KeepAlive::default()))
}

struct Watch {
    pool: db::Pool,
    session: Option<SessionId>,
    /// The mark last told.
    seen: Option<String>,
    still: u32,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits until there is something to say; none when the server ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.seen.is_some() {
                let pause = tokio::time::sleep(LOOK_INTERVAL);
                self.stop.run_until_cancelled(pause).await?;
            }
            // While the database does not answer there is nothing to be said.
            let Ok(mark) = self.mark().await else {
                self.seen.get_or_insert_default();
                continue;
            };
            self.still += 1;
            let moved = self.seen.as_ref() != Some(&mark);
            let grows = !is_over(&mark) && self.still >= STILL_LOOKS_MAX;
            if moved || grows {
                self.still = 0;
                self.seen = Some(mark.clone());
                return Some(Event::default().data(mark));
            }
        }
    }

    async fn mark(&self) -> Result<String, db::DbError> {
        let mut conn = db::acquire(&self.pool).await?;
        match &self.session {
            Some(session) => db::session::mark(&mut conn, session).await,
            None => db::session::mark_all(&mut conn).await,
        }
    }
}

/// Whether nothing grows any more: a session that has ended.
fn is_over(mark: &str) -> bool {
    mark.starts_with("ended ")
}
