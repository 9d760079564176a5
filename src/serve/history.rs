//! What is kept of the past: sessions that are over are timed, and what nobody asks for any more goes.

use std::time::{Duration, Instant};

use crate::db;

/// How often it is looked for sessions that are over.
const TIMING_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked for what may go.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// How long it is known what was shown of a plan.
const PLANS_SHOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it is known what people were told.
const NEWS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most sessions that are forgotten at a time.
const FORGOTTEN_MAX: usize = 100;

/// Looks after it for ever.
pub async fn keep(pool: db::Pool) {
    let mut next_expiry = Instant::now();
    loop {
        if let Err(error) = settle(&pool).await {
            tracing::warn!("sessions that are over are not settled: {error}");
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

async fn settle(pool: &db::Pool) -> Result<(), db::DbError> {
    loop {
        let mut conn = db::acquire(pool).await?;
        let options = db::options::get_of_site(&mut conn).await?;
        drop(conn);
        if db::quarantine::settle_one(pool, options.quarantine_after).await?.is_none() {
            return Ok(());
        }
    }
}

async fn expire(pool: &db::Pool) -> Result<(), db::DbError> {
    let mut conn = db::acquire(pool).await?;
    db::plan_shown::expire(&mut conn, PLANS_SHOWN_FOR).await?;
    db::notification::expire(&mut conn, NEWS_KEPT_FOR).await?;
    db::verb_time::expire(&mut conn).await?;
    db::session::note_overdue(&mut conn).await?;
    let Some(time_to_live) = db::options::get_of_site(&mut conn).await?.history_time_to_live() else {
        return Ok(());
    };
    for _ in 0..FORGOTTEN_MAX {
        if db::session::forget_one(&mut conn, time_to_live).await?.is_none() {
            break;
        }
    }
    Ok(())
}
