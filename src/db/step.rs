//! Table `step`: the vertices of plans, and their counters.

use crate::model::{Timestamp, checkpoint::StepCounters, plan::Step, session::SessionId, verb::VERB_VERSION};

use super::{Connection, DbError, error::doing, label};

/// A step with its counters, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its name.
    pub name: String,
    /// Its verb.
    pub verb: String,
    /// Its counters, with its place in the plan.
    pub counters: StepCounters,
    /// When the first component entered.
    pub started_at: Option<Timestamp>,
    /// When the last one was through.
    pub ended_at: Option<Timestamp>,
}

/// Keeps a plan's steps; `members` says how many components each slice has.
pub(super) async fn insert(
    conn: &mut Connection,
    session: SessionId,
    steps: &[Step],
    members: &[i32],
) -> Result<(), DbError> {
    let names: Vec<&str> = steps.iter().map(|s| s.name.as_str()).collect();
    let slices: Vec<i16> = steps.iter().map(|s| s.slice.0).collect();
    let verbs: Vec<&str> = steps.iter().map(|s| s.verb.name()).collect();
    let definitions: Vec<serde_json::Value> =
        steps.iter().map(|s| serde_json::to_value(s).expect("a step is a document")).collect();
    sqlx::query!(
        "insert into step (session_id, step_no, name, slice_no, verb, verb_version, definition, not_reached)
         select $1, u.n - 1, u.name, u.slice_no, u.verb, $2, u.definition, ($7::int4[])[u.slice_no + 1]
           from unnest($3::text[], $4::int2[], $5::text[], $6::jsonb[])
                with ordinality u(name, slice_no, verb, definition, n)",
        session.0,
        VERB_VERSION,
        &names as &[&str],
        &slices,
        &verbs as &[&str],
        &definitions,
        members,
    )
    .execute(conn)
    .await
    .map_err(doing("keep a plan's steps"))?;
    Ok(())
}

/// A plan's steps, in order. A verb of another version is [`DbError::Unknown`] (law 11).
pub(super) async fn load(conn: &mut Connection, session: SessionId) -> Result<Vec<Step>, DbError> {
    let rows = sqlx::query!(
        "select verb, verb_version, definition from step where session_id = $1 order by step_no",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a plan's steps"))?;
    let steps = rows.into_iter().map(|row| {
        if row.verb_version != VERB_VERSION {
            let value = format!("{} version {}", row.verb, row.verb_version);
            return Err(DbError::Unknown { what: "the verb", value });
        }
        label::read_json("a step", row.definition)
    });
    steps.collect()
}

/// A session's steps with their counters, in order.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<StepRow>, DbError> {
    let rows = sqlx::query!(
        "select step_no, name, verb, not_reached, in_flight, succeeded, failed, skipped, attempts, started_at, ended_at
           from step where session_id = $1 order by step_no",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list steps"))?;
    let steps = rows.into_iter().map(|row| StepRow {
        name: row.name,
        verb: row.verb,
        counters: StepCounters {
            step: row.step_no,
            not_reached: row.not_reached,
            in_flight: row.in_flight,
            succeeded: row.succeeded,
            failed: row.failed,
            skipped: row.skipped,
            attempts: row.attempts,
        },
        started_at: row.started_at,
        ended_at: row.ended_at,
    });
    Ok(steps.collect())
}
