//! Admission: everything a session is, and the claims of all its components, in one transaction or not at all.
//!
//! The transaction runs in a task of its own: a client that hangs up drops the handler's future, and a `begin` that is
//! dropped half-way would poison the pool.

use std::collections::BTreeMap;

use crate::model::{
    artifacts::BootArtifacts,
    command::CommandRequest,
    event::NewEvent,
    plan::{PLAN_FORMAT, Plan, UnknownPolicy},
    session::{Name, OnConflict, Outcome, SessionId},
    session_template::SessionTemplate,
    verb::{Goal, Verb},
};

use super::{
    Connection, DbError, Pool, artifacts,
    claim::{self, Wish},
    command, component,
    error::doing,
    freeze, plan, session, session_component_batch, session_template, slice, staged, workflow,
};

pub use super::{claim::Holder, freeze::Frozen, session::NewSession, session_component_batch::Skip};

/// How often a transaction that ran into a deadlock is begun anew.
const TRIES_MAX: usize = 4;

/// What came of an admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is done; the launcher has been told.
    Session(SessionId),
    /// It is done, but for components that these still hold: each is the session's as soon as its holder has brought it to
    /// where it can be given. Nothing is begun with it before.
    TakingOver(SessionId, Vec<Holder>),
    /// It waits for these, and holds nothing meanwhile.
    Waiting(SessionId, Vec<Holder>),
    /// Nothing was written: others hold components of it, or came first and wait for them.
    Claimed(Vec<Holder>),
    /// Nothing was written: a freeze covers components of it.
    Frozen(Vec<Frozen>),
}

/// A session to be admitted, resolved and compiled.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The request. One that waits already has its number in `waiting`.
    pub new: NewSession,
    /// The waiting session that this is.
    pub waiting: Option<SessionId>,
    /// The template as it was resolved.
    pub template: SessionTemplate,
    /// The text of the workflow it was compiled from.
    pub workflow: String,
    /// The plan; the numbers of its artifacts are found here. One without members is over at once: nothing to do.
    pub plan: Plan,
    /// Its hash.
    pub plan_hash: String,
    /// Who was left out.
    pub skips: Vec<Skip>,
    /// What is done where others hold components of it. [`OnConflict::Skip`] is the caller's business: here it is as
    /// [`OnConflict::Reject`], and says who is to be left out.
    pub on_conflict: OnConflict,
    /// The first line of the narrative.
    pub event: NewEvent,
    /// What its components' records are to say of it.
    pub origin: Origin,
}

/// Where a session comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Somebody asked for it: the records of its components say what it wants.
    Request,
    /// A staged session is applied: who is left out says why in its record.
    Staged,
    /// Its components (ascending) were enabled without a session: their records say what they want, and who is left out
    /// says why.
    Wishes(Vec<(i32, component::WishVersion)>),
}

impl Origin {
    /// BOS's last action of its components; none: as it was.
    fn last_action(&self) -> Option<&'static str> {
        match self {
            Self::Request => Some("session_setup"),
            Self::Staged => Some("apply_staged"),
            Self::Wishes(_) => None,
        }
    }
}

/// Admits a session: all of it, or nothing. [`DbError::Conflict`]: its name is taken, or it does not wait any more.
///
/// This is also the one way to take components over from other sessions (law 9): with [`OnConflict::Preempt`] free
/// components are claimed and the others marked as wanted, in the same transaction. Whoever has a plan for components that
/// somebody may hold calls it so: sessions of `/v2`, and what a component that a client enables becomes.
pub async fn admit(pool: &Pool, admission: Admission) -> Result<Admitted, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        for _ in 1..TRIES_MAX {
            match admit_once(&pool, &admission).await {
                // A checkpoint of a holder locks rows in another order.
                Err(error) if error.is_deadlock() => {}
                other => return other,
            }
        }
        admit_once(&pool, &admission).await
    });
    task.await.expect("nothing in an admission panics")
}

