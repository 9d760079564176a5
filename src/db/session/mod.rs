//! Table `session`.

mod expire;
mod forget;
mod park;
mod progress;
mod stuck;
mod work;

pub use expire::expire;
pub use forget::forget_one;
pub use park::{park, park_all_running, resume_all};
pub use progress::{ProgressFilter, SessionProgress, mark, mark_all, progress};
pub use stuck::{StuckSession, note_overdue, stuck};
pub use work::{Needed, need_worker, say_why_it_waits, waiting};

use crate::model::{
    Timestamp,
    session::{Name, Outcome, SessionId, SessionState},
};

use super::{Connection, DbError, error::doing, label};

/// Which API a session came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// BOS's.
    V2,
    /// Our own.
    Bosun,
}

impl Api {
    fn label(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::Bosun => "bosun",
        }
    }
}

/// A request for a session.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// Unique per tenant among those not deleted.
    pub name: Name,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// The stem of a workflow.
    pub operation: String,
    /// The template's name.
    pub template_name: String,
    /// Through which API.
    pub api: Api,
    /// BOS's `limit`, as it was given.
    pub limit: String,
    /// Whether components that HSM has disabled take part.
    pub include_disabled: bool,
    /// Whether it only stages.
    pub stage: bool,
    /// What else was asked for, as asked.
    pub request: serde_json::Value,
    /// Who asks.
    pub actor: String,
}

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Its request.
    pub new: NewSession,
    /// Where it is.
    pub state: SessionState,
    /// Why it is halted, stuck or paused.
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it was rejected.
    pub error: Option<String>,
    /// Everybody its request named, those skipped at admission included.
    pub members: i32,
    /// Of those, left out at admission.
    pub skipped_at_admission: i32,
    /// As counted at its end.
    pub succeeded: i32,
    /// See `succeeded`.
    pub failed: i32,
    /// See `succeeded`.
    pub skipped: i32,
    /// The command that retries what failed.
    pub retry_command: Option<String>,
    /// The hash of its plan.
    pub plan_hash: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was admitted.
    pub admitted_at: Option<Timestamp>,
    /// When its first worker began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

/// Keeps a request that is to be admitted later. [`DbError::Conflict`]: its name is taken.
pub async fn insert_waiting(conn: &mut Connection, new: &NewSession) -> Result<SessionId, DbError> {
    let id = sqlx::query_scalar!(
        "insert into session (name, tenant, operation, template_name, api, limit_text, include_disabled, stage, request,
                              actor, state)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'waiting')
         returning session_id",
        new.name.as_str(),
        new.tenant,
        new.operation,
        new.template_name,
        new.api.label(),
        new.limit,
        new.include_disabled,
        new.stage,
        new.request,
        new.actor,
    )
    .fetch_one(conn)
    .await
    .map_err(doing("keep a session"))
    .map_err(|error| error.or_conflict("session_name", || taken(&new.name, &new.tenant)))?;
    Ok(SessionId(id))
}

fn taken(name: &Name, tenant: &str) -> String {
    match tenant {
        "" => format!("Session '{name}' already exists"),
        tenant => format!("Session '{name}' already exists for tenant '{tenant}'"),
    }
}

/// Which sessions are wanted; all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter<'a> {
    /// Of this tenant; `None`: of everybody.
    pub tenant: Option<&'a str>,
    /// Of this name.
    pub name: Option<&'a str>,
    /// In one of these states; empty: in any.
    pub states: &'a [SessionState],
    /// Created at this moment or later.
    pub created_since: Option<Timestamp>,
    /// Created at this moment or earlier.
    pub created_until: Option<Timestamp>,
    /// Those deleted from the API, too.
    pub deleted: bool,
    /// At most so many; `None`: all.
    pub limit: Option<i64>,
}

/// Sessions, newest first.
pub async fn list(conn: &mut Connection, filter: &SessionFilter<'_>) -> Result<Vec<Session>, DbError> {
    select(conn, None, filter).await
}

/// A session by name, among those not deleted.
pub async fn get(conn: &mut Connection, tenant: &str, name: &str) -> Result<Session, DbError> {
    let filter = SessionFilter { tenant: Some(tenant), name: Some(name), ..Default::default() };
    let found = select(conn, None, &filter).await?.pop();
    found.ok_or_else(|| DbError::NotFound { what: format!("Session '{name}'") })
}

/// A session by number, even if deleted.
pub async fn get_by_id(conn: &mut Connection, id: &SessionId) -> Result<Session, DbError> {
    let filter = SessionFilter { deleted: true, ..Default::default() };
    let found = select(conn, Some(*id), &filter).await?.pop();
    found.ok_or_else(|| DbError::NotFound { what: format!("Session number {id}") })
}

/// The names of sessions, also of deleted ones.
pub async fn names(
    conn: &mut Connection,
    ids: &[SessionId],
) -> Result<std::collections::BTreeMap<SessionId, String>, DbError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!("select session_id, name from session where session_id = any ($1)", &ids)
        .fetch_all(conn)
        .await
        .map_err(doing("name sessions"))?;
    Ok(rows.into_iter().map(|row| (SessionId(row.session_id), row.name)).collect())
}

