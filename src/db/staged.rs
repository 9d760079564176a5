//! `component.staged_state`: what `applystaged` would make of components; and the sessions that staged it.
//!
//! Applying starts a session of its own, which keeps in `request.applies` the name of the one that staged: its components
//! show that name, as in BOS, and BOS's clients do not see it.

use serde_json::Value;

use crate::model::{plan::Plan, session::SessionId, session_template::SessionTemplate};

use super::{
    Connection, DbError, Pool, admission,
    component::{self, ComponentPatch, Patching},
    error::doing,
    label,
    session::{self, Counts, NewSession},
    session_component_batch::{self, Skip},
    session_template, slice,
};

/// How many components a tenant's session has staged and nobody has applied.
pub async fn count(conn: &mut Connection, tenant: &str, session: &str) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select count(*) as "n!" from component
            where staged_state->>'session' = $1 and coalesce(staged_state->>'tenant', $2) = $2 and retired_at is null
              and (applied_at is null or applied_at < (staged_state->>'last_updated')::timestamptz)"#,
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

/// What a session stages.
#[derive(Debug, Clone)]
pub struct Staging {
    /// Its template, as it was resolved.
    pub template: SessionTemplate,
    /// Who is in which boot set; its steps are not kept.
    pub plan: Plan,
    /// Who was left out.
    pub skips: Vec<Skip>,
    /// What is written into the records.
    pub patches: Vec<(String, ComponentPatch)>,
}

/// Keeps what a waiting session stages. It then runs, without a worker, until everything is applied. Whether it was still
/// waiting; nothing was written if not.
pub async fn keep(pool: &Pool, id: SessionId, staging: Staging) -> Result<bool, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("keep a staged session"))?;
        let kept = keep_in(&mut tx, id, staging).await?;
        match kept {
            true => tx.commit().await,
            false => tx.rollback().await,
        }
        .map_err(doing("keep a staged session"))?;
        Ok(kept)
    });
    task.await.expect("nothing in keeping a staged session panics")
}

async fn keep_in(conn: &mut Connection, id: SessionId, staging: Staging) -> Result<bool, DbError> {
    let Staging { template, plan, skips, patches } = staging;
    let numbers = admission::artifact_numbers(conn, &plan).await?;
    let template = session_template::version(conn, &template).await?;
    let skipped: usize = skips.iter().map(|skip| skip.components.len()).sum();
    let count = |n: usize| i32::try_from(n).expect("a session has fewer than 2^31 members");
    let kept = sqlx::query!(
        "update session
            set state = 'running', started_at = clock_timestamp(), admitted_at = clock_timestamp(),
                session_template_version_id = $2, members = $3, skipped_at_admission = $4
          where session_id = $1 and state = 'waiting'",
        id.0,
        template,
        count(plan.members.len() + skipped),
        count(skipped),
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("keep a staged session"))?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    slice::insert(conn, id, &plan.slices, &numbers).await?;
    session_component_batch::insert(conn, id, &plan.members, &skips).await?;
    let patches = patches.into_iter().collect();
    component::patch_in(conn, &patches, Patching::Merge { skip_unknown: true }, None).await?;
    Ok(true)
}

/// Ends staged sessions of which everything was applied: nothing that they staged waits any more, and nobody is at it. How
/// many there were.
pub async fn complete(conn: &mut Connection) -> Result<u64, DbError> {
    let ended = sqlx::query!(
        "update session s
            set state = 'ended', ended_at = clock_timestamp(), succeeded = s.members - s.skipped_at_admission,
                skipped = s.skipped_at_admission,
                outcome = case when s.members = s.skipped_at_admission then 'nothing_to_do' else 'succeeded' end
          where s.state = 'running' and s.stage
            and not exists (
              select from component c
               where c.staged_state->>'session' = s.name and c.staged_state->>'session' <> '' and c.retired_at is null
                 and coalesce(c.staged_state->>'tenant', s.tenant) = s.tenant
                 and (c.applied_at is null or c.applied_at < (c.staged_state->>'last_updated')::timestamptz))
            and not exists (
              select from session a
               where a.state <> 'ended' and a.request->>'applies' = s.name and a.tenant = s.tenant)"
    )
    .execute(conn)
    .await
    .map_err(doing("end staged sessions"))?;
    Ok(ended.rows_affected())
}

