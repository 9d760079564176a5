//! Table `plan_shown`: plans that were shown to people, so that it can be told what changed since.

use std::time::Duration;

use serde_json::Value;

use super::{Connection, DbError, error::doing};

/// Most plans that are kept.
const PLANS_MAX: i64 = 200;

/// Keeps what was shown of a plan.
pub async fn keep(conn: &mut Connection, plan_hash: &str, content: &Value) -> Result<(), DbError> {
    sqlx::query!(
        "insert into plan_shown (plan_hash, content) values ($1, $2)
         on conflict (plan_hash) do update set shown_at = excluded.shown_at",
        plan_hash,
        content
    )
    .execute(conn)
    .await
    .map_err(doing("keep what was shown"))?;
    Ok(())
}

/// What was shown of the plan with this hash, if it is still kept.
pub async fn get(conn: &mut Connection, plan_hash: &str) -> Result<Option<Value>, DbError> {
    sqlx::query_scalar!("select content from plan_shown where plan_hash = $1", plan_hash)
        .fetch_optional(conn)
        .await
        .map_err(doing("look up what was shown"))
}

/// Forgets what was shown longer ago, and what are too many.
pub async fn expire(conn: &mut Connection, time_to_live: Duration) -> Result<(), DbError> {
    sqlx::query!(
        "delete from plan_shown
          where shown_at < clock_timestamp() - make_interval(secs => $1)
             or plan_hash in (select plan_hash from plan_shown order by shown_at desc offset $2)",
        time_to_live.as_secs_f64(),
        PLANS_MAX
    )
    .execute(conn)
    .await
    .map_err(doing("forget what was shown"))?;
    Ok(())
}