async fn admit_once(pool: &Pool, admission: &Admission) -> Result<Admitted, DbError> {
    let mut tx = pool.begin().await.map_err(doing("admit a session"))?;
    let admitted = admit_in(&mut tx, admission).await?;
    let Admitted::Claimed(holders) = admitted else {
        match admitted {
            Admitted::Frozen(_) => tx.rollback().await,
            _ => tx.commit().await,
        }
        .map_err(doing("admit a session"))?;
        return Ok(admitted);
    };
    tx.rollback().await.map_err(doing("admit a session"))?;
    match admission.on_conflict {
        OnConflict::Wait => wait(pool, admission, holders).await,
        _ => Ok(Admitted::Claimed(holders)),
    }
}

/// Keeps a session that waits for others, and its place among those that wait.
async fn wait(pool: &Pool, admission: &Admission, holders: Vec<Holder>) -> Result<Admitted, DbError> {
    let Admission { new, waiting, plan, .. } = admission;
    let ids: Vec<i32> = plan.members.iter().map(|member| member.component.0).collect();
    let mut tx = pool.begin().await.map_err(doing("let a session wait"))?;
    claim::lock(&mut tx).await?;
    let id = match waiting {
        Some(id) => still_waiting(&mut tx, *id, &new.name).await?.0,
        None => session::insert_waiting(&mut tx, new).await?,
    };
    let names: Vec<String> = holders.iter().map(|holder| format!("'{}'", holder.session)).collect();
    claim::wait_for(&mut tx, id, &ids, &format!("waits for {}", names.join(", "))).await?;
    tx.commit().await.map_err(doing("let a session wait"))?;
    Ok(Admitted::Waiting(id, holders))
}

/// Keeps a session whose time has not come: it holds nothing, and has no place among those that wait for others.
pub async fn keep_for_later(pool: &Pool, new: NewSession, why: String) -> Result<SessionId, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("keep a session for later"))?;
        let id = session::insert_waiting(&mut tx, &new).await?;
        session::say_why_it_waits(&mut tx, &id, &why).await?;
        tx.commit().await.map_err(doing("keep a session for later"))?;
        Ok(id)
    });
    task.await.expect("nothing in an admission panics")
}

/// Ends a session of which nothing has begun, one that is staged or waits, and keeps the command as obeyed, with why it ended
/// as its answer. Whether it was one; else nothing is kept.
pub async fn cancel(
    pool: &Pool,
    id: SessionId,
    request: CommandRequest,
    (actor, key): (String, Option<String>),
    why: String,
) -> Result<bool, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("cancel a session that waits"))?;
        let ended = staged::cancel(&mut tx, &id).await?
            || session::end_waiting(&mut tx, &id, Outcome::Cancelled, Some(&why)).await?;
        if ended {
            command::insert_obeyed(&mut tx, &id, &request, (&actor, key.as_deref()), &why).await?;
        }
        tx.commit().await.map_err(doing("cancel a session that waits"))?;
        Ok(ended)
    });
    task.await.expect("nothing in an admission panics")
}

/// Gives up a waiting session's place among those that wait: those behind it do not wait for it any more.
pub async fn leave_line(conn: &mut Connection, id: &SessionId) -> Result<(), DbError> {
    claim::forget_wait(conn, *id).await
}

/// For whom a session that was found to have to wait still waits; nobody: it may be admitted, as far as is known. One
/// that has not been found to have to is to be tried.
pub async fn waits_for(conn: &mut Connection, id: &SessionId) -> Result<Vec<Holder>, DbError> {
    let Some(ids) = claim::waited_for(conn, *id).await? else { return Ok(Vec::new()) };
    let before = claim::waiting_before(conn, *id, &ids).await?;
    if !before.is_empty() {
        return Ok(before);
    }
    claim::holders(conn, *id, &ids).await
}

