//! History goes after a time that the site sets: session by session, in bounded statements. Nothing of a session that is
//! not over is touched, and no lock is held that a running one waits for.

use std::time::Duration;

use super::super::{Connection, DbError, error::doing};
use crate::model::session::SessionId;

/// Most rows of one statement.
const ROWS_MAX: i64 = 5_000;

/// Forgets one session that ended so long ago, and all that is known of it; none: there is none. What is staged and not
/// applied keeps its session. It is hidden first, so that nobody retries what is half gone; who dies in between leaves it to
/// the next.
pub async fn forget_one(conn: &mut Connection, time_to_live: Duration) -> Result<Option<SessionId>, DbError> {
    let session = sqlx::query_scalar!(
        "with old as (
           select s.session_id from session s
            where s.state = 'ended' and s.ended_at < clock_timestamp() - make_interval(secs => $1)
              and s.timed_at is not null
              and not (s.stage and exists (select from component c where c.staged_state->>'session' = s.name))
            order by s.session_id limit 1 for update skip locked)
         update session s set deleted_at = coalesce(s.deleted_at, clock_timestamp())
           from old where s.session_id = old.session_id returning s.session_id",
        time_to_live.as_secs_f64()
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("look for history that may go"))?;
    let Some(session) = session else { return Ok(None) };
    loop {
        let gone = sqlx::query_scalar!(
            r#"with results as (
                 delete from step_result_batch where session_id = $1 and seq in (
                   select seq from step_result_batch where session_id = $1 limit $2) returning 1),
               effects as (
                 delete from effect where session_id = $1 and effect_no in (
                   select effect_no from effect where session_id = $1 limit $2) returning 1),
               events as (
                 delete from event where session_id = $1 and seq in (
                   select seq from event where session_id = $1 limit $2) returning 1)
               select (select count(*) from results) + (select count(*) from effects)
                      + (select count(*) from events) as "n!""#,
            session,
            ROWS_MAX
        )
        .fetch_one(&mut *conn)
        .await
        .map_err(doing("forget a session's history"))?;
        if gone == 0 {
            break;
        }
    }
    sqlx::query!("delete from session where session_id = $1 and state = 'ended'", session)
        .execute(conn)
        .await
        .map_err(doing("forget a session"))?;
    Ok(Some(SessionId(session)))
}
