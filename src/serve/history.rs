//! What is kept of the past: sessions that are over are timed, and what nobody asks for any more goes.

use std::time::{Duration, Instant};

use crate::db;

/// How often it is looked for sessions that are over.
const TIMING_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked for what may go.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// How long it is known what was shown of a plan.
const PLANS_SHOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks after it for ever.
pub async fn keep(pool: db::Pool) {
    let mut next_expiry = Instant::now();
    loop {
        if let Err(error) = time(&pool).await {
            tracing::warn!("sessions that are over are not timed: {error}");
        }
        if Instant::now() >= next_expiry {
            next_expiry = Instant::now() + EXPIRY_INTERVAL;
            if let Err(error) = expire(&pool).await {
                tracing::warn!("nothing of the past can go: {error}");
            }
        }
        tokio::time::sleep(TIMING_INTERVAL).await;
    }
}

async fn time(pool: &db::Pool) -> Result<(), db::DbError> {
    let mut conn = db::acquire(pool).await?;
    while db::verb_time::time_one(&mut conn).await?.is_some() {}
    Ok(())
}

async fn expire(pool: &db::Pool) -> Result<(), db::DbError> {
    let mut conn = db::acquire(pool).await?;
    db::plan_shown::expire(&mut conn, PLANS_SHOWN_FOR).await
}
