//! Tables `quarantine` and `component_failures`: who is left out of sessions until somebody releases it.

use std::collections::BTreeSet;

use crate::model::{Timestamp, reason::ReasonCode, session::SessionId};

use super::{Connection, DbError, Pool, error::doing, verb_time};

/// A component in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The component's id.
    pub xname: String,
    /// Why.
    pub reason: String,
    /// Who put it there.
    pub actor: String,
    /// Whether it was put there for failing too often.
    pub is_automatic: bool,
    /// Since when.
    pub since: Timestamp,
}

/// Puts components (numbers) into quarantine; how many were not there yet.
pub async fn insert(
    conn: &mut Connection,
    components: &[i32],
    reason: &str,
    actor: &str,
) -> Result<u64, DbError> {
    let put = sqlx::query!(
        "insert into quarantine (component_id, reason, actor)
         select w.component_id, $2, $3 from unnest($1::int4[]) w(component_id)
         on conflict (component_id) where released_at is null do nothing",
        components,
        reason,
        actor
    )
    .execute(conn)
    .await
    .map_err(doing("put components into quarantine"))?;
    Ok(put.rows_affected())
}

/// Releases components (numbers); how many there were. Their failures are forgotten.
pub async fn release(conn: &mut Connection, components: &[i32], actor: &str) -> Result<u64, DbError> {
    let released = sqlx::query_scalar!(
        r#"with forgotten as (
             delete from component_failures where component_id = any ($1)),
           released as (
             update quarantine set released_at = clock_timestamp(), released_by = $2
              where released_at is null and component_id = any ($1) returning 1)
           select count(*) as "n!" from released"#,
        components,
        actor
    )
    .fetch_one(conn)
    .await
    .map_err(doing("release components"))?;
    Ok(u64::try_from(released).unwrap_or_default())
}

/// Who is in quarantine, by id.
pub async fn list(conn: &mut Connection) -> Result<Vec<Quarantined>, DbError> {
    sqlx::query_as!(
        Quarantined,
        r#"select c.xname, q.reason, q.actor, q.is_automatic, q.since
             from quarantine q join component c on c.component_id = q.component_id
            where q.released_at is null order by c.xname"#
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read who is in quarantine"))
}

/// The ids of all in quarantine.
pub async fn xnames(conn: &mut Connection) -> Result<BTreeSet<String>, DbError> {
    Ok(list(conn).await?.into_iter().map(|one| one.xname).collect())
}

/// Settles one session that is over and was not settled yet: its components are timed, and counted where they failed or
/// succeeded. Who failed in so many sessions in a row (0: however many) goes into quarantine. Which session it was.
pub async fn settle_one(pool: &Pool, after_failures: u32) -> Result<Option<SessionId>, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("settle a session"))?;
        let Some(session) = verb_time::time_one(&mut tx).await? else { return Ok(None) };
        count(&mut tx, session, after_failures).await?;
        tx.commit().await.map_err(doing("settle a session"))?;
        Ok(Some(session))
    });
    task.await.expect("nothing in settling a session panics")
}

async fn count(conn: &mut Connection, session: SessionId, after_failures: u32) -> Result<(), DbError> {
    let of_services = ReasonCode::OF_SERVICES.map(ReasonCode::label);
    sqlx::query!(
        r#"with last as (
             select distinct on (u.component_id) u.component_id, r.kind, e.code
               from step_result_batch r
              cross join lateral unnest(r.component_ids) u(component_id)
               left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
              where r.session_id = $1 and r.kind <> 'noticed'
              order by u.component_id, r.seq desc, r.part desc),
           well as (
             delete from component_failures f using last
              where last.kind = 'succeeded' and f.component_id = last.component_id),
           counted as (
             insert into component_failures as f (component_id, failures, session_id)
             select component_id, 1, $1 from last where kind = 'failed' and not code = any ($2)
             on conflict (component_id) do update
               set failures = f.failures + 1, session_id = excluded.session_id
               where f.session_id is distinct from excluded.session_id
             returning component_id, failures)
           insert into quarantine (component_id, reason, actor, is_automatic)
           select component_id, 'failed in ' || failures || ' sessions in a row', 'bosun', true
             from counted where $3 > 0 and failures >= $3
           on conflict (component_id) where released_at is null do nothing"#,
        session.0,
        of_services.as_slice() as &[&str],
        i32::try_from(after_failures).unwrap_or(i32::MAX)
    )
    .execute(conn)
    .await
    .map_err(doing("count failures"))?;
    Ok(())
}
