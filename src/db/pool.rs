//! Connections.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{DbError, error::doing};

/// Many connections.
pub type Pool = sqlx::PgPool;
/// One connection.
pub type Connection = sqlx::PgConnection;
/// One connection, lent by a pool. Use it as `&mut Connection`.
pub type PooledConnection = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// No statement of ours takes longer: admission of 100,000 components was measured at 1 s.
const STATEMENT_TIMEOUT: &str = "60s";
/// How long a connection may take to be made, or to come free.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects: at most `max_connections` at a time, one at once, so that a wrong URL is known now.
pub async fn connect(url: &str, max_connections: u32, application_name: &str) -> Result<Pool, DbError> {
    let options = options(url, application_name)?;
    // A pool only says that it waited in vain, not for what.
    let _ = sqlx::Connection::close(connect_once(&options).await?).await;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options))
}

/// Plans that do not depend on statistics, which tell of an empty table when the first session of a machine begins: no
/// scans where there is an index, and one plan whatever the arrays.
const STEADY_PLANS: [(&str, &str); 2] =
    [("enable_seqscan", "off"), ("plan_cache_mode", "force_generic_plan")];

/// A single connection with steady plans: a worker's writer.
pub async fn open(url: &str, application_name: &str) -> Result<Connection, DbError> {
    connect_once(&options(url, application_name)?.options(STEADY_PLANS)).await
}

/// Every row by its key: with plans made on an empty table, a few of many rows are otherwise joined with a walk through
/// the whole of an index.
const KEYED_PLANS: [(&str, &str); 2] = [("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

/// A single connection with steady plans to where a pool's go: for statements that are made again and again, each about a
/// few components that it names.
pub async fn open_beside(pool: &Pool) -> Result<Connection, DbError> {
    let options = PgConnectOptions::clone(&pool.connect_options());
    connect_once(&options.options(STEADY_PLANS).options(KEYED_PLANS)).await
}

async fn connect_once(options: &PgConnectOptions) -> Result<Connection, DbError> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
    let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    connected
        .unwrap_or_else(|_| Err(late.into()))
        .map_err(|cause| DbError::NoConnection { place: place(options), cause })
}

/// Where it is, without who asks.
fn place(options: &PgConnectOptions) -> String {
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    let database = options.get_database().unwrap_or_default();
    format!("{host}:{}/{database}", options.get_port())
}

/// A connection of the pool.
pub async fn acquire(pool: &Pool) -> Result<PooledConnection, DbError> {
    pool.acquire().await.map_err(unreachable)
}

/// Whether the database answers, within a second.
pub async fn is_alive(pool: &Pool) -> bool {
    let asked = async { sqlx::query("select 1").execute(pool).await.is_ok() };
    tokio::time::timeout(Duration::from_secs(1), asked).await.unwrap_or(false)
}

/// Brings the schema up to date. Harmless where it is.
pub async fn migrate(pool: &Pool) -> Result<(), DbError> {
    let operation = "migrate the schema";
    sqlx::migrate!().run(pool).await.map_err(|error| doing(operation)(error.into()))
}

/// Whether the schema is as new as this version of bosun needs it; a newer one will do, so that old and new may run
/// side by side.
pub async fn check_schema(pool: &Pool) -> Result<(), DbError> {
    check_schema_of(&mut *acquire(pool).await?).await
}

/// The same, by a connection.
pub async fn check_schema_of(conn: &mut Connection) -> Result<(), DbError> {
    let needed = sqlx::migrate!().iter().map(|migration| migration.version).max().unwrap_or_default();
    let found =
        sqlx::query_scalar::<_, Option<i64>>("select max(version) from _sqlx_migrations where success")
            .fetch_one(conn)
            .await;
    let found = match found {
        Ok(version) => version,
        Err(error)
            if error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42P01")) =>
        {
            None
        }
        Err(error) => return Err(doing("look at the schema's version")(error)),
    };
    match found {
        Some(version) if version >= needed => Ok(()),
        Some(version) => Err(DbError::Conflict {
            what: format!(
                "the database's schema is version {version}, and {needed} is needed: run 'bosun migrate'"
            ),
        }),
        None => {
            Err(DbError::Conflict { what: "the database has no schema yet: run 'bosun migrate'".to_owned() })
        }
    }
}

pub(super) fn options(url: &str, application_name: &str) -> Result<PgConnectOptions, DbError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(DbError::InvalidUrl("this is no URL of a Postgres database".to_owned()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| DbError::InvalidUrl(error.to_string()))?;
    Ok(options.application_name(application_name).disable_statement_logging().options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", STATEMENT_TIMEOUT),
        // Compiling a plan takes longer than any of our statements.
        ("jit", "off"),
        // What we touch is in memory.
        ("random_page_cost", "1.1"),
    ]))
}

fn unreachable(cause: sqlx::Error) -> DbError {
    DbError::Unreachable { operation: "waiting for a connection", cause }
}
