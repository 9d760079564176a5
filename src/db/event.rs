//! Table `event`: the narrative of sessions.

use crate::model::{event::Event, session::SessionId};

use super::{Connection, DbError, error::doing, label};

/// Most lines in one answer.
pub const PAGE_MAX: i64 = 10_000;

/// The number of the last line; 0: none.
pub async fn last_seq(conn: &mut Connection, session: &SessionId) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select coalesce(max(seq), 0) as "seq!" from event where session_id = $1"#,
        session.0
    )
    .fetch_one(conn)
    .await
    .map_err(doing("read the last event"))
}

/// A line that tells of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// Its number.
    pub seq: i64,
    /// The wave that may pass since then, counted from 1.
    pub wave: Option<i32>,
    /// Whether the failures until then were accepted.
    pub accepts_failures: bool,
}

/// What operators approved, in order. Few: one for a wave, or for a halt.
pub async fn approvals(conn: &mut Connection, session: &SessionId) -> Result<Vec<Approval>, DbError> {
    sqlx::query_as!(
        Approval,
        r#"select seq as "seq!", wave, accepts_failures as "accepts_failures!" from approvals
            where session_id = $1 order by seq"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read approvals"))
}

/// The last lines, newest first; at most `limit`, or [`PAGE_MAX`].
pub async fn newest(conn: &mut Connection, session: &SessionId, limit: i64) -> Result<Vec<Event>, DbError> {
    let last = last_seq(conn, session).await?;
    let limit = limit.clamp(0, PAGE_MAX);
    let mut events = list_after(conn, session, (last - limit).max(0), limit).await?;
    events.reverse();
    Ok(events)
}

/// The lines after `seq`, in order; at most `limit`, or [`PAGE_MAX`].
pub async fn list_after(
    conn: &mut Connection,
    session: &SessionId,
    seq: i64,
    limit: i64,
) -> Result<Vec<Event>, DbError> {
    let rows = sqlx::query!(
        "select seq, at, epoch, kind, actor, data from event where session_id = $1 and seq > $2
          order by seq limit $3",
        session.0,
        seq,
        limit.clamp(0, PAGE_MAX)
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list events"))?;
    let events = rows.into_iter().map(|row| {
        Ok(Event {
            seq: row.seq,
            at: row.at,
            epoch: row.epoch,
            kind: label::read("the kind of event", &row.kind)?,
            actor: row.actor,
            data: row.data,
        })
    });
    events.collect()
}
