//! Reports of nodes that booted. Thousands come within seconds of each other, so what arrives together is written
//! together: one statement for all, then one to show the records as they are. On a connection of their own, that plans
//! them once.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::ApiError;
use crate::db::{
    self,
    component::{Component, ComponentFilter, ReportOutcome},
};

/// How long a report waits for another one, and how long the first of a crowd waits at most: one that comes alone is
/// written at once, a thousand of a second in some thirty statements.
const GATHER_QUIET: Duration = Duration::from_millis(3);
const GATHER_TIME: Duration = Duration::from_millis(30);
/// Most reports of one statement.
const BATCH_MAX: usize = 1_000;
/// Most reports that wait; beyond, whoever reports waits.
const QUEUE_MAX: usize = 10_000;

/// Where reports are left.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::Sender<Pending>);

#[derive(Debug)]
struct Pending {
    xname: String,
    token: String,
    reply: oneshot::Sender<Result<Component, ApiError>>,
}

impl Reports {
    /// Starts the task that writes them; it ends when nobody can leave a report any more.
    pub fn start(pool: db::Pool) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_all(pool, receiver));
        Self(sender)
    }

    /// Leaves a report, and waits until it is durable.
    ///
    /// # Errors
    /// 404 for an unknown component, 409 where BOS refuses, 503 when the database does not answer.
    pub async fn keep(&self, xname: String, token: String) -> Result<Component, ApiError> {
        let (reply, kept) = oneshot::channel();
        let gone = || ApiError::Unavailable("reports are not taken any more; the server stops".to_owned());
        self.0.send(Pending { xname, token, reply }).await.map_err(|_| gone())?;
        kept.await.map_err(|_| gone())?
    }
}

async fn write_all(pool: db::Pool, mut queue: mpsc::Receiver<Pending>) {
    let mut writer = Writer { pool, connection: None, refused: 0 };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while let Some(first) = queue.recv().await {
        batch.push(first);
        let deadline = Instant::now() + GATHER_TIME;
        while batch.len() < BATCH_MAX {
            let left = BATCH_MAX - batch.len();
            let until = deadline.min(Instant::now() + GATHER_QUIET);
            match timeout_at(until, queue.recv_many(&mut batch, left)).await {
                Ok(more) if more > 0 => {}
                // Nobody else for now, or ever.
                Ok(_) | Err(_) => break,
            }
        }
        write(&mut writer, std::mem::take(&mut batch)).await;
    }
}

async fn write(writer: &mut Writer, batch: Vec<Pending>) {
    match writer.outcomes(&batch).await {
        Ok((outcomes, records)) => {
            if writer.refused > 0 {
                tracing::info!(
                    refused = writer.refused,
                    "reports are kept again; nodes repeat those that were not"
                );
                writer.refused = 0;
            }
            for pending in batch {
                let answer = match outcomes.get(&pending.xname) {
                    Some(ReportOutcome::Recorded) => records.get(&pending.xname).cloned(),
                    Some(ReportOutcome::Refused) => {
                        let _ = pending.reply.send(Err(refused(&pending.xname)));
                        continue;
                    }
                    Some(ReportOutcome::Unknown) | None => None,
                };
                let answer = answer.ok_or_else(|| unknown(&pending.xname));
                // Whoever reported may have gone.
                let _ = pending.reply.send(answer);
            }
        }
        Err(error) => {
            // Nodes repeat their reports every few seconds: the log tells of an outage's begin and end.
            if writer.refused == 0 {
                tracing::warn!("reports cannot be kept, and nodes are told to come again: {error}");
            }
            writer.refused += batch.len();
            for pending in batch {
                let _ = pending
                    .reply
                    .send(Err(ApiError::Unavailable(format!("the report was not kept: {error}"))));
            }
        }
    }
}

type Outcomes = (HashMap<String, ReportOutcome>, HashMap<String, Component>);

/// The connection that writes them, made when it is needed.
struct Writer {
    pool: db::Pool,
    connection: Option<db::Connection>,
    /// Reports that could not be kept since the last one that was.
    refused: usize,
}

impl Writer {
    /// A report may be kept twice without harm: one that was broken off is kept again, on a new connection.
    async fn outcomes(&mut self, batch: &[Pending]) -> Result<Outcomes, db::DbError> {
        if let Some(mut connection) = self.connection.take() {
            match outcomes(&mut connection, batch).await {
                Ok(outcomes) => {
                    self.connection = Some(connection);
                    return Ok(outcomes);
                }
                Err(error) if error.is_transient() => tracing::debug!("reports are kept again: {error}"),
                Err(error) => return Err(error),
            }
        }
        let mut connection = db::open_beside(&self.pool).await?;
        let outcomes = outcomes(&mut connection, batch).await?;
        self.connection = Some(connection);
        Ok(outcomes)
    }
}

async fn outcomes(conn: &mut db::Connection, batch: &[Pending]) -> Result<Outcomes, db::DbError> {
    let reports: Vec<(String, String)> =
        batch.iter().map(|pending| (pending.xname.clone(), pending.token.clone())).collect();
    let outcomes: HashMap<_, _> = db::component::report(conn, &reports, true).await?.into_iter().collect();
    let xnames: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == ReportOutcome::Recorded)
        .map(|(xname, _)| xname.clone())
        .collect();
    let filter = ComponentFilter { xnames: Some(&xnames), ..ComponentFilter::default() };
    let records = db::component::list(conn, &filter).await?;
    Ok((outcomes, records.into_iter().map(|record| (record.xname.clone(), record)).collect()))
}

/// BOS's 404.
pub fn unknown(xname: &str) -> ApiError {
    ApiError::NotFound(format!("Component '{xname}' does not exist"))
}

/// BOS's 409: the node is being switched off or configured, so what it runs is about to change.
pub fn refused(xname: &str) -> ApiError {
    ApiError::conflict(
        "Actual state can not be updated.",
        format!("BOS is acting on component '{xname}'; its actual state is only taken after a power-on"),
    )
}
