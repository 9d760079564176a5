//! Table `session_record`: what BOS's clients wrote over a session, and the status they saved.

use std::collections::HashMap;

use serde_json::Value;

use crate::model::{Timestamp, session::SessionId};

use super::{Connection, DbError, error::doing};

/// What was written over a session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionRecord {
    /// `components`, if it was ever written.
    pub components: Option<String>,
    /// The fields of `status` that were written.
    pub status: Value,
    /// BOS's word for where the session was then.
    pub over_label: String,
    /// The saved status, and when it was saved.
    pub saved: Option<(Value, Timestamp)>,
}

/// What was written over these sessions; those over which nothing was written are left out.
pub async fn list(
    conn: &mut Connection,
    ids: &[SessionId],
) -> Result<HashMap<SessionId, SessionRecord>, DbError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "select session_id, components, status, over_label, saved_status, saved_at
           from session_record where session_id = any ($1)",
        &ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read what was written over sessions"))?;
    let records = rows.into_iter().map(|row| {
        let record = SessionRecord {
            components: row.components,
            status: row.status,
            over_label: row.over_label,
            saved: row.saved_status.zip(row.saved_at),
        };
        (SessionId(row.session_id), record)
    });
    Ok(records.collect())
}

/// Writes over a session: `status` field by field. `label` is where the session is now, in BOS's word: what was written
/// of that before it moved there is forgotten.
pub async fn patch(
    conn: &mut Connection,
    id: &SessionId,
    components: Option<&str>,
    status: &Value,
    label: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into session_record as r (session_id, components, status, over_label) values ($1, $2, $3, $4)
         on conflict (session_id) do update
            set components = coalesce(excluded.components, r.components), over_label = excluded.over_label,
                status = case when r.over_label = excluded.over_label then r.status
                              else r.status - 'status' - 'end_time' end || excluded.status",
        id.0,
        components,
        status,
        label
    )
    .execute(conn)
    .await
    .map_err(doing("write over a session"))?;
    Ok(())
}

/// Saves a session's status as it was shown.
pub async fn save_status(conn: &mut Connection, id: &SessionId, status: &Value) -> Result<(), DbError> {
    sqlx::query!(
        "insert into session_record as r (session_id, saved_status, saved_at) values ($1, $2, clock_timestamp())
         on conflict (session_id) do update set saved_status = excluded.saved_status, saved_at = excluded.saved_at",
        id.0,
        status
    )
    .execute(conn)
    .await
    .map_err(doing("save a session's status"))?;
    Ok(())
}
