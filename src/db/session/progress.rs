//! How far sessions are, for lists of them; and marks that change whenever something about them does.

use super::super::{Connection, DbError, error::doing, label};
use crate::model::{
    Timestamp,
    session::{Outcome, SessionId, SessionState},
};

/// Most lines in one answer.
const PAGE_MAX: i64 = 1_000;

/// A line of a list of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionProgress {
    /// Its number.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// Its operation.
    pub operation: String,
    /// Its template's name.
    pub template: String,
    /// Where it is.
    pub state: SessionState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it waits for somebody, or was rejected.
    pub reason: Option<String>,
    /// Everybody its request named.
    pub members: i32,
    /// How much of what its steps have to do is done, in per cent.
    pub percent: f64,
    /// How many components failed so far.
    pub failed: i64,
    /// Whether a worker drives it now.
    pub has_worker: bool,
    /// Who asked for it.
    pub actor: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How long it has taken, in seconds; none before it began.
    pub elapsed_s: Option<f64>,
}

/// Which sessions are wanted; all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct ProgressFilter<'a> {
    /// Of this tenant.
    pub tenant: Option<&'a str>,
    /// In one of these states; empty: in any.
    pub states: &'a [SessionState],
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// With this operation.
    pub operation: Option<&'a str>,
    /// With this template.
    pub template: Option<&'a str>,
    /// Asked for by this actor.
    pub actor: Option<&'a str>,
    /// With this in its name.
    pub name_part: Option<&'a str>,
    /// Older than this one.
    pub before: Option<SessionId>,
    /// At most so many (1,000).
    pub limit: i64,
}

/// Sessions not deleted, newest first.
pub async fn progress(
    conn: &mut Connection,
    filter: &ProgressFilter<'_>,
) -> Result<Vec<SessionProgress>, DbError> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.label()).collect();
    let rows = sqlx::query!(
        r#"select session_id as "id!", session as "name!", tenant as "tenant!", operation as "operation!",
                  template as "template!", state as "state!", outcome, reason, members as "members!",
                  percent::float8 as "percent!", failed::int8 as "failed!", worker_alive as "has_worker!",
                  actor as "actor!", created_at as "created_at!", extract(epoch from elapsed)::float8 as elapsed_s
             from session_progress
            where deleted_at is null and ($1::text is null or tenant = $1)
              and (cardinality($2::text[]) = 0 or state = any ($2)) and ($3::text is null or outcome = $3)
              and ($4::text is null or operation = $4) and ($5::text is null or template = $5)
              and ($6::text is null or actor = $6) and ($7::text is null or position($7 in session) > 0)
              and ($8::int8 is null or session_id < $8)
            order by session_id desc limit $9"#,
        filter.tenant,
        &states as &[&str],
        filter.outcome.map(Outcome::label),
        filter.operation,
        filter.template,
        filter.actor,
        filter.name_part,
        filter.before.map(|id| id.0),
        filter.limit.clamp(0, PAGE_MAX),
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list how far sessions are"))?;
    let lines = rows.into_iter().map(|row| {
        Ok(SessionProgress {
            id: SessionId(row.id),
            name: row.name,
            tenant: row.tenant,
            operation: row.operation,
            template: row.template,
            state: label::read("the session state", &row.state)?,
            outcome: row.outcome.map(|label| label::read("the outcome", &label)).transpose()?,
            reason: row.reason,
            members: row.members,
            percent: row.percent,
            failed: row.failed,
            has_worker: row.has_worker,
            actor: row.actor,
            created_at: row.created_at,
            elapsed_s: row.elapsed_s,
        })
    });
    lines.collect()
}

/// Another text whenever anything about a session has changed. Costs three index look-ups.
pub async fn mark(conn: &mut Connection, id: &SessionId) -> Result<String, DbError> {
    let row = sqlx::query!(
        r#"select s.state, (select coalesce(max(seq), 0) from event where session_id = $1) as "seq!",
                  (select count(*) from command where session_id = $1 and obeyed_at is null) as "commands!"
             from session s where s.session_id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("look whether a session has moved"))?
    .ok_or_else(|| DbError::NotFound { what: format!("Session number {id}") })?;
    Ok(format!("{} {} {}", row.state, row.seq, row.commands))
}

/// Another text whenever anything about the list of sessions has changed.
pub async fn mark_all(conn: &mut Connection) -> Result<String, DbError> {
    let row = sqlx::query!(
        r#"select (select coalesce(max(session_id), 0) from session) as "newest!", count(*) as "live!",
                  coalesce(sum(l.seq), 0)::int8 as "seqs!", coalesce(string_agg(distinct s.state, ','), '') as "states!"
             from session s
             cross join lateral (select max(seq) as seq from event e where e.session_id = s.session_id) l
            where s.state <> 'ended'"#
    )
    .fetch_one(conn)
    .await
    .map_err(doing("look whether sessions have moved"))?;
    Ok(format!("{} {} {} {}", row.newest, row.live, row.seqs, row.states))
}