async fn select(
    conn: &mut Connection,
    id: Option<SessionId>,
    filter: &SessionFilter<'_>,
) -> Result<Vec<Session>, DbError> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.label()).collect();
    let rows = sqlx::query!(
        r#"select session_id, name, tenant, operation, template_name, api, limit_text, include_disabled, stage, request,
                  actor, state, reason, outcome, error, members, skipped_at_admission, succeeded, failed, skipped,
                  retry_command, plan_hash, created_at, admitted_at, started_at, ended_at, clock_timestamp() as "now!"
             from session
            where ($1::int8 is null or session_id = $1) and ($2::text is null or tenant = $2)
              and ($3::text is null or name = $3) and (cardinality($4::text[]) = 0 or state = any ($4))
              and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at <= $6)
              and ($7 or deleted_at is null)
            order by session_id desc limit $8"#,
        id.map(|id| id.0),
        filter.tenant,
        filter.name,
        &states as &[&str],
        filter.created_since,
        filter.created_until,
        filter.deleted,
        filter.limit,
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list sessions"))?;
    let sessions = rows.into_iter().map(|row| {
        let unknown = |_| DbError::Unknown { what: "the session name", value: row.name.clone() };
        Ok(Session {
            id: SessionId(row.session_id),
            new: NewSession {
                name: row.name.parse().map_err(unknown)?,
                tenant: row.tenant,
                operation: row.operation,
                template_name: row.template_name,
                api: label::read("the API", &row.api)?,
                limit: row.limit_text,
                include_disabled: row.include_disabled,
                stage: row.stage,
                request: row.request,
                actor: row.actor,
            },
            state: label::read("the session state", &row.state)?,
            reason: row.reason,
            outcome: row.outcome.map(|label| label::read("the outcome", &label)).transpose()?,
            error: row.error,
            members: row.members,
            skipped_at_admission: row.skipped_at_admission,
            succeeded: row.succeeded,
            failed: row.failed,
            skipped: row.skipped,
            retry_command: row.retry_command,
            plan_hash: row.plan_hash,
            created_at: row.created_at,
            admitted_at: row.admitted_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            now: row.now,
        })
    });
    sessions.collect()
}

/// Ends a session that was never admitted: refused ([`Outcome::Rejected`]), cancelled, or staged only. Whether it was
/// still waiting.
pub async fn end_waiting(
    conn: &mut Connection,
    id: &SessionId,
    outcome: Outcome,
    error: Option<&str>,
) -> Result<bool, DbError> {
    let ended = sqlx::query!(
        "update session
            set state = 'ended', outcome = $2, error = $3, started_at = coalesce(started_at, clock_timestamp()),
                ended_at = clock_timestamp()
          where session_id = $1 and state = 'waiting'",
        id.0,
        outcome.label(),
        error
    )
    .execute(conn)
    .await
    .map_err(doing("end a waiting session"))?;
    Ok(ended.rows_affected() > 0)
}

/// Refuses a waiting session. Whether it was still waiting.
pub async fn reject(conn: &mut Connection, id: &SessionId, error: &str) -> Result<bool, DbError> {
    end_waiting(conn, id, Outcome::Rejected, Some(error)).await
}

/// Hides sessions from the API; what they are doing goes on, and their history stays. How many there were.
pub async fn delete(conn: &mut Connection, ids: &[SessionId]) -> Result<u64, DbError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let deleted = sqlx::query!(
        "update session set deleted_at = clock_timestamp() where session_id = any ($1) and deleted_at is null",
        &ids
    )
    .execute(conn)
    .await
    .map_err(doing("delete sessions"))?;
    Ok(deleted.rows_affected())
}

/// What a session's components are doing now: those that it was the last to claim. Once another session takes some of
/// them they are no longer counted, as in BOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub components: i64,
    /// Going off.
    pub powering_off: i64,
    /// Going up.
    pub powering_on: i64,
    /// Being configured.
    pub configuring: i64,
    /// Held, and nothing is being done with them.
    pub resting: i64,
    /// Given back, through.
    pub succeeded: i64,
    /// Given back, failed.
    pub failed: i64,
    /// Given back, left out.
    pub skipped: i64,
}

/// Counts a session's components by what is being done with them.
pub async fn counts(conn: &mut Connection, id: &SessionId) -> Result<Counts, DbError> {
    sqlx::query_as!(
        Counts,
        r#"select count(*) as "components!",
                  count(*) filter (where phase = 'powering_off') as "powering_off!",
                  count(*) filter (where phase = 'powering_on') as "powering_on!",
                  count(*) filter (where phase = 'configuring') as "configuring!",
                  count(*) filter (where phase = '' and claimed_by is not null) as "resting!",
                  count(*) filter (where claimed_by is null and error_no is null) as "succeeded!",
                  count(*) filter (where claimed_by is null and error_no is not null and last_action_failed) as "failed!",
                  count(*) filter (where claimed_by is null and error_no is not null and not last_action_failed)
                    as "skipped!"
             from component_progress where session_id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await
    .map_err(doing("count a session's components"))
}
