//! Table `verb_time`: how long components took in each verb, kept as histograms of the sessions that are over.

use crate::model::session::SessionId;

use super::{Connection, DbError, error::doing};

/// Of so many sessions it is known how long their verbs took.
const SESSIONS_MAX: i64 = 300;

/// How long a verb takes, by what is past.
#[derive(Debug, Clone, PartialEq)]
pub struct VerbTime {
    /// The verb.
    pub verb: String,
    /// How many components were timed.
    pub components: i64,
    /// Half of them took at most so long, in seconds.
    pub p50_seconds: f64,
    /// 95 of 100 took at most so long, in seconds.
    pub p95_seconds: f64,
    /// 99 of 100 took at most so long, in seconds.
    pub p99_seconds: f64,
}

/// What is known of all verbs.
pub async fn list(conn: &mut Connection) -> Result<Vec<VerbTime>, DbError> {
    sqlx::query_as!(
        VerbTime,
        r#"select verb as "verb!", components as "components!", extract(epoch from p50)::float8 as "p50_seconds!",
                  extract(epoch from p95)::float8 as "p95_seconds!", extract(epoch from p99)::float8 as "p99_seconds!"
             from verb_times order by verb"#
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read how long verbs take"))
}

/// Times the components of one session that is over and was not timed yet; which it was.
///
/// A component enters a step with what it came through before, or with the call that covers it there, whichever is later:
/// so waiting at a gate is not the verb's time. Only what succeeded counts.
pub async fn time_one(conn: &mut Connection) -> Result<Option<SessionId>, DbError> {
    let timed = sqlx::query_scalar!(
        r#"with one as materialized (
             select session_id, started_at from session where state = 'ended' and timed_at is null
              order by session_id limit 1 for update skip locked),
           gone as (delete from verb_time v using one where v.session_id = one.session_id),
           fact as (
             select u.component_id, r.seq, r.part, r.step_no, r.at, r.kind,
                    lag(r.at, 1, one.started_at) over (partition by u.component_id order by r.seq, r.part) as entered_at
               from one join step_result_batch r on r.session_id = one.session_id and r.kind <> 'noticed'
               cross join lateral unnest(r.component_ids) u(component_id)),
           called as (
             select u.component_id, f.step_no, max(f.intended_at) as first_at
               from one join effect f on f.session_id = one.session_id and f.rung = 0
               cross join lateral unnest(f.component_ids) u(component_id)
              group by u.component_id, f.step_no),
           timed as (
             select s.verb,
                    extract(epoch from fact.at - greatest(fact.entered_at, called.first_at))::float8 * 1000 as took_ms
               from one join fact on fact.kind = 'succeeded'
               join step s on s.session_id = one.session_id and s.step_no = fact.step_no
               left join called on called.component_id = fact.component_id and called.step_no = fact.step_no),
           kept as (
             insert into verb_time (session_id, verb, bucket, components)
             select one.session_id, timed.verb, floor(8 * ln(greatest(timed.took_ms, 1)) / ln(2::float8) + 1e-9)::int2, count(*)
               from one cross join timed group by 1, 2, 3
             on conflict (session_id, verb, bucket) do update set components = excluded.components)
         update session s set timed_at = clock_timestamp() from one where s.session_id = one.session_id
         returning s.session_id"#
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("time the components of a session"))?;
    Ok(timed.map(SessionId))
}

/// Forgets the times of all but the newest sessions, so that a view over them stays quick.
pub async fn expire(conn: &mut Connection) -> Result<(), DbError> {
    sqlx::query!(
        "delete from verb_time where session_id < (
           select min(session_id) from (
             select distinct session_id from verb_time order by session_id desc limit $1) newest)",
        SESSIONS_MAX
    )
    .execute(conn)
    .await
    .map_err(doing("forget how long verbs took"))?;
    Ok(())
}
