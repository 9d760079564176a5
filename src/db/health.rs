//! What of a Postgres matters to us beyond its schema: for `bosun doctor`.

use crate::model::Timestamp;

use super::{Connection, DbError, error::doing};

/// A Postgres, as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// As a number: 140005 is 14.5.
    pub version: i32,
    /// In words.
    pub version_text: String,
    /// Its clock.
    pub now: Timestamp,
    /// `synchronous_standby_names`: who has to have a commit before it is confirmed.
    pub standbys: String,
    /// `synchronous_commit`
    pub commit: String,
    /// `fsync`
    pub is_flushed: bool,
    /// Whether it only reads: a standby, or one being upgraded.
    pub is_read_only: bool,
    /// Whether the role for people and dashboards is there.
    pub has_reader: bool,
    /// Connections that it takes at most.
    pub connections_max: i32,
    /// Connections that there are now.
    pub connections: i64,
}

/// Asks it. Needs no schema of ours.
pub async fn get(conn: &mut Connection) -> Result<Health, DbError> {
    sqlx::query_as!(
        Health,
        r#"select current_setting('server_version_num')::int4 as "version!", current_setting('server_version') as "version_text!",
                  clock_timestamp() as "now!", current_setting('synchronous_standby_names') as "standbys!",
                  current_setting('synchronous_commit') as "commit!", current_setting('fsync')::bool as "is_flushed!",
                  (pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool) as "is_read_only!",
                  exists (select from pg_roles where rolname = 'bosun_reader') as "has_reader!",
                  current_setting('max_connections')::int4 as "connections_max!",
                  (select count(*) from pg_stat_activity where backend_type = 'client backend') as "connections!""#
    )
    .fetch_one(conn)
    .await
    .map_err(doing("look at how the database is set up"))
}
