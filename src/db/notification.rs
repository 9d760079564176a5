//! Table `notification`: the outbox of what people are told. A trigger on `session` fills it.

use std::time::Duration;

use crate::model::notification::Notification;

use super::{Connection, DbError, error::doing};

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// Takes the oldest that is due. It is due again when `lease` is over, unless [`done`] or [`put_back`] is said before: so
/// whoever takes it may die, and nobody else sends it meanwhile.
pub async fn take(conn: &mut Connection, lease: Duration) -> Result<Option<Notification>, DbError> {
    sqlx::query_as!(
        Notification,
        r#"with due as (
             select notification_id from notification
              where done_at is null and next_try_at <= clock_timestamp()
              order by notification_id limit 1 for update skip locked),
           taken as (
             update notification n
                set tries = n.tries + 1, next_try_at = clock_timestamp() + make_interval(secs => $1)
               from due where n.notification_id = due.notification_id
             returning n.*)
           select t.notification_id as "id!", t.kind as "kind!", t.reason, t.at as "at!", t.tries - 1 as "tries!",
                  s.session_id as "session_id!", s.name as "session!", s.tenant as "tenant!", s.operation as "operation!",
                  s.template_name as "template!", s.state as "state!", s.outcome, s.members as "members!",
                  s.succeeded as "succeeded!", s.failed as "failed!", s.skipped as "skipped!",
                  case when t.kind in ('halted', 'stuck', 'overdue') then 'bosun session show ' || s.name
                       else s.retry_command end as next_command,
                  coalesce(l.last_failed_launch, 0) + 1 as "launch!"
             from taken t join session s on s.session_id = t.session_id
             left join session_lease l on l.session_id = s.session_id"#,
        lease.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("look for what people are to be told"))
}

/// It was not sent, and is due again after a pause that doubles from `pause` with every try.
pub async fn put_back(conn: &mut Connection, id: i64, pause: Duration) -> Result<(), DbError> {
    sqlx::query!(
        "update notification set next_try_at = clock_timestamp()
           + make_interval(secs => least($2 * power(2, least(greatest(tries - 1, 0), 20)), $3))
          where notification_id = $1",
        id,
        pause.as_secs_f64(),
        PAUSE_MAX.as_secs_f64()
    )
    .execute(conn)
    .await
    .map_err(doing("note what people were not told yet"))?;
    Ok(())
}

/// It was sent, or, with an error, is given up.
pub async fn done(conn: &mut Connection, id: i64, error: Option<&str>) -> Result<(), DbError> {
    sqlx::query!(
        "update notification set done_at = clock_timestamp(), error = $2 where notification_id = $1",
        id,
        error
    )
    .execute(conn)
    .await
    .map_err(doing("note what people were told"))?;
    Ok(())
}

/// Forgets what was sent or given up, or never tried, so long ago.
pub async fn expire(conn: &mut Connection, time_to_live: Duration) -> Result<u64, DbError> {
    let gone = sqlx::query!(
        "delete from notification where notification_id in (
           select notification_id from notification where at < clock_timestamp() - make_interval(secs => $1)
            order by notification_id limit 10000)",
        time_to_live.as_secs_f64()
    )
    .execute(conn)
    .await
    .map_err(doing("forget what people were told"))?;
    Ok(gone.rows_affected())
}
