//! Tables `metric_report`, `metric_total`, `metric_mark`, `metric_fold`: what the facts of sessions and the reports of
//! processes add up to, and what is the case right now.
//!
//! Facts are read once, by the numbers of their events, so that what was counted is counted for ever: whichever replica is
//! asked, after whatever restart. A worker's hot path knows nothing of it.

use super::{Connection, DbError, Pool, error::doing};
use crate::model::metric::{self, ABOVE, Family, SUM, Sample};

/// Whoever adds up holds this lock (the letters "bosun me").
const FOLD_LOCK: i64 = 0x626f_7375_6e20_6d65;

/// A sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// The family's name.
    pub family: String,
    /// What kind of it: names and values.
    pub labels: serde_json::Value,
    /// Which part of a histogram; empty for a counter.
    pub part: String,
    /// How much.
    pub value: f64,
}

/// What is the case now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Now {
    /// Sessions that have not ended: state, how many, and for how many seconds the oldest one has been there since it was
    /// asked for.
    pub sessions: Vec<(String, i64, f64)>,
    /// Components in steps of sessions that have not ended: verb, not reached, in flight.
    pub steps: Vec<(String, i64, i64)>,
    /// Sessions that need a worker and have none.
    pub without_worker: i64,
    /// Commands that are not obeyed yet.
    pub commands_waiting: i64,
    /// Seconds since the oldest of them was given.
    pub oldest_command_s: f64,
    /// Whether nothing is admitted until an operator resumes all.
    pub parked: bool,
}

/// Keeps what a process has counted.
pub async fn report(conn: &mut Connection, samples: &[Sample]) -> Result<(), DbError> {
    let samples = serde_json::to_value(samples).unwrap_or_default();
    sqlx::query!("insert into metric_report (samples) values ($1)", samples)
        .execute(conn)
        .await
        .map_err(doing("report what was counted"))?;
    Ok(())
}

/// Adds up what is new. Somebody else who does so right now is not waited for.
pub async fn fold(pool: &Pool) -> Result<(), DbError> {
    let pool = pool.clone();
    // A begin that is cancelled half-way leaves a poisoned connection in the pool.
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("add up metrics"))?;
        // In a statement of its own: the next one must see what whoever held the lock before has written.
        let ours = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "ours!""#, FOLD_LOCK)
            .fetch_one(&mut *tx)
            .await
            .map_err(doing("add up metrics"))?;
        if ours {
            fold_in(&mut tx).await?;
        }
        tx.commit().await.map_err(doing("add up metrics"))
    });
    task.await.expect("nothing in an addition panics")
}

