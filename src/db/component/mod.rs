//! Tables `component` (the BOS record) and, for what is shown, `component_progress` (the engine's half).

mod discover;
mod expire;
mod history;
mod import;
mod merge;
mod patch;
mod read;
mod refuse;
mod report;
mod steer;
mod tell;
mod wish;

use std::{collections::HashMap, sync::Arc};

use crate::model::{
    Timestamp,
    artifacts::{BootArtifacts, BootArtifactsId, BootToken},
    component::Report,
    session::SessionId,
};

use super::{Connection, DbError, artifacts, error::doing, span::Span};

pub use discover::{delete, discover, names, numbers};
pub use expire::expire_actual;
pub use history::{HistoryLine, component_history};
pub use import::{Imported, import};
pub use merge::{ArtifactsPatch, ComponentPatch, EventStatsPatch, LastActionPatch, StatePatch, StatusPatch};
pub(super) use patch::patch_in;
pub use patch::{Patching, patch};
pub use read::{get, list};
pub(super) use refuse::{lock, refuse, refuse_session};
pub use report::{ReportOutcome, report};
pub(super) use wish::take_wishes;
pub use wish::{Wish, WishVersion, oldest_wish, wishes};

/// A component's BOS record as it is shown. What was never written is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its number.
    pub number: i32,
    /// Its id.
    pub xname: String,
    /// Whether BOS acts on it.
    pub enabled: Option<bool>,
    /// What went wrong with it.
    pub error: Option<String>,
    /// The session that set it last, by name.
    pub session: Option<String>,
    /// BOS's attempts per action.
    pub retry_policy: Option<i32>,
    /// What it reported; nothing if it was powered off or on since.
    pub actual: State,
    /// What it is to become.
    pub desired: State,
    /// What `applystaged` would make of it, as it was written.
    pub staged: Option<serde_json::Value>,
    /// BOS's phase.
    pub phase: Option<String>,
    /// `on_hold`, `failed`, or what a client wrote.
    pub status_override: Option<String>,
    /// BOS's computed status.
    pub status: String,
    /// The last action.
    pub last_action: LastAction,
    /// Attempts since the desired state was set.
    pub event_stats: EventStats,
    /// The session that holds it now.
    pub claimed_by: Option<SessionId>,
}

/// BOS's `actual_state` and `desired_state`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// What it boots. Shared: thousands of components boot the same.
    pub artifacts: Option<Arc<BootArtifacts>>,
    /// A CFS configuration's name.
    pub configuration: Option<String>,
    /// The BSS token.
    pub token: Option<String>,
    /// BOS's `last_updated`.
    pub updated_at: Option<Timestamp>,
}

/// BOS's `last_action`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct LastAction {
    pub action: Option<String>,
    pub failed: Option<bool>,
    pub last_updated: Option<Timestamp>,
}

/// BOS's `event_stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are BOS's own")]
pub struct EventStats {
    pub power_on_attempts: Option<i32>,
    pub power_off_graceful_attempts: Option<i32>,
    pub power_off_forceful_attempts: Option<i32>,
}

/// Which components are wanted; all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct ComponentFilter<'a> {
    /// One of these.
    pub xnames: Option<&'a [String]>,
    /// Set last by this session.
    pub session: Option<&'a str>,
    /// Staged by this session.
    pub staged_session: Option<&'a str>,
    /// Enabled, or not.
    pub enabled: Option<bool>,
    /// In this phase.
    pub phase: Option<&'a str>,
    /// With one of these computed statuses.
    pub statuses: Option<&'a [String]>,
    /// Behind this id, bytewise.
    pub start_after: Option<&'a str>,
    /// At most so many; `None`: all.
    pub limit: Option<i64>,
}

async fn shared_artifacts(
    conn: &mut Connection,
    ids: &[i32],
) -> Result<HashMap<i32, Arc<BootArtifacts>>, DbError> {
    let ids: Vec<BootArtifactsId> = ids.iter().copied().map(BootArtifactsId).collect();
    let artifacts = artifacts::list(conn, &ids).await?;
    Ok(artifacts.into_iter().map(|(id, artifacts)| (id.0, Arc::new(artifacts))).collect())
}

/// What components (ascending) last reported; those that never did are left out.
pub async fn reports(conn: &mut Connection, ids: &[i32]) -> Result<Vec<(i32, Report)>, DbError> {
    let span = Span::of(ids);
    let rows = sqlx::query!(
        r#"select c.component_id as "component_id!", c.actual_token as "token!", t.boot_artifacts_id as "artifacts?",
                  coalesce(c.reported_at, c.actual_updated_at, c.written_at) as "at!"
             from (select * from component where component_id between $1 and $2
                   union all
                   select c.*
                     from unnest($3::int4[]) w(component_id)
                     join lateral (select * from component x where x.component_id = w.component_id) c on true) c
             left join boot_token t on t.token = c.actual_token
            where c.actual_token <> ''"#,
        span.lowest,
        span.highest,
        span.few
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read what nodes reported"))?;
    let reports = rows.into_iter().map(|row| {
        let artifacts = row.artifacts.map(BootArtifactsId);
        (row.component_id, Report { token: BootToken(row.token), artifacts, at: row.at })
    });
    Ok(span.keep(reports.collect(), |(id, _)| *id))
}

/// The retry policies of components (ascending) that have one of their own.
pub async fn retry_policies(conn: &mut Connection, ids: &[i32]) -> Result<Vec<(i32, u16)>, DbError> {
    let span = Span::of(ids);
    let rows = sqlx::query!(
        r#"select component_id as "component_id!", retry_policy as "retry_policy!" from component
            where component_id between $1 and $2 and retry_policy is not null
           union all
           select c.component_id, c.retry_policy
             from unnest($3::int4[]) w(component_id)
             join lateral (select * from component x
                            where x.component_id = w.component_id and x.retry_policy is not null) c on true"#,
        span.lowest,
        span.highest,
        span.few
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read retry policies"))?;
    let most = |policy: i32| u16::try_from(policy).unwrap_or(u16::MAX);
    let policies = rows.into_iter().map(|row| (row.component_id, most(row.retry_policy)));
    Ok(span.keep(policies.collect(), |(id, _)| *id))
}
