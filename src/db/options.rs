//! Table `options`: BOS's run-time options and bosun's own, one row.

use serde::de::DeserializeOwned;

use crate::model::{options::Options, site_options::SiteOptions};

use super::{Connection, DbError, error::doing, label};

/// BOS's options as they stand; what was never set has BOS's default.
pub async fn get(conn: &mut Connection) -> Result<Options, DbError> {
    read(conn).await
}

/// bosun's own as they stand.
pub async fn get_of_site(conn: &mut Connection) -> Result<SiteOptions, DbError> {
    read(conn).await
}

/// Sets some of BOS's (validated by the caller); they as they stand then.
pub async fn patch(conn: &mut Connection, changes: &serde_json::Value) -> Result<Options, DbError> {
    change(conn, changes).await
}

/// Sets some of bosun's own (validated by the caller); they as they stand then.
pub async fn patch_of_site(
    conn: &mut Connection,
    changes: &serde_json::Value,
) -> Result<SiteOptions, DbError> {
    change(conn, changes).await
}

async fn read<T: DeserializeOwned>(conn: &mut Connection) -> Result<T, DbError> {
    let data = sqlx::query_scalar!("select data from options")
        .fetch_one(conn)
        .await
        .map_err(doing("read the options"))?;
    label::read_json("the options", data)
}

async fn change<T: DeserializeOwned>(
    conn: &mut Connection,
    changes: &serde_json::Value,
) -> Result<T, DbError> {
    let data = sqlx::query_scalar!(
        "update options set data = data || $1, updated_at = clock_timestamp() returning data",
        changes
    )
    .fetch_one(conn)
    .await
    .map_err(doing("set options"))?;
    label::read_json("the options", data)
}
