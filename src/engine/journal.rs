//! The journal: the writer's connection, kept up, and checkpoints that are written exactly once.

use std::time::Duration;

use crate::{
    db::{
        self, Connection, DbError,
        checkpoint::{self, Saved},
        lease::Lease,
    },
    model::{Timestamp, checkpoint::Checkpoint, metric::Sample},
};

use super::{EngineError, heartbeat::Fence};

/// Pause before the database is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The longest one statement may take before its connection is given up.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// How long what was counted may keep the writer from its work.
const REPORT_MAX: Duration = Duration::from_secs(1);

/// The writer's connection, and what it knows to be durable.
pub struct Journal {
    database_url: String,
    connection: Option<Connection>,
    lease: Lease,
    fence: Fence,
    /// The last event known to be durable.
    durable_seq: i64,
}

/// Why nothing more may be written.
#[derive(Debug)]
pub enum Halt {
    /// Another worker has the lease, or may have it.
    LeaseLost,
    /// The database has fewer events than it once confirmed (law 2).
    CommitsLost {
        /// What it confirmed.
        confirmed: i64,
        /// What it has.
        found: i64,
    },
    /// Something else.
    Error(EngineError),
}

impl<E: Into<EngineError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Journal {
    /// Goes on with an open connection after `durable_seq`.
    pub fn new(
        database_url: String,
        connection: Connection,
        lease: Lease,
        fence: Fence,
        durable_seq: i64,
    ) -> Self {
        Self { database_url, connection: Some(connection), lease, fence, durable_seq }
    }

    /// Writes a checkpoint; returns the database's time of it, if it was told. Sent again until it is known to be written, or the lease
    /// may be somebody else's.
    pub async fn save(&mut self, checkpoint: &Checkpoint) -> Result<Option<Timestamp>, Halt> {
        let last = checkpoint.seq + checkpoint.events.len() as i64 - 1;
        loop {
            let mut connection = self.connection().await?;
            let saved = tokio::time::timeout(
                STATEMENT_MAX,
                checkpoint::save(&mut connection, &self.lease, checkpoint),
            );
            match saved.await {
                Ok(Ok(saved @ (Saved::Written { .. } | Saved::AlreadyWritten))) => {
                    self.durable_seq = last;
                    self.connection = Some(connection);
                    return Ok(if let Saved::Written { at } = saved { Some(at) } else { None });
                }
                Ok(Ok(Saved::LeaseLost) | Err(DbError::LeaseLost { .. })) => return Err(Halt::LeaseLost),
                Ok(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "a checkpoint was not confirmed; it is sent again");
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => tracing::warn!("a checkpoint was not confirmed in time; it is sent again"),
            }
            self.pause().await?;
        }
    }

    /// Reads something; tried again on a new connection while the database is away.
    pub async fn read<T>(
        &mut self,
        query: impl AsyncFn(&mut Connection) -> Result<T, DbError>,
    ) -> Result<T, Halt> {
        loop {
            let mut connection = self.connection().await?;
            match tokio::time::timeout(STATEMENT_MAX, query(&mut connection)).await {
                Ok(Ok(value)) => {
                    self.connection = Some(connection);
                    return Ok(value);
                }
                Ok(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "the database did not answer; asking again");
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => tracing::warn!("the database did not answer in time; asking again"),
            }
            self.pause().await?;
        }
    }

    /// Keeps what was counted, if the database has a moment for it: nothing waits for that.
    pub async fn report(&mut self, samples: &[Sample]) {
        let Some(mut connection) = self.connection.take() else { return };
        match tokio::time::timeout(REPORT_MAX, db::metric::report(&mut connection, samples)).await {
            Ok(Ok(())) => self.connection = Some(connection),
            // A connection with half a statement in it is of no use; the next one is made when it is needed.
            Ok(Err(error)) => tracing::debug!(%error, "what was counted is lost"),
            Err(_) => tracing::debug!("what was counted is lost: the database did not answer in time"),
        }
    }

    /// Whose journal it is.
    pub fn session(&self) -> crate::model::session::SessionId {
        self.lease.session()
    }

    /// Under which lease it is written.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Gives the lease back.
    pub async fn release(&mut self) -> Result<(), Halt> {
        let lease = self.lease.clone();
        self.read(async |connection| db::lease::release(connection, &lease).await).await
    }

    async fn pause(&self) -> Result<(), Halt> {
        tokio::select! {
            biased;
            () = self.fence.passed() => Err(EngineError::Fenced.into()),
            () = tokio::time::sleep(RETRY_PAUSE) => Ok(()),
        }
    }

    /// The connection, made anew if it broke; a new one is asked whether the database still has what it confirmed.
    async fn connection(&mut self) -> Result<Connection, Halt> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        loop {
            match self.reconnect().await {
                Ok((connection, found)) if found >= self.durable_seq => return Ok(connection),
                Ok((_, found)) => return Err(Halt::CommitsLost { confirmed: self.durable_seq, found }),
                Err(error) if error.is_transient() => self.pause().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn reconnect(&self) -> Result<(Connection, i64), DbError> {
        let mut connection = db::open(&self.database_url, "bosun worker").await?;
        let found = db::event::last_seq(&mut connection, &self.lease.session()).await?;
        Ok((connection, found))
    }
}
