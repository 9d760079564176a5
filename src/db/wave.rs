//! View `wave_progress`: who of a session's waves waits before the gate, and who is inside.

use crate::model::session::SessionId;

use super::{Connection, DbError, error::doing};

/// A wave of a session, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveRow {
    /// Counted from 1.
    pub wave: i32,
    /// Everybody.
    pub components: i64,
    /// Not past the gate, and not left out.
    pub waiting: i64,
    /// Past it, and not through.
    pub inside: i64,
    /// Failed.
    pub failed: i64,
}

/// The waves of a session, in order.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<WaveRow>, DbError> {
    sqlx::query_as!(
        WaveRow,
        r#"select wave as "wave!", components as "components!", waiting as "waiting!", inside as "inside!",
                  failed as "failed!" from wave_progress where session_id = $1 order by wave"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read the waves of a session"))
}
