//! Table `workflow_version`: the text of workflows, immutable, by hash.

use sha2::{Digest, Sha256};

use super::{Connection, DbError, error::doing};

/// The number of this version; a new one is added.
pub(super) async fn find_or_insert(
    conn: &mut Connection,
    operation: &str,
    yaml: &str,
) -> Result<i64, DbError> {
    let hash = Sha256::digest(yaml.as_bytes()).to_vec();
    sqlx::query!(
        "insert into workflow_version (operation, sha256, yaml) values ($1, $2, $3)
         on conflict (operation, sha256) do nothing",
        operation,
        &hash,
        yaml
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("keep a workflow"))?;
    sqlx::query_scalar!(
        "select workflow_version_id from workflow_version where operation = $1 and sha256 = $2",
        operation,
        &hash
    )
    .fetch_one(conn)
    .await
    .map_err(doing("look up a workflow"))
}
