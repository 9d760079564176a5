//! Table `session`.

use crate::model::{
    Timestamp,
    session::{Name, Outcome, SessionId, SessionState},
};

use super::{Connection, DbError, error::doing};

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
