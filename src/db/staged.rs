//! `component.staged_state`: what `applystaged` would make of components.

use super::{Connection, DbError, error::doing};

/// How many components a session has staged and nobody has applied.
pub async fn count(conn: &mut Connection, session: &str) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select count(*) as "n!" from component where staged_state->>'session' = $1 and retired_at is null"#,
        session
    )
    .fetch_one(conn)
    .await
    .map_err(doing("count staged components"))
}
