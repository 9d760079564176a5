//! Table `boot_token`: which artifacts a BSS token stands for. Workers write it with their checkpoints; here is what comes
//! from elsewhere.

use std::collections::{BTreeMap, HashMap};

use crate::model::artifacts::BootArtifactsId;

use super::{Connection, DbError, error::doing};

/// Keeps what tokens stand for, unless they stand for something already. What was kept before, of these tokens.
pub async fn insert(
    conn: &mut Connection,
    tokens: &BTreeMap<String, BootArtifactsId>,
) -> Result<HashMap<String, BootArtifactsId>, DbError> {
    let names: Vec<&str> = tokens.keys().map(String::as_str).collect();
    let artifacts: Vec<i32> = tokens.values().map(|id| id.0).collect();
    let added = sqlx::query_scalar!(
        "insert into boot_token (token, boot_artifacts_id)
         select * from unnest($1::text[], $2::int4[])
         on conflict (token) do nothing
         returning token",
        &names as &[&str],
        &artifacts
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(doing("keep boot tokens"))?;
    // A statement of its own: it sees what somebody else inserted in the meantime.
    let mut before = find(conn, &names).await?;
    for token in added {
        before.remove(&token);
    }
    Ok(before)
}

/// What these tokens stand for, as far as they stand for something.
pub async fn find(
    conn: &mut Connection,
    tokens: &[&str],
) -> Result<HashMap<String, BootArtifactsId>, DbError> {
    let rows = sqlx::query!(
        "select token, boot_artifacts_id from boot_token where token = any ($1)",
        tokens as &[&str]
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look up boot tokens"))?;
    Ok(rows.into_iter().map(|row| (row.token, BootArtifactsId(row.boot_artifacts_id))).collect())
}
