//! Writing components, as clients of BOS do: any number in one short transaction, rows locked in ascending order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::model::{artifacts::BootArtifacts, command::CommandKind};

use super::{
    super::{Connection, DbError, Pool, artifacts, boot_token, error::doing},
    Component, ComponentFilter, ComponentPatch, discover, list, shared_artifacts,
    steer::{Before, Steering},
    tell::{News, tell},
};

/// How patches are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patching {
    /// Merged into what is there. An unknown component refuses all, or is left out.
    Merge {
        /// Leave unknown components out.
        skip_unknown: bool,
    },
    /// Put in the place of what is there, if anything is.
    Replace,
}

/// Applies patches by BOS's rules (the last one of several for one component counts); the records as they are then.
/// A claim is not touched. With an `actor` it is a client's change, and steers: enabled components wait to be driven to
/// their desired state, and a session that holds one is told what it has to know.
pub async fn patch(
    pool: &Pool,
    patches: Vec<(String, ComponentPatch)>,
    how: Patching,
    actor: Option<&str>,
) -> Result<Vec<Component>, DbError> {
    let (pool, actor) = (pool.clone(), actor.map(str::to_owned));
    let task = tokio::spawn(async move {
        let patches: BTreeMap<String, ComponentPatch> = patches.into_iter().collect();
        let mut tx = pool.begin().await.map_err(doing("write components"))?;
        let written = patch_in(&mut tx, &patches, how, actor.as_deref()).await?;
        tx.commit().await.map_err(doing("write components"))?;
        Ok(written)
    });
    task.await.expect("nothing in a patch panics")
}

/// [`patch`], in the caller's transaction.
pub(in crate::db) async fn patch_in(
    conn: &mut Connection,
    patches: &BTreeMap<String, ComponentPatch>,
    how: Patching,
    actor: Option<&str>,
) -> Result<Vec<Component>, DbError> {
    let xnames: Vec<String> = patches.keys().cloned().collect();
    if how == Patching::Replace {
        discover::insert(conn, &xnames, false).await?;
    }
    let now = sqlx::query_scalar!(
        r#"with locked as (
             select component_id from component where xname = any ($1) and retired_at is null order by component_id for update)
           select clock_timestamp() as "now!" from (select count(*) from locked) l"#,
        &xnames
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(doing("lock components"))?;
    let filter = ComponentFilter { xnames: Some(&xnames), ..Default::default() };
    let mut components = list(conn, &filter).await?;
    if components.len() < xnames.len() && how != (Patching::Merge { skip_unknown: true }) {
        let known: std::collections::HashSet<&str> = components.iter().map(|c| c.xname.as_str()).collect();
        let unknown =
            xnames.iter().find(|xname| !known.contains(xname.as_str())).cloned().unwrap_or_default();
        return Err(DbError::NotFound { what: format!("Component '{unknown}'") });
    }
    let tokens = recorded(conn, patches.values()).await?;
    let mut steered = Vec::with_capacity(components.len());
    for component in &mut components {
        let patch = &patches[&component.xname];
        let token = patch.actual.as_ref().and_then(|actual| actual.bss_token.as_deref());
        let before = Before::of(component);
        let overridden = component.status_override.clone();
        if how == Patching::Replace {
            *component = component.blank();
        }
        component.merge(patch, token.and_then(|token| tokens.get(token).cloned()), now);
        let steering = actor.map_or(Steering::Nothing, |_| Steering::of(&before, component, patch, how));
        if steering == Steering::UnderWay {
            // Enabling puts it on hold until somebody acts; somebody does.
            component.status_override = overridden;
        }
        steered.push(steering);
    }
    write(conn, patches, &components, how, &Wishes { steered: &steered, actor, now }).await?;
    if let Some(actor) = actor {
        tell(conn, &news(patches, &components, &steered), actor).await?;
    }
    Ok(components)
}

/// What becomes of wishes, by component.
struct Wishes<'a> {
    steered: &'a [Steering],
    actor: Option<&'a str>,
    now: crate::model::Timestamp,
}

