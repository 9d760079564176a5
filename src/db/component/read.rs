//! Reading components as they are shown.
//!
//! Named ones are looked up one by one, the others found by a walk through all. One statement for both looked at
//! everybody even for a single name, as soon as Postgres planned it for any parameters: 17 ms for a report among 6,000.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::{Connection, DbError, error::doing},
    Component, ComponentFilter, EventStats, LastAction, State, shared_artifacts,
};
use crate::model::{Timestamp, artifacts::BootArtifacts, session::SessionId};

/// A row of the view `component_record`.
struct Row {
    number: i32,
    xname: String,
    enabled: Option<bool>,
    error: Option<String>,
    session: Option<String>,
    retry_policy: Option<i32>,
    actual_boot: Option<i32>,
    actual_token: Option<String>,
    actual_updated_at: Option<Timestamp>,
    desired_boot: Option<i32>,
    desired_configuration: Option<String>,
    desired_token: Option<String>,
    desired_updated_at: Option<Timestamp>,
    staged_state: Option<serde_json::Value>,
    phase: Option<String>,
    status_override: Option<String>,
    status: String,
    action: Option<String>,
    action_failed: Option<bool>,
    action_at: Option<Timestamp>,
    power_on_attempts: Option<i32>,
    power_off_graceful_attempts: Option<i32>,
    power_off_forceful_attempts: Option<i32>,
    claimed_by: Option<i64>,
    stale: bool,
}

/// A component by id.
pub async fn get(conn: &mut Connection, xname: &str) -> Result<Component, DbError> {
    let xnames = [xname.to_owned()];
    let filter = ComponentFilter { xnames: Some(&xnames), ..Default::default() };
    let found = list(conn, &filter).await?.pop();
    found.ok_or_else(|| DbError::NotFound { what: format!("Component '{xname}'") })
}

/// Components by id, bytewise.
pub async fn list(conn: &mut Connection, filter: &ComponentFilter<'_>) -> Result<Vec<Component>, DbError> {
    let rows = match filter.xnames {
        Some(xnames) => named(conn, xnames, filter).await,
        None => all(conn, filter).await,
    };
    let rows = rows.map_err(doing("list components"))?;
    let mut ids: Vec<i32> =
        rows.iter().flat_map(|row| [row.actual_boot, row.desired_boot]).flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    let known = shared_artifacts(conn, &ids).await?;
    Ok(rows.into_iter().map(|row| component(row, &known)).collect())
}

async fn all(conn: &mut Connection, filter: &ComponentFilter<'_>) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select component_id as "number!", xname as "xname!", enabled, error, session, retry_policy,
                  actual_boot_artifacts_id as actual_boot, actual_token, actual_updated_at,
                  desired_boot_artifacts_id as desired_boot, desired_configuration, desired_token, desired_updated_at,
                  staged_state, phase, status_override, status as "status!", action, action_failed, action_at,
                  power_on_attempts, power_off_graceful_attempts, power_off_forceful_attempts, claimed_by,
                  stale as "stale!"
             from component_record
            where ($1::text is null or session = $1) and ($2::text is null or staged_state->>'session' = $2)
              and ($3::bool is null or enabled = $3) and ($4::text is null or phase = $4)
              and ($5::text[] is null or status = any ($5)) and xname > coalesce($6::text, '')
            order by xname limit $7"#,
        filter.session,
        filter.staged_session,
        filter.enabled,
        filter.phase,
        filter.statuses,
        filter.start_after,
        filter.limit,
    )
    .fetch_all(conn)
    .await
}

/// Each by its name (`offset 0`, for the reason that `report` gives), since reports are answered on a connection that keeps its plans.
async fn named(
    conn: &mut Connection,
    xnames: &[String],
    filter: &ComponentFilter<'_>,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select component_id as "number!", r.xname as "xname!", enabled, error, session, retry_policy,
                  actual_boot_artifacts_id as actual_boot, actual_token, actual_updated_at,
                  desired_boot_artifacts_id as desired_boot, desired_configuration, desired_token, desired_updated_at,
                  staged_state, phase, status_override, status as "status!", action, action_failed, action_at,
                  power_on_attempts, power_off_graceful_attempts, power_off_forceful_attempts, claimed_by,
                  stale as "stale!"
             from (select distinct unnest($1::text[]) as xname) w
             join lateral (select * from component_record x where x.xname = w.xname offset 0) r on true
            where ($2::text is null or session = $2) and ($3::text is null or staged_state->>'session' = $3)
              and ($4::bool is null or enabled = $4) and ($5::text is null or phase = $5)
              and ($6::text[] is null or status = any ($6)) and ($7::text is null or r.xname > $7)
            order by r.xname limit $8"#,
        xnames,
        filter.session,
        filter.staged_session,
        filter.enabled,
        filter.phase,
        filter.statuses,
        filter.start_after,
        filter.limit,
    )
    .fetch_all(conn)
    .await
}

fn component(row: Row, known: &HashMap<i32, Arc<BootArtifacts>>) -> Component {
    let artifacts = |id: Option<i32>| id.and_then(|id| known.get(&id).cloned());
    Component {
        number: row.number,
        xname: row.xname,
        enabled: row.enabled,
        error: row.error,
        session: row.session,
        retry_policy: row.retry_policy,
        // BOS empties it: what it reported before says nothing about what it runs now.
        actual: State {
            artifacts: if row.stale { Some(Arc::default()) } else { artifacts(row.actual_boot) },
            configuration: None,
            token: if row.stale { Some(String::new()) } else { row.actual_token },
            updated_at: row.actual_updated_at,
        },
        desired: State {
            artifacts: artifacts(row.desired_boot),
            configuration: row.desired_configuration,
            token: row.desired_token,
            updated_at: row.desired_updated_at,
        },
        staged: row.staged_state,
        phase: row.phase,
        status_override: row.status_override,
        status: row.status,
        last_action: LastAction {
            action: row.action,
            failed: row.action_failed,
            last_updated: row.action_at,
        },
        event_stats: EventStats {
            power_on_attempts: row.power_on_attempts,
            power_off_graceful_attempts: row.power_off_graceful_attempts,
            power_off_forceful_attempts: row.power_off_forceful_attempts,
        },
        claimed_by: row.claimed_by.map(SessionId),
    }
}