async fn admit_in(conn: &mut Connection, admission: &Admission) -> Result<Admitted, DbError> {
    let Admission { new, waiting, template, workflow, plan, plan_hash, skips, on_conflict, event, origin } =
        admission;
    let ids: Vec<i32> = plan.members.iter().map(|member| member.component.0).collect();
    let slices: Vec<i16> = plan.members.iter().map(|member| member.slice.0).collect();
    claim::lock(conn).await?;
    let frozen = freeze::covering(conn, &ids, &new.actor).await?;
    if !frozen.is_empty() {
        return Ok(Admitted::Frozen(frozen));
    }
    let numbers = artifact_numbers(conn, plan).await?;
    let template = session_template::version(conn, template).await?;
    let workflow = workflow::find_or_insert(conn, &new.operation, workflow).await?;
    let (id, shown_name) = match waiting {
        Some(id) => still_waiting(conn, *id, &new.name).await?,
        None => (session::insert_waiting(conn, new).await?, new.name.to_string()),
    };
    let action = origin.last_action();
    let takes_over = *on_conflict == OnConflict::Preempt;
    let holders = if takes_over {
        claim::take_over(conn, id, &ids, action).await?
    } else {
        let before = claim::waiting_before(conn, id, &ids).await?;
        let holders = if before.is_empty() { claim::take_all(conn, id, &ids, action).await? } else { before };
        if !holders.is_empty() {
            return Ok(Admitted::Claimed(holders));
        }
        holders
    };
    lock_records(conn, &ids, skips, origin).await?;
    let configurations: Vec<Option<&str>> = plan.slices.iter().map(|s| s.configuration.as_deref()).collect();
    let booted = or_nothing(conn, &numbers).await?;
    let off: Vec<bool> = numbers.iter().map(Option::is_none).collect();
    let wish = Wish {
        session_name: &shown_name,
        artifacts: &booted,
        off: &off,
        configurations: &configurations,
        keeps_artifacts: plan.steps.iter().any(|step| only_configures(&step.verb)),
    };
    if !matches!(origin, Origin::Wishes(_)) {
        claim::record(conn, &ids, &slices, &wish).await?;
    }
    if *origin != Origin::Request {
        refuse_skipped(conn, skips).await?;
    }
    plan::insert(conn, id, plan, &numbers, skips).await?;
    let skipped: usize = skips.iter().map(|skip| skip.components.len()).sum();
    let count = |n: usize| i32::try_from(n).expect("a session has fewer than 2^31 members");
    sqlx::query!(
        "with started as (
           update session
              set state = case when $13 then 'ended' else 'running' end, reason = null,
                  outcome = case when $13 then 'nothing_to_do' end, skipped = case when $13 then $5 else 0 end,
                  started_at = case when $13 then clock_timestamp() end,
                  ended_at = case when $13 then clock_timestamp() end, session_template_version_id = $2, workflow_version_id = $3, members = $4,
                  skipped_at_admission = $5, plan_format = $6, plan_hash = $7, unknown_policy = $8,
                  service_patience = make_interval(secs => $9), admitted_at = clock_timestamp()
            where session_id = $1
           returning session_id),
         waited as (delete from waiting_component_batch where session_id = $1),
         lease as (insert into session_lease (session_id) select session_id from started),
         narrative as (
           insert into event (session_id, seq, at, epoch, kind, actor, data)
           select session_id, 1, clock_timestamp(), 0, $10, $11, $12 from started)
         select pg_notify('bosun_launcher', '')::text from started",
        id.0,
        template,
        workflow,
        count(ids.len() + skipped),
        count(skipped),
        PLAN_FORMAT,
        plan_hash,
        match plan.unknown {
            UnknownPolicy::Leave => "leave",
            UnknownPolicy::Reboot => "reboot",
        },
        plan.service_patience.as_secs_f64(),
        event.kind.label(),
        event.actor,
        told(event, &holders),
        plan.members.is_empty(),
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("admit a session"))?;
    Ok(if holders.is_empty() { Admitted::Session(id) } else { Admitted::TakingOver(id, holders) })
}

