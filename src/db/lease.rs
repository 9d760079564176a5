//! The lease: the right to write one session, and its number, the epoch.
//!
//! The epoch rises at every take-over and is never used again. A checkpoint holds a key-share lock on
//! `(session_id, epoch)`: a take-over, which changes that key, waits for it or makes it write nothing; a heartbeat, which
//! does not, passes. All times are Postgres'.

use std::time::Duration;

use crate::model::{Timestamp, session::SessionId, session::SessionState};

use super::{Connection, DbError, error::doing, label};

/// The right to write one session. Only [`take`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    session: SessionId,
    epoch: i64,
    takeover: Option<i64>,
    at: Timestamp,
    time_to_live: Duration,
}

impl Lease {
    /// Whose.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Its number.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The epoch of a worker that never gave its lease back.
    pub fn takeover(&self) -> Option<i64> {
        self.takeover
    }

    /// When it was taken, by the database's clock.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How long it lives without a heartbeat, from `at`.
    pub fn time_to_live(&self) -> Duration {
        self.time_to_live
    }
}

/// What came of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is yours.
    Lease(Lease),
    /// Somebody has it, at least until then.
    HeldUntil(Timestamp),
    /// The session needs no worker now.
    NotNeeded(SessionState),
    /// Too many workers died without a new result in between: park the session.
    BudgetSpent,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The database's clock.
    pub at: Timestamp,
    /// The lease lives until then.
    pub valid_until: Timestamp,
    /// Whether an operator asked for something.
    pub commands_waiting: bool,
}

/// A lease as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its number.
    pub epoch: i64,
    /// Who took it last and did not give it back.
    pub worker: Option<String>,
    /// The last sign of life.
    pub heartbeat_at: Option<Timestamp>,
    /// Until when nobody else may take it.
    pub valid_until: Option<Timestamp>,
    /// Whether that moment is still to come.
    pub alive: bool,
    /// Workers that died without a new result in between.
    pub takeovers: i32,
}

/// Takes the session's lease if it is free or has expired, the session needs a worker, and the crash budget is not
/// spent. The first one marks the session as started.
pub async fn take(
    conn: &mut Connection,
    session: &SessionId,
    worker: &str,
    time_to_live: Duration,
) -> Result<Taken, DbError> {
    let row = sqlx::query!(
        r#"with free as materialized (
             select l.epoch, l.worker
               from session_lease l join session s on s.session_id = l.session_id
              where l.session_id = $1
                and (l.worker is null or coalesce(l.valid_until, '-infinity') <= clock_timestamp())
                and l.takeovers < l.max_takeovers
                and (s.state in ('running', 'cancelling')
                     or s.state <> 'waiting'
                        and exists (select from command c where c.session_id = $1 and c.obeyed_at is null)
                     or s.state in ('paused', 'halted', 'stuck')
                        and exists (select from hand_over h where h.holder_id = $1 and h.done_at is null))
                for update of l),
           taken as (
             update session_lease l
                set epoch = l.epoch + 1, worker = $2, time_to_live = make_interval(secs => $3),
                    heartbeat_at = clock_timestamp(), valid_until = clock_timestamp() + make_interval(secs => $3),
                    takeovers = l.takeovers + (l.worker is not null)::int
               from free
              where l.session_id = $1 and l.epoch = free.epoch
             returning l.epoch, case when free.worker is not null then free.epoch end as previous, l.heartbeat_at),
           started as (
             update session set started_at = clock_timestamp()
              where session_id = $1 and started_at is null and exists (select from taken))
           select epoch as "epoch!", previous, heartbeat_at as "at!" from taken"#,
        session.0,
        worker,
        time_to_live.as_secs_f64(),
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("take the lease"))?;
    match row {
        Some(row) => Ok(Taken::Lease(Lease {
            session: *session,
            epoch: row.epoch,
            takeover: row.previous,
            at: row.at,
            time_to_live,
        })),
        None => why_not(conn, session).await,
    }
}

async fn why_not(conn: &mut Connection, session: &SessionId) -> Result<Taken, DbError> {
    let row = sqlx::query!(
        r#"select s.state, l.takeovers >= l.max_takeovers as "spent!",
                  case when l.worker is not null and l.valid_until > clock_timestamp() then l.valid_until end as held_until,
                  exists (select from command c where c.session_id = $1 and c.obeyed_at is null) as "commands!",
                  exists (select from hand_over h where h.holder_id = $1 and h.done_at is null) as "hand_overs!",
                  clock_timestamp() as "now!"
             from session s join session_lease l on l.session_id = s.session_id
            where s.session_id = $1"#,
        session.0
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("look at the lease"))?
    .ok_or_else(|| DbError::NotFound { what: format!("an admitted session number {session}") })?;
    let state: SessionState = label::read("session.state", &row.state)?;
    let needed = match state {
        SessionState::Running | SessionState::Cancelling => true,
        SessionState::Waiting => false,
        SessionState::Paused | SessionState::Halted | SessionState::Stuck => row.commands || row.hand_overs,
        SessionState::Ended => row.commands,
    };
    Ok(match row.held_until {
        Some(until) => Taken::HeldUntil(until),
        None if !needed => Taken::NotNeeded(state),
        None if row.spent => Taken::BudgetSpent,
        // It came free between the two statements: at once is soon enough.
        None => Taken::HeldUntil(row.now),
    })
}

