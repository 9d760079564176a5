//! Parking: automation stops, nothing is lost, an operator decides.
//!
//! The only change of a session that is made without its lease, and only where nobody holds one: it takes the next epoch
//! itself, so that a worker that was merely slow writes nothing more. Commands that wait are answered, not obeyed: in a
//! restored database they are as old as the rest, and a worker that dies of one would be started for it for ever. So it is
//! with components that others want: in a restored database they wait until the session is resumed or cancelled, or somebody
//! asks again. A session that is parked by itself keeps them: whoever waits for them is told, and goes on without them.

use crate::model::session::SessionId;

use super::super::{Connection, DbError, error::doing};

/// Parks a session whose crash budget is spent. Whether it was: not if a worker has its lease, or it had ended.
pub async fn park(conn: &mut Connection, session: &SessionId, reason: &str) -> Result<bool, DbError> {
    Ok(park_some(conn, Some(session.0), reason).await? > 0)
}

/// Parks every session under way whose lease nobody holds (law 6). A live lease proves that the database is in use.
/// How many there were.
pub async fn park_all_running(conn: &mut Connection, reason: &str) -> Result<u64, DbError> {
    park_some(conn, None, reason).await
}

async fn park_some(conn: &mut Connection, session: Option<i64>, reason: &str) -> Result<u64, DbError> {
    let row = sqlx::query!(
        r#"with free as (
             update session_lease l
                set epoch = l.epoch + 1, worker = null, valid_until = null, takeovers = 0
               from session s
              where s.session_id = l.session_id
                and (l.session_id = $1
                     or $1::int8 is null
                        and (s.state in ('running', 'cancelling')
                             or exists (select from command c where c.session_id = s.session_id and c.obeyed_at is null)))
                and (l.worker is null or coalesce(l.valid_until, '-infinity') <= clock_timestamp())
             returning l.session_id, l.epoch),
           answered as (
             update command c set obeyed_at = clock_timestamp(), answer = 'not obeyed, ask again: ' || $2
               from free where c.session_id = free.session_id and c.obeyed_at is null),
           given_up as (
             update hand_over h set done_at = clock_timestamp()
               from free where h.holder_id = free.session_id and h.done_at is null),
           wanted as materialized (
             select p.component_id, p.wanted_by
               from free join session_component_batch b on b.session_id = free.session_id and b.slice_no is not null
              cross join lateral unnest(b.component_ids) u(component_id)
               join component_progress p
                 on p.component_id = u.component_id and p.claimed_by = free.session_id and p.wanted_by is not null
              where $1::int8 is not null
              order by p.component_id
                for update of p),
           kept as (
             update component_progress p set wanted_by = null from wanted w where p.component_id = w.component_id),
           told as (
             select pg_notify('bosun_session_' || w.wanted_by, 'claims')::text as told
               from (select distinct wanted_by from wanted) w),
           parked as (
             update session s set state = 'stuck', reason = $2
               from free where s.session_id = free.session_id and s.state not in ('waiting', 'ended', 'stuck')
             returning s.session_id, free.epoch),
           narrative as (
             insert into event (session_id, seq, at, epoch, kind, data)
             select p.session_id, coalesce((select max(e.seq) from event e where e.session_id = p.session_id), 0) + 1,
                    clock_timestamp(), p.epoch, 'state_changed', jsonb_build_object('state', 'stuck', 'reason', $2::text)
               from parked p)
           select (select count(*) from parked) as "parked!", (select count(told) from told) as "told!""#,
        session,
        reason
    )
    .fetch_one(conn)
    .await
    .map_err(doing("park sessions"))?;
    if row.told > 0 {
        tracing::warn!(sessions = row.told, "sessions go on without what a parked one keeps");
    }
    Ok(u64::try_from(row.parked).unwrap_or_default())
}

/// Lets work begin again: what waits is admitted, and every stuck session is told to resume. How many there were.
pub async fn resume_all(conn: &mut Connection, actor: &str) -> Result<u64, DbError> {
    let resumed = sqlx::query_scalar!(
        r#"with life as (update service_life set parked_at = null),
           resumed as (
             insert into command (session_id, data, actor)
             select session_id, '{"kind": "resume"}', $1 from session where state = 'stuck' order by session_id
             returning session_id),
           told as (select pg_notify('bosun_launcher', '')::text)
           select count(*) filter (where told is not null) as "n!" from resumed, told"#,
        actor
    )
    .fetch_one(conn)
    .await
    .map_err(doing("resume all sessions"))?;
    Ok(u64::try_from(resumed).unwrap_or_default())
}