/// Ten minutes are more than any transaction of ours takes: what ended within them may have become visible since.
async fn fold_in(conn: &mut Connection) -> Result<(), DbError> {
    let bounds = metric::STEP_SECONDS.bounds();
    let parts = metric::STEP_SECONDS.parts();
    sqlx::query!(
        r#"with moved as materialized (
             select s.session_id, s.operation, s.outcome, s.started_at,
                    case when s.state = 'ended' then s.ended_at end as ended_at,
                    coalesce(m.seq, -1) as from_seq, coalesce(m.at, '-infinity') as from_at,
                    coalesce(e.seq, 0) as to_seq, greatest(e.at, s.ended_at, s.created_at) as to_at
               from session s
               left join metric_mark m on m.session_id = s.session_id
               left join lateral (
                 select e.seq, e.at from event e where e.session_id = s.session_id order by e.seq desc limit 1) e on true
              where (s.state <> 'ended' or s.ended_at > (select at - interval '10 min' from metric_fold))
                and coalesce(e.seq, 0) > coalesce(m.seq, -1)),
           marks as (
             insert into metric_mark (session_id, seq, at) select session_id, to_seq, to_at from moved
             on conflict (session_id) do update set seq = excluded.seq, at = excluded.at),
           folded as (update metric_fold set at = now()),
           reports as (delete from metric_report returning samples),
           durations as (
             select $4::text as family, jsonb_build_object('verb', t.verb) as labels,
                    extract(epoch from t.ended_at - t.started_at)::float8 as seconds
               from moved v join step t on t.session_id = v.session_id
              where t.started_at is not null and t.ended_at > v.from_at and t.ended_at <= v.to_at
              union all
             select $5, jsonb_build_object('operation', v.operation),
                    extract(epoch from v.ended_at - v.started_at)::float8
               from moved v where v.started_at is not null and v.ended_at > v.from_at),
           results as (
             select t.verb, r.kind, coalesce(e.code, '') as reason, sum(cardinality(r.component_ids)) as value
               from moved v
               join step_result_batch r on r.session_id = v.session_id and r.seq > v.from_seq and r.seq <= v.to_seq
               join step t on t.session_id = r.session_id and t.step_no = r.step_no
               left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
              where r.kind <> 'noticed'
              group by 1, 2, 3),
           events as (
             select e.kind, e.data->>'take_over' = 'true' as take_over
               from moved v join event e on e.session_id = v.session_id and e.seq > v.from_seq and e.seq <= v.to_seq),
           news as (
             select $6::text as family, jsonb_build_object('verb', verb, 'outcome', kind, 'reason', reason) as labels,
                    '' as part, value
               from results where kind <> 'sent_back'
              union all
             select $7, jsonb_build_object('verb', verb, 'reason', reason), '', value
               from results where kind = 'sent_back'
              union all
             select $8, jsonb_build_object('verb', f.verb, 'rung', f.rung_name), '', 1
               from moved v join effect f on f.session_id = v.session_id and f.seq > v.from_seq and f.seq <= v.to_seq
              union all
             select $9, jsonb_build_object('kind', kind), '', 1 from events
              union all
             select $10, '{}', '', 1 from events where kind = 'lease_acquired' and take_over
              union all
             select $11, jsonb_build_object('operation', operation, 'outcome', outcome), '', 1
               from moved where ended_at > from_at
              union all
             select family, labels, ($2::text[])[width_bucket(seconds, $1::float8[]) + 1], 1 from durations
              union all
             select family, labels, $3, seconds from durations
              union all
             select s.family, s.labels, s.part, s.value
               from reports r
               cross join lateral jsonb_to_recordset(r.samples) s (family text, labels jsonb, part text, value float8))
           insert into metric_total (family, labels, part, value)
           select family, labels, part, sum(value) from news where value > 0 group by family, labels, part
           on conflict (family, labels, part) do update set value = metric_total.value + excluded.value"#,
        bounds,
        &parts,
        SUM,
        metric::STEP_SECONDS.name,
        metric::SESSION_SECONDS.name,
        metric::COMPONENT_RESULTS.name,
        metric::RETRIES.name,
        metric::EFFECTS.name,
        metric::EVENTS.name,
        metric::TAKEOVERS.name,
        metric::SESSIONS_ENDED.name,
    )
    .execute(conn)
    .await
    .map_err(doing("add up metrics"))?;
    Ok(())
}

/// What was ever counted.
pub async fn totals(conn: &mut Connection) -> Result<Vec<Total>, DbError> {
    sqlx::query_as!(Total, "select family, labels, part, value from metric_total order by family, labels")
        .fetch_all(conn)
        .await
        .map_err(doing("read metrics"))
}

/// What is the case now.
pub async fn now(conn: &mut Connection) -> Result<Now, DbError> {
    let sessions = sqlx::query!(
        r#"select state, count(*) as "count!",
                  coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "oldest!"
             from session where state <> 'ended' group by state"#
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(doing("count sessions"))?;
    let steps = sqlx::query!(
        r#"select t.verb, sum(t.not_reached) as "not_reached!", sum(t.in_flight) as "in_flight!"
             from session s join step t on t.session_id = s.session_id where s.state <> 'ended' group by t.verb"#
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(doing("count components"))?;
    let rest = sqlx::query!(
        r#"select (select count(*) from session s left join session_lease l on l.session_id = s.session_id
                    where s.state in ('running', 'cancelling')
                      and not coalesce(l.valid_until > clock_timestamp(), false)) as "without_worker!",
                  count(*) as "commands_waiting!",
                  coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "oldest_command!",
                  (select parked_at is not null from service_life) as "parked!"
             from command where obeyed_at is null"#
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(doing("count commands"))?;
    Ok(Now {
        sessions: sessions.into_iter().map(|row| (row.state, row.count, row.oldest)).collect(),
        steps: steps.into_iter().map(|row| (row.verb, row.not_reached, row.in_flight)).collect(),
        without_worker: rest.without_worker,
        commands_waiting: rest.commands_waiting,
        oldest_command_s: rest.oldest_command,
        parked: rest.parked,
    })
}

/// One histogram's buckets, not cumulative, and the sum of all that was measured.
pub fn buckets<'a>(
    family: &Family,
    parts: impl Iterator<Item = &'a Total> + Clone,
) -> (Vec<(f64, u64)>, f64) {
    let value = |part: &str| parts.clone().filter(|total| total.part == part).map(|total| total.value).sum();
    let bounds = family.bounds().iter().map(|bound| (*bound, bound.to_string()));
    let all = bounds.chain([(f64::INFINITY, ABOVE.to_owned())]);
    // Counts are whole numbers, far below 2^53.
    (all.map(|(bound, part)| (bound, value(&part) as u64)).collect(), value(SUM))
}