/// The first line's particulars, with who is asked to give how many.
fn told(event: &NewEvent, holders: &[Holder]) -> serde_json::Value {
    let mut data = event.data.clone();
    if !holders.is_empty() {
        let asked: BTreeMap<&str, usize> =
            holders.iter().map(|holder| (holder.session.as_str(), holder.components.len())).collect();
        data["takes_over"] = serde_json::json!(asked);
    }
    data
}

/// Locks the records of everybody who is named, ascending, where those left out are written as well. Takes the wishes of
/// components that were enabled without a session: all of them, or the caller rolls back.
async fn lock_records(
    conn: &mut Connection,
    members: &[i32],
    skips: &[Skip],
    origin: &Origin,
) -> Result<(), DbError> {
    match origin {
        Origin::Request => Ok(()),
        Origin::Staged => {
            let skipped = skips.iter().flat_map(|skip| &skip.components);
            let mut everybody: Vec<i32> = members.iter().chain(skipped).copied().collect();
            everybody.sort_unstable();
            component::lock(conn, &everybody).await
        }
        Origin::Wishes(wishes) => match component::take_wishes(conn, wishes).await? {
            true => Ok(()),
            false => {
                Err(DbError::Conflict { what: "Somebody else admitted the enabled components".to_owned() })
            }
        },
    }
}

/// Says in their records why components were left out.
async fn refuse_skipped(conn: &mut Connection, skips: &[Skip]) -> Result<(), DbError> {
    let reasons: Vec<String> = skips.iter().map(|skip| skip.reason.to_string()).collect();
    let mut why: Vec<(i32, &str)> = Vec::new();
    for (skip, reason) in skips.iter().zip(&reasons) {
        why.extend(skip.components.iter().map(|component| (*component, reason.as_str())));
    }
    why.sort_unstable();
    let (components, errors): (Vec<i32>, Vec<&str>) = why.into_iter().unzip();
    component::refuse(conn, &components, &errors).await
}

/// Holds a waiting session until the transaction ends, so that nobody cancels it in the meantime. Its number, and the
/// name that its components show: of the session that staged them, if it applies one.
async fn still_waiting(
    conn: &mut Connection,
    id: SessionId,
    name: &Name,
) -> Result<(SessionId, String), DbError> {
    let waits = sqlx::query!(
        r#"select session_id, coalesce(request->>'applies', name) as "shown_name!" from session
            where session_id = $1 and state = 'waiting' for update"#,
        id.0
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("admit a session"))?;
    waits
        .map(|row| (SessionId(row.session_id), row.shown_name))
        .ok_or_else(|| DbError::Conflict { what: format!("Session '{name}' does not wait any more") })
}

/// The number of each slice's artifacts.
pub(super) async fn artifact_numbers(
    conn: &mut Connection,
    plan: &Plan,
) -> Result<Vec<Option<i32>>, DbError> {
    let wanted: Vec<BootArtifacts> = plan
        .slices
        .iter()
        .filter_map(|slice| slice.artifacts.as_ref().map(|artifacts| artifacts.artifacts.clone()))
        .collect();
    let mut numbers = artifacts::find_or_insert(conn, &wanted).await?.into_iter();
    Ok(plan
        .slices
        .iter()
        .map(|slice| slice.artifacts.as_ref().and_then(|_| numbers.next()).map(|id| id.0))
        .collect())
}

/// What is booted, or BOS's empty artifacts where that is nothing.
async fn or_nothing(conn: &mut Connection, numbers: &[Option<i32>]) -> Result<Vec<i32>, DbError> {
    let nothing = artifacts::find_or_insert(conn, &[BootArtifacts::default()]).await?[0].0;
    Ok(numbers.iter().map(|number| number.unwrap_or(nothing)).collect())
}

