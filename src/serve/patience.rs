//! In a cluster everything starts at once: the database may come later than we.

use std::time::{Duration, Instant};

use crate::{config::PatienceArgs, db::DbError};

/// Pause between two tries.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// Tries again while the database is away or has no schema, as long as somebody is willing to wait.
///
/// # Errors
/// The last one.
pub async fn patiently<T>(
    patience: PatienceArgs,
    mut attempt: impl AsyncFnMut() -> Result<T, DbError>,
) -> Result<T, DbError> {
    let until = Instant::now() + patience.database_patience;
    let mut said = String::new();
    loop {
        match attempt().await {
            Err(error)
                if Instant::now() + DATABASE_RETRY < until && !matches!(error, DbError::InvalidUrl(_)) =>
            {
                let words = error.to_string();
                if said != words {
                    tracing::warn!("waiting for the database: {words}");
                    said = words;
                }
                tokio::time::sleep(DATABASE_RETRY).await;
            }
            ended => return ended,
        }
    }
}