/// Ends a staged session that nobody wants to be applied any more. What is staged stays in the records. Whether it was
/// one that waited for that.
pub async fn cancel(conn: &mut Connection, id: &SessionId) -> Result<bool, DbError> {
    let ended = sqlx::query!(
        "update session set state = 'ended', outcome = 'cancelled', ended_at = clock_timestamp()
          where session_id = $1 and state = 'running' and stage",
        id.0
    )
    .execute(conn)
    .await
    .map_err(doing("end a staged session"))?;
    Ok(ended.rows_affected() > 0)
}

/// What a session staged, as it was then.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// Its template.
    pub template: SessionTemplate,
    /// The boot set of each component, by ascending number.
    pub boot_sets: Vec<(i32, String)>,
}

/// What a session has staged.
pub async fn frozen(conn: &mut Connection, id: SessionId) -> Result<Frozen, DbError> {
    let content = sqlx::query_scalar!(
        "select v.content from session s
           join session_template_version v on v.session_template_version_id = s.session_template_version_id
          where s.session_id = $1",
        id.0
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("read what a session staged"))?
    .ok_or_else(|| DbError::NotFound { what: format!("what session number {id} staged") })?;
    let names: Vec<String> = slice::list(conn, id).await?.into_iter().map(|slice| slice.boot_set).collect();
    let members = session_component_batch::slices(conn, id).await?;
    let boot_set = |slice: i16| names.get(usize::try_from(slice).ok()?).cloned();
    Ok(Frozen {
        template: label::read_json("a session template", content)?,
        boot_sets: members.into_iter().filter_map(|(id, slice)| Some((id, boot_set(slice)?))).collect(),
    })
}

/// What `applystaged` does to components and asks for: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Applying {
    /// What is written into their records.
    pub patches: Vec<(String, ComponentPatch)>,
    /// Who is applied.
    pub applied: Vec<String>,
    /// Whose stage is replaced, and by what.
    pub cleared: Option<(Vec<String>, Value)>,
    /// The sessions that drive them, to be admitted later.
    pub sessions: Vec<NewSession>,
}

/// Applies what is staged for components.
pub async fn apply(pool: &Pool, applying: Applying) -> Result<(), DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("apply what is staged"))?;
        apply_in(&mut tx, applying).await?;
        tx.commit().await.map_err(doing("apply what is staged"))
    });
    task.await.expect("nothing in applying panics")
}

async fn apply_in(conn: &mut Connection, applying: Applying) -> Result<(), DbError> {
    for session in &applying.sessions {
        session::insert_waiting(conn, session).await?;
    }
    let patches = applying.patches.into_iter().collect();
    component::patch_in(conn, &patches, Patching::Merge { skip_unknown: true }, None).await?;
    sqlx::query!(
        "update component set applied_at = clock_timestamp() where xname = any ($1) and retired_at is null",
        &applying.applied
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("keep what was applied"))?;
    if let Some((xnames, staged)) = &applying.cleared {
        replace(conn, xnames, staged).await?;
    }
    Ok(())
}

/// Says in the records of components that a session was to apply why it does not.
pub async fn refuse(pool: &Pool, xnames: Vec<String>, session: String, why: String) -> Result<(), DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("refuse what is staged"))?;
        component::refuse_session(&mut tx, &xnames, &session, &why).await?;
        tx.commit().await.map_err(doing("refuse what is staged"))
    });
    task.await.expect("nothing in a refusal panics")
}

/// The version of its template that a session has staged.
pub async fn template_version(conn: &mut Connection, id: &SessionId) -> Result<Option<i64>, DbError> {
    sqlx::query_scalar!("select session_template_version_id from session where session_id = $1", id.0)
        .fetch_one(conn)
        .await
        .map_err(doing("read what a session staged"))
}

/// Puts this in the place of what is staged for components.
async fn replace(conn: &mut Connection, xnames: &[String], staged: &Value) -> Result<(), DbError> {
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