/// Who holds any of these components (ascending) now.
pub async fn holders(conn: &mut Connection, components: &[i32]) -> Result<Vec<Holder>, DbError> {
    // No session has this number: every holder is somebody else.
    claim::holders(conn, SessionId(0), components).await
}

fn only_configures(verb: &Verb) -> bool {
    matches!(verb, Verb::Inspect { goal: Goal::Configure })
}

/// Asks a session that was admitted once to go on with these components (ascending): claims those it gave back, reopens
/// it if it had ended, and keeps the command (once, under its key). All or nothing, like [`admit`]. The writer, if there
/// is one, cannot write in the meantime.
pub async fn readmit_failed(
    pool: &Pool,
    session: SessionId,
    components: Vec<i32>,
    request: CommandRequest,
    actor: String,
    key: Option<String>,
) -> Result<Admitted, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("retry a session"))?;
        let admitted = readmit_in(&mut tx, session, &components, (&request, &actor, key.as_deref())).await?;
        match admitted {
            Admitted::Claimed(_) | Admitted::Frozen(_) => tx.rollback().await,
            _ => tx.commit().await,
        }
        .map_err(doing("retry a session"))?;
        Ok(admitted)
    });
    task.await.expect("nothing in an admission panics")
}

async fn readmit_in(
    conn: &mut Connection,
    id: SessionId,
    components: &[i32],
    (request, actor, key): (&CommandRequest, &str, Option<&str>),
) -> Result<Admitted, DbError> {
    claim::lock(conn).await?;
    let frozen = freeze::covering(conn, components, actor).await?;
    if !frozen.is_empty() {
        return Ok(Admitted::Frozen(frozen));
    }
    let row = sqlx::query!(
        r#"select coalesce(s.request->>'applies', s.name) as "name!", s.operation from session_lease l join session s on s.session_id = l.session_id
            where l.session_id = $1 and s.state <> 'waiting' for update of l"#,
        id.0
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("retry a session"))?
    .ok_or_else(|| DbError::NotFound { what: format!("an admitted session number {id}") })?;
    let members = session_component_batch::slices(conn, id).await?;
    let mut ids = Vec::with_capacity(components.len());
    let mut slices = Vec::with_capacity(components.len());
    for component in components {
        let member = members.binary_search_by_key(component, |(member, _)| *member);
        let Ok(at) = member else {
            return Err(DbError::NotFound {
                what: format!("component {component} in session '{}'", row.name),
            });
        };
        ids.push(*component);
        slices.push(members[at].1);
    }
    let holders = claim::take_all(conn, id, &ids, Some("session_setup")).await?;
    if !holders.is_empty() {
        return Ok(Admitted::Claimed(holders));
    }
    let plan_slices = slice::list(conn, id).await?;
    let artifacts: Vec<Option<i32>> =
        plan_slices.iter().map(|slice| slice.artifacts.as_ref().map(|artifacts| artifacts.id.0)).collect();
    let configurations: Vec<Option<&str>> = plan_slices.iter().map(|s| s.configuration.as_deref()).collect();
    let booted = or_nothing(conn, &artifacts).await?;
    let off: Vec<bool> = artifacts.iter().map(Option::is_none).collect();
    let wish = Wish {
        session_name: &row.name,
        artifacts: &booted,
        off: &off,
        configurations: &configurations,
        keeps_artifacts: row.operation == "configure",
    };
    claim::record(conn, &ids, &slices, &wish).await?;
    sqlx::query!(
        "update session set state = 'running', outcome = null, error = null, reason = null, retry_command = null,
                            ended_at = null, timed_at = null
          where session_id = $1 and state = 'ended'",
        id.0
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("reopen a session"))?;
    command::insert_once(conn, &id, request, actor, key).await?;
    Ok(Admitted::Session(id))
}
