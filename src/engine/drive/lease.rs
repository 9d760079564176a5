//! The lease of a worker's session: taken before anything else, and what is done when it is gone.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    super::{BUDGET_SPENT, EngineError, EngineSettings, Exit},
    STOP_PATIENCE,
};
use crate::{
    db::{
        self, Connection, DbError,
        lease::{Lease, Taken},
    },
    model::session::SessionId,
};

/// Pause between two tries for a lease that somebody has.
const LEASE_PAUSE: Duration = Duration::from_millis(500);

/// Whether somebody else has the lease by now: then no worker is missing. A worker that cannot find out is missed.
pub(super) async fn was_taken(settings: &EngineSettings, lease: &Lease) -> bool {
    let look = epoch(settings, lease.session());
    matches!(tokio::time::timeout(STOP_PATIENCE, look).await, Ok(Ok(epoch)) if epoch > lease.epoch())
}

async fn epoch(settings: &EngineSettings, session: SessionId) -> Result<i64, DbError> {
    let mut connection = db::open(&settings.database_url, "bosun worker").await?;
    let lease = db::lease::get(&mut connection, &session).await?;
    Ok(lease.map_or(0, |lease| lease.epoch))
}

pub(super) async fn take_lease(
    settings: &EngineSettings,
    connection: &mut Connection,
    session: SessionId,
    stop: &CancellationToken,
) -> Result<Option<(Lease, Instant)>, EngineError> {
    loop {
        let asked = Instant::now();
        match db::lease::take(connection, &session, &settings.worker, settings.lease_time).await? {
            Taken::Lease(lease) => return Ok(Some((lease, asked))),
            Taken::NotNeeded(state) => {
                tracing::info!(%session, state = state.label(), "the session needs no worker");
                return Ok(None);
            }
            Taken::BudgetSpent => {
                db::session::park(connection, &session, BUDGET_SPENT).await?;
                return Ok(None);
            }
            Taken::HeldUntil(_) => {
                tokio::select! {
                    () = stop.cancelled() => return Ok(None),
                    () = tokio::time::sleep(LEASE_PAUSE) => {}
                }
            }
        }
    }
}

/// Automation stops here; a person looks.
pub(super) async fn park(
    settings: &EngineSettings,
    session: SessionId,
    lease: &Lease,
    reason: &str,
) -> Result<Exit, EngineError> {
    let mut connection = db::open(&settings.database_url, "bosun worker").await?;
    db::lease::release(&mut connection, lease).await?;
    db::session::park(&mut connection, &session, reason).await?;
    tracing::error!(%session, reason, "the session is stuck");
    Ok(Exit::Done)
}
