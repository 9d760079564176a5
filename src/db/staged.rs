//! `component.staged_state`: what `applystaged` would make of components; and the sessions that staged it.
//!
//! Applying starts a session of its own, which keeps in `request.applies` the name of the one that staged: its components
//! show that name, as in BOS, and BOS's clients do not see it.

use serde_json::Value;

use crate::model::session::SessionId;

use super::{Connection, DbError, error::doing, session::Counts};

/// How many components a tenant's session has staged and nobody has applied.
pub async fn count(conn: &mut Connection, tenant: &str, session: &str) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select count(*) as "n!" from component
            where staged_state->>'session' = $1 and coalesce(staged_state->>'tenant', $2) = $2 and retired_at is null"#,
        session,
        tenant
    )
    .fetch_one(conn)
    .await
    .map_err(doing("count staged components"))
}

/// BOS's own count of a tenant's session: the components that name it, by what they show. Those of another tenant's
/// session with the same name do not count.
pub async fn applied_counts(conn: &mut Connection, tenant: &str, session: &str) -> Result<Counts, DbError> {
    sqlx::query_as!(
        Counts,
        r#"select count(*) as "components!",
                  count(*) filter (where active and phase = 'powering_off') as "powering_off!",
                  count(*) filter (where active and phase = 'powering_on') as "powering_on!",
                  count(*) filter (where active and phase = 'configuring') as "configuring!",
                  count(*) filter (where active and coalesce(phase, '') = '') as "resting!",
                  count(*) filter (where not coalesce(enabled, false) and status = 'stable') as "succeeded!",
                  count(*) filter (where status = 'failed') as "failed!", 0::int8 as "skipped!"
             from (select r.phase, r.enabled, r.status,
                          coalesce(r.enabled, false) and r.status_override is distinct from 'on_hold' as active
                     from component_record r
                     join component_progress p on p.component_id = r.component_id
                     left join session s on s.session_id = p.session_id
                    where r.session = $1 and coalesce(s.tenant, $2) = $2) c"#,
        session,
        tenant
    )
    .fetch_one(conn)
    .await
    .map_err(doing("count a session's components"))
}

/// Ends a waiting session that has staged its components, and keeps which version of its template it staged. Whether
/// it was still waiting.
pub async fn end(
    conn: &mut Connection,
    id: &SessionId,
    tenant: &str,
    template: &str,
) -> Result<bool, DbError> {
    let ended = sqlx::query!(
        "update session
            set state = 'ended', outcome = 'succeeded', started_at = clock_timestamp(), ended_at = clock_timestamp(),
                session_template_version_id = (
                  select session_template_version_id from session_template where tenant = $2 and name = $3)
          where session_id = $1 and state = 'waiting'",
        id.0,
        tenant,
        template
    )
    .execute(conn)
    .await
    .map_err(doing("end a staged session"))?;
    Ok(ended.rows_affected() > 0)
}

/// The version of its template that a session has staged.
pub async fn template_version(conn: &mut Connection, id: &SessionId) -> Result<Option<i64>, DbError> {
    sqlx::query_scalar!("select session_template_version_id from session where session_id = $1", id.0)
        .fetch_one(conn)
        .await
        .map_err(doing("read what a session staged"))
}

/// Puts this in the place of what is staged for components.
pub async fn replace(conn: &mut Connection, xnames: &[String], staged: &Value) -> Result<(), DbError> {
    sqlx::query!(
        "with locked as materialized (
           select component_id from component where xname = any ($1) and retired_at is null
            order by component_id for update)
         update component set staged_state = $2 || jsonb_build_object('last_updated', clock_timestamp())
          where component_id = any (array(select component_id from locked))",
        xnames,
        staged
    )
    .execute(conn)
    .await
    .map_err(doing("write what is staged"))?;
    Ok(())
}
