//! Table `error_text`: each distinct reason of a session once.

use crate::model::{checkpoint::ErrorText, session::SessionId};

use super::{Connection, DbError, error::doing, label};

/// All reasons of a session, by number.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<ErrorText>, DbError> {
    let rows = sqlx::query!(
        "select error_no, code, text from error_text where session_id = $1 order by error_no",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a session's reasons"))?;
    let texts = rows.into_iter().map(|row| {
        Ok(ErrorText { id: row.error_no, code: label::read("the reason", &row.code)?, text: row.text })
    });
    texts.collect()
}