/// Keeps the lease alive. `None`: it has expired or was taken; it is never revived.
pub async fn heartbeat(conn: &mut Connection, lease: &Lease) -> Result<Option<Beat>, DbError> {
    heartbeat_on(conn, lease).await
}

/// [`heartbeat`] on whatever runs statements: the connection that also listens.
pub(super) async fn heartbeat_on<'c, E>(executor: E, lease: &Lease) -> Result<Option<Beat>, DbError>
where
    E: sqlx::PgExecutor<'c>,
{
    let row = sqlx::query!(
        r#"update session_lease
              set heartbeat_at = clock_timestamp(), valid_until = clock_timestamp() + time_to_live
            where session_id = $1 and epoch = $2 and worker is not null and valid_until > clock_timestamp()
           returning heartbeat_at as "at!", valid_until as "valid_until!",
             exists (select from command c where c.session_id = $1 and c.obeyed_at is null) as "commands!""#,
        lease.session.0,
        lease.epoch,
    )
    .fetch_optional(executor)
    .await
    .map_err(doing("keep the lease alive"))?;
    Ok(row.map(|row| Beat { at: row.at, valid_until: row.valid_until, commands_waiting: row.commands }))
}

/// Gives the lease back: a planned stop, which costs nothing. Harmless when it is lost.
pub async fn release(conn: &mut Connection, lease: &Lease) -> Result<(), DbError> {
    sqlx::query!(
        "with released as (
           update session_lease set worker = null, valid_until = null
            where session_id = $1 and epoch = $2
           returning 1)
         select pg_notify('bosun_launcher', '') from released",
        lease.session.0,
        lease.epoch
    )
    .fetch_all(conn)
    .await
    .map_err(doing("give the lease back"))?;
    Ok(())
}

/// Expires exactly this epoch: its worker was *seen* to die. The next take counts against the crash budget.
pub async fn expire(conn: &mut Connection, session: &SessionId, epoch: i64) -> Result<(), DbError> {
    sqlx::query!(
        "update session_lease set valid_until = null where session_id = $1 and epoch = $2",
        session.0,
        epoch
    )
    .execute(conn)
    .await
    .map_err(doing("expire a lease"))?;
    Ok(())
}

/// [`expire`] for workers known by name only; a name is never used twice. Whose leases that ended.
pub async fn expire_workers(
    conn: &mut Connection,
    sessions: &[SessionId],
    workers: &[String],
) -> Result<Vec<SessionId>, DbError> {
    let sessions: Vec<i64> = sessions.iter().map(|session| session.0).collect();
    let expired = sqlx::query_scalar!(
        "update session_lease set valid_until = null
          where session_id = any ($1) and worker = any ($2) and valid_until is not null
         returning session_id",
        &sessions,
        workers
    )
    .fetch_all(conn)
    .await
    .map_err(doing("expire the leases of dead workers"))?;
    Ok(expired.into_iter().map(SessionId).collect())
}

/// A launch that was given up: its workers died too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLaunch {
    /// Whose.
    pub session: SessionId,
    /// Its number.
    pub launch: u32,
    /// How the names of its workers begin.
    pub workers: String,
    /// How many of them died.
    pub deaths: u32,
}

/// Counts the deaths of launches that were given up against the crash budget, each launch once: workers that die before
/// they have a lease would be started for ever. Where the last to have the lease was one of them, the next take-over
/// counts it.
pub async fn count_failed_launches(conn: &mut Connection, failed: &[FailedLaunch]) -> Result<u64, DbError> {
    let sessions: Vec<i64> = failed.iter().map(|failed| failed.session.0).collect();
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let launches: Vec<i32> = failed.iter().map(|failed| number(failed.launch)).collect();
    let workers: Vec<String> = failed.iter().map(|failed| failed.workers.clone()).collect();
    let deaths: Vec<i32> = failed.iter().map(|failed| number(failed.deaths)).collect();
    let counted = sqlx::query!(
        "update session_lease l
            set last_failed_launch = failed.launch,
                takeovers = l.takeovers + case when starts_with(l.worker, failed.workers) then 0 else failed.deaths end
           from unnest($1::int8[], $2::int4[], $3::text[], $4::int4[]) as failed(session_id, launch, workers, deaths)
          where l.session_id = failed.session_id and l.last_failed_launch < failed.launch",
        &sessions,
        &launches,
        &workers,
        &deaths
    )
    .execute(conn)
    .await
    .map_err(doing("count launches that were given up"))?;
    Ok(counted.rows_affected())
}

/// The lease as it is; none for a session that is not admitted.
pub async fn get(conn: &mut Connection, session: &SessionId) -> Result<Option<LeaseRow>, DbError> {
    sqlx::query_as!(
        LeaseRow,
        r#"select epoch, worker, heartbeat_at, valid_until, takeovers,
                  coalesce(worker is not null and valid_until > clock_timestamp(), false) as "alive!"
             from session_lease where session_id = $1"#,
        session.0
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("look at the lease"))
}
