//! Sessions that wait for an operator, or in which components take longer than they should.

use super::super::{Connection, DbError, error::doing};
use crate::model::Timestamp;

/// A session that somebody should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct StuckSession {
    /// Its name.
    pub session: String,
    /// Its operation.
    pub operation: String,
    /// Where it is, as `SessionState::label`.
    pub state: String,
    /// Why it waits.
    pub reason: Option<String>,
    /// When something happened last.
    pub last_event_at: Option<Timestamp>,
    /// How many components are in a step longer than 99 of 100 were before.
    pub overdue: i64,
    /// In which step.
    pub overdue_step: Option<String>,
    /// What to look at next.
    pub next_command: String,
}

/// Who they are, of a tenant or of everybody; the longest quiet first.
pub async fn stuck(conn: &mut Connection, tenant: Option<&str>) -> Result<Vec<StuckSession>, DbError> {
    sqlx::query_as!(
        StuckSession,
        r#"select session as "session!", operation as "operation!", state as "state!", reason, last_event_at,
                  coalesce(overdue_components, 0) as "overdue!", overdue_step, next_command as "next_command!"
             from stuck_sessions where $1::text is null or tenant = $1
            order by last_event_at limit 1000"#,
        tenant
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look for sessions that are stuck"))
}

/// Writes the news of sessions in which components take too long, once per session; how many there were.
pub async fn note_overdue(conn: &mut Connection) -> Result<u64, DbError> {
    let noted = sqlx::query!(
        "insert into notification (session_id, kind, reason)
         select s.session_id, 'overdue',
                s.overdue_components || ' components are in ' || s.overdue_step || ' longer than 99 of 100 were before'
           from stuck_sessions s
          where s.overdue_components > 0 and s.state in ('running', 'cancelling')
            and not exists (select from notification n where n.session_id = s.session_id and n.kind = 'overdue')
         on conflict do nothing"
    )
    .execute(conn)
    .await
    .map_err(doing("note what takes too long"))?;
    Ok(noted.rows_affected())
}
