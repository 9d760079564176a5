//! Completed sessions go after a while, as BOS's option says. Their history stays.

use std::time::Duration;

use super::super::{Connection, DbError, error::doing};

/// Hides sessions of BOS's API that are over and were asked for so long ago. What is staged and not applied yet keeps
/// its session. How many there were.
pub async fn expire(conn: &mut Connection, time_to_live: Duration) -> Result<u64, DbError> {
    let expired = sqlx::query!(
        "update session s set deleted_at = clock_timestamp()
          where s.state = 'ended' and s.deleted_at is null and s.api = 'v2'
            and s.created_at <= clock_timestamp() - make_interval(secs => $1)
            and not (s.stage and exists (select from component c where c.staged_state->>'session' = s.name))",
        time_to_live.as_secs_f64()
    )
    .execute(conn)
    .await
    .map_err(doing("expire completed sessions"))?;
    Ok(expired.rows_affected())
}