/// What the sessions that hold these components have to know: who is to be left out, and how often somebody may be tried.
fn news(
    patches: &BTreeMap<String, ComponentPatch>,
    components: &[Component],
    steered: &[Steering],
) -> Vec<News<'static>> {
    let held = components.iter().zip(steered).filter(|(component, _)| component.claimed_by.is_some());
    let news = held.filter_map(|(component, steering)| {
        let kind = match steering {
            Steering::Withdraw => CommandKind::Disable,
            _ if patches[&component.xname].retry_policy.is_some() => CommandKind::RetryPolicy,
            _ => return None,
        };
        Some(News { component: component.number, kind, reason: None })
    });
    news.collect()
}

/// What the tokens of these patches stand for.
async fn recorded(
    conn: &mut Connection,
    patches: impl Iterator<Item = &ComponentPatch>,
) -> Result<HashMap<String, Arc<BootArtifacts>>, DbError> {
    let named = patches.filter_map(|patch| patch.actual.as_ref()?.bss_token.as_deref());
    let tokens: Vec<&str> = named.filter(|token| !token.is_empty()).collect();
    let found = boot_token::find(conn, &tokens).await?;
    let ids: Vec<i32> = found.values().map(|id| id.0).collect();
    let artifacts = shared_artifacts(conn, &ids).await?;
    let known = found.into_iter().filter_map(|(token, id)| Some((token, artifacts.get(&id.0)?.clone())));
    Ok(known.collect())
}

/// The columns of many components, as parallel arrays.
#[derive(Default)]
struct Columns {
    number: Vec<i32>,
    enabled: Vec<Option<bool>>,
    error: Vec<Option<String>>,
    session: Vec<Option<String>>,
    retry_policy: Vec<Option<i32>>,
    actual_token: Vec<Option<String>>,
    actual_at: Vec<Option<crate::model::Timestamp>>,
    desired_configuration: Vec<Option<String>>,
    desired_token: Vec<Option<String>>,
    desired_at: Vec<Option<crate::model::Timestamp>>,
    staged: Vec<Option<serde_json::Value>>,
    status: Vec<serde_json::Value>,
    last_action: Vec<serde_json::Value>,
    event_stats: Vec<serde_json::Value>,
    reported: Vec<bool>,
    overrides: Vec<bool>,
    wishes: Vec<Option<bool>>,
}

impl Columns {
    fn add(&mut self, component: &Component, patch: &ComponentPatch, replaces: bool) {
        let stats = &component.event_stats;
        self.number.push(component.number);
        self.enabled.push(component.enabled);
        self.error.push(component.error.clone());
        self.session.push(component.session.clone());
        self.retry_policy.push(component.retry_policy);
        self.actual_token.push(component.actual.token.clone());
        self.actual_at.push(component.actual.updated_at);
        self.desired_configuration.push(component.desired.configuration.clone());
        self.desired_token.push(component.desired.token.clone());
        self.desired_at.push(component.desired.updated_at);
        self.staged.push(component.staged.clone());
        self.status.push(sparse([
            ("phase", serde_json::json!(component.phase)),
            ("status_override", serde_json::json!(component.status_override)),
        ]));
        self.last_action.push(sparse([
            ("action", serde_json::json!(component.last_action.action)),
            ("failed", serde_json::json!(component.last_action.failed)),
            ("last_updated", serde_json::json!(component.last_action.last_updated)),
        ]));
        self.event_stats.push(sparse([
            ("power_on_attempts", serde_json::json!(stats.power_on_attempts)),
            ("power_off_graceful_attempts", serde_json::json!(stats.power_off_graceful_attempts)),
            ("power_off_forceful_attempts", serde_json::json!(stats.power_off_forceful_attempts)),
        ]));
        self.reported.push(patch.actual.is_some() || replaces);
        self.overrides.push(patch.overrides_progress() || replaces);
    }
}

