//! Table `service_life`: `serve`'s sign of life (law 6).

use crate::model::Timestamp;

use super::{Connection, DbError, error::doing};

/// The sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The last one; `None`: this database was never in use.
    pub at: Option<Timestamp>,
    /// Since when nothing is admitted until an operator resumes all.
    pub parked_at: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

/// Reads it. At `serve`'s start: before the first [`touch`].
pub async fn get(conn: &mut Connection) -> Result<Life, DbError> {
    sqlx::query_as!(Life, r#"select at, parked_at, clock_timestamp() as "now!" from service_life"#)
        .fetch_one(conn)
        .await
        .map_err(doing("read the sign of life"))
}

/// Gives one.
pub async fn touch(conn: &mut Connection) -> Result<(), DbError> {
    sqlx::query!("update service_life set at = clock_timestamp()")
        .execute(conn)
        .await
        .map_err(doing("give a sign of life"))?;
    Ok(())
}

/// Nothing is admitted from now on, until [`super::session::resume_all`].
pub async fn park(conn: &mut Connection) -> Result<(), DbError> {
    sqlx::query!("update service_life set parked_at = coalesce(parked_at, clock_timestamp())")
        .execute(conn)
        .await
        .map_err(doing("stop admissions"))?;
    Ok(())
}
