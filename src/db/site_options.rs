//! bosun's own run-time options: in the row of table `options`, beside BOS's.

use crate::model::site_options::SiteOptions;

use super::{Connection, DbError, error::doing, label};

/// The options as they stand.
pub async fn get(conn: &mut Connection) -> Result<SiteOptions, DbError> {
    let data = sqlx::query_scalar!("select data from options")
        .fetch_one(conn)
        .await
        .map_err(doing("read the options"))?;
    label::read_json("the options", data)
}

/// Sets some of them (validated by the caller); the options as they stand then.
pub async fn patch(conn: &mut Connection, changes: &serde_json::Value) -> Result<SiteOptions, DbError> {
    let data = sqlx::query_scalar!(
        "update options set data = data || $1, updated_at = clock_timestamp() returning data",
        changes
    )
    .fetch_one(conn)
    .await
    .map_err(doing("set options"))?;
    label::read_json("the options", data)
}