fn sparse<const N: usize>(fields: [(&str, serde_json::Value); N]) -> serde_json::Value {
    let written = fields.into_iter().filter(|(_, value)| !value.is_null());
    serde_json::Value::Object(written.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The numbers of what these components have booted or are to boot.
async fn artifact_numbers(
    conn: &mut Connection,
    artifacts: Vec<Option<&Arc<BootArtifacts>>>,
) -> Result<Vec<Option<i32>>, DbError> {
    let wanted: Vec<&BootArtifacts> = artifacts.iter().flatten().map(|one| &***one).collect();
    let numbers = artifacts::numbers(conn, &wanted).await?;
    Ok(artifacts.iter().map(|artifacts| artifacts.map(|artifacts| numbers[artifacts.as_ref()].0)).collect())
}

async fn write(
    conn: &mut Connection,
    patches: &BTreeMap<String, ComponentPatch>,
    components: &[Component],
    how: Patching,
    wishes: &Wishes<'_>,
) -> Result<(), DbError> {
    let mut c = Columns::default();
    for (component, steering) in components.iter().zip(wishes.steered) {
        c.add(component, &patches[&component.xname], how == Patching::Replace);
        c.wishes.push(match steering {
            Steering::Nothing | Steering::UnderWay => None,
            Steering::Wish => Some(true),
            Steering::Withdraw => Some(false),
        });
    }
    let actual = components.iter().map(|component| component.actual.artifacts.as_ref()).collect();
    let actual = artifact_numbers(conn, actual).await?;
    let desired = components.iter().map(|component| component.desired.artifacts.as_ref()).collect();
    let desired = artifact_numbers(conn, desired).await?;
    sqlx::query!(
        "update component c
            set enabled = u.enabled, session = u.session, retry_policy = u.retry_policy,
                actual_boot_artifacts_id = case when u.reported then u.actual else c.actual_boot_artifacts_id end,
                actual_token = case when u.reported then u.actual_token else c.actual_token end,
                actual_updated_at = case when u.reported then u.actual_at else c.actual_updated_at end,
                reported_at = case when u.reported then clock_timestamp() else c.reported_at end,
                desired_boot_artifacts_id = u.desired, desired_configuration = u.desired_configuration,
                desired_token = u.desired_token, desired_updated_at = u.desired_at, staged_state = u.staged,
                error = case when u.overrides then u.error else c.error end,
                status = case when u.overrides then u.status else c.status end,
                last_action = case when u.overrides then u.last_action else c.last_action end,
                event_stats = case when u.overrides then u.event_stats else c.event_stats end,
                written_at = case when u.overrides then clock_timestamp() else c.written_at end,
                wished_at = case when u.wishes then coalesce(c.wished_at, $21) when u.wishes is null then c.wished_at end,
                wished_by = case when u.wishes then $20 when u.wishes is null then c.wished_by end
           from unnest($1::int4[], $2::bool[], $3::text[], $4::text[], $5::int4[], $6::int4[], $7::text[],
                       $8::timestamptz[], $9::int4[], $10::text[], $11::text[], $12::timestamptz[], $13::jsonb[],
                       $14::jsonb[], $15::jsonb[], $16::jsonb[], $17::bool[], $18::bool[], $19::bool[])
                u(component_id, enabled, error, session, retry_policy, actual, actual_token, actual_at, desired,
                  desired_configuration, desired_token, desired_at, staged, status, last_action, event_stats, reported,
                  overrides, wishes)
          where c.component_id = any ($1) and c.component_id = u.component_id",
        &c.number,
        &c.enabled as &[Option<bool>],
        &c.error as &[Option<String>],
        &c.session as &[Option<String>],
        &c.retry_policy as &[Option<i32>],
        &actual as &[Option<i32>],
        &c.actual_token as &[Option<String>],
        &c.actual_at as &[Option<crate::model::Timestamp>],
        &desired as &[Option<i32>],
        &c.desired_configuration as &[Option<String>],
        &c.desired_token as &[Option<String>],
        &c.desired_at as &[Option<crate::model::Timestamp>],
        &c.staged as &[Option<serde_json::Value>],
        &c.status,
        &c.last_action,
        &c.event_stats,
        &c.reported,
        &c.overrides,
        &c.wishes as &[Option<bool>],
        wishes.actor,
        wishes.now,
    )
    .execute(conn)
    .await
    .map_err(doing("write components"))?;
    Ok(())
}
