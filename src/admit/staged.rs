//! Staged sessions: what a session would make of its components is written beside their records, and applied when
//! somebody asks (`applystaged`). Applying is a session of its own: what BOS leaves to its operators.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Admit, Rejection, SessionRequest, default_on_conflict,
    desired_state::Desired,
    freeze,
    session::{named, skips},
};
use crate::{
    db::{
        self,
        admission::{Admission, Origin},
        component::{Component, ComponentFilter, ComponentPatch},
        session::{NewSession, Session},
        staged::{Frozen, Staging},
    },
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        event::{EventKind, NewEvent},
        plan::UnknownPolicy,
        reason::{Reason, ReasonCode},
        session::SessionId,
        xname::Xname,
    },
    plan::hash,
};

/// Where a session says whose staged components it applies.
pub const APPLIES: &str = "applies";
/// Where it says the number of that session.
const STAGED_BY: &str = "staged_by";
/// The operation that boots nothing, whatever is in the records.
const SHUTDOWN: &str = "shutdown";

/// Where a component's `staged_state` says whose session staged it; without it, whoever asks.
pub const STAGED_TENANT: &str = "tenant";

impl Admit {
    /// Stages a waiting session. Whether it was still waiting.
    ///
    /// # Errors
    /// Those of an admission. Nothing was changed then.
    pub(super) async fn stage(&self, session: &Session, request: &SessionRequest) -> Result<bool, Rejection> {
        let resolved = self.resolve(request).await?;
        let ids: Vec<String> = resolved.selection.ids().collect();
        let numbers = self.numbers(&ids).await?;
        let mut patches = Vec::new();
        for selected in &resolved.selection.boot_sets {
            let artifacts =
                resolved.artifacts.get(&selected.name).map(|found| found.artifacts.artifacts.clone());
            let boots = resolved.declared.workflow.boots();
            let configuration = if boots { resolved.configuration(&selected.name) } else { None };
            let patch = ComponentPatch {
                error: Some(String::new()),
                staged: Some(staged_state(
                    &artifacts.unwrap_or_default(),
                    configuration.unwrap_or_default(),
                    Some((&request.tenant, request.name.as_str())),
                )),
                ..ComponentPatch::default()
            };
            patches.extend(selected.members.iter().map(|xname| (xname.to_string(), patch.clone())));
        }
        let plan = match resolved.selection.member_count() {
            0 => self.nothing(request).0,
            _ => self.compile(request, &resolved, &numbers)?.0,
        };
        let skips = skips(&resolved.selection, &numbers);
        let staging = Staging { template: resolved.template, plan, skips, patches };
        Ok(db::staged::keep(&self.pool, session.id, staging).await?)
    }

    /// The session that applies what `staged` has staged for these components.
    ///
    /// # Errors
    /// The database's only.
    pub async fn applying(
        &self,
        staged: &Session,
        xnames: &[String],
        actor: &str,
    ) -> Result<NewSession, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let version = db::staged::template_version(&mut conn, &staged.id).await?;
        let template = &staged.new.template_name;
        Ok(NewSession {
            name: Uuid::new_v4().to_string().parse().expect("a UUID is made of letters, digits and '-'"),
            template_name: version
                .map_or_else(|| template.clone(), |version| format!("{template}@{version}")),
            limit: xnames.join(","),
            stage: false,
            request: json!({ APPLIES: staged.new.name, STAGED_BY: staged.id }),
            actor: actor.to_owned(),
            ..staged.new.clone()
        })
    }

    /// Admits a waiting session that applies what another one has staged: what is in the components' records, which nobody
    /// has changed since. Templates, images and groups may be others by now.
    ///
    /// # Errors
    /// Those of an admission. Nothing was changed then.
    pub(super) async fn apply(&self, session: &Session) -> Result<(), Rejection> {
        let new = &session.new;
        let boots = new.operation != SHUTDOWN;
        let xnames: Vec<String> = new.limit.split(',').map(str::to_owned).collect();
        let (name, staged_by) = (applied_name(session), session.new.request[STAGED_BY].as_i64());
        let mut conn = db::acquire(&self.pool).await?;
        let frozen = db::staged::frozen(&mut conn, SessionId(staged_by.unwrap_or_default()));
        let frozen = frozen.await.map_err(|error| match error {
            db::DbError::NotFound { .. } => Rejection::Invalid(format!(
                "what session '{name}' staged is not kept any more; stage it again"
            )),
            error => error.into(),
        })?;
        let options = db::options::get(&mut conn).await?;
        let filter = ComponentFilter { xnames: Some(&xnames), ..ComponentFilter::default() };
        let mut components = db::component::list(&mut conn, &filter).await?;
        drop(conn);
        // Whoever was disabled or given something else to do in the meantime is not ours any more.
        components.retain(|one| one.enabled == Some(true) && one.session.as_deref() == Some(name));
        components.sort_unstable_by_key(|component| component.number);
        let names: BTreeMap<i32, Xname> =
            components.iter().filter_map(|one| Some((one.number, one.xname.parse().ok()?))).collect();
        let mut sorted = self.sort_desired(desired(components, &frozen), boots, new.include_disabled).await?;
        let boot_sets = if boots { &mut sorted.boot } else { &mut sorted.off };
        for boot_set in boot_sets.iter_mut() {
            let template = frozen.template.boot_sets.get(&boot_set.name);
            boot_set.boot_ordinal = template.and_then(|template| template.boot_ordinal);
            boot_set.shutdown_ordinal = template.and_then(|template| template.shutdown_ordinal);
        }
        let boot_sets = std::mem::take(boot_sets);
        let members: usize = boot_sets.iter().map(|boot_set| boot_set.members.len()).sum();
        if boots {
            sorted.skip_off(Reason::new(ReasonCode::Rejected, "nothing to boot is staged for it"));
        }
        let declared = self.declared(&new.operation)?;
        let plan = self.half(declared, &boot_sets, &options)?;
        let plan = plan.unwrap_or_else(|| self.empty(UnknownPolicy::Reboot));
        let skipped: BTreeMap<&str, usize> =
            sorted.skipped().into_iter().map(|(reason, count)| (reason.label(), count)).collect();
        let data = json!({
            "operation": new.operation, "template": new.template_name, "applies": name, "members": members,
            "skipped": skipped,
        });
        let admission = Admission {
            new: new.clone(),
            waiting: Some(session.id),
            template: frozen.template,
            workflow: declared.text.clone(),
            plan_hash: hash(&plan),
            plan,
            skips: sorted.skips,
            on_conflict: default_on_conflict(new.api),
            event: NewEvent { kind: EventKind::Admitted, actor: Some(new.actor.clone()), data },
            origin: Origin::Staged,
        };
        match db::admission::admit(&self.pool, admission).await {
            Ok(db::admission::Admitted::Claimed(holders)) => Err(Rejection::Claimed(named(holders, &names))),
            Ok(db::admission::Admitted::Frozen(frozen)) => {
                Err(Rejection::Frozen(freeze::named(frozen, &names)))
            }
            Ok(_) => Ok(()),
            Err(db::DbError::Conflict { .. }) => Err(Rejection::NameTaken(new.name.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Says in their records why staged components could not be applied; nothing where the session applies none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refuse_staged(&self, session: &Session, why: &str) -> Result<(), Rejection> {
        if session.new.request.get(APPLIES).is_none() {
            return Ok(());
        }
        let xnames = session.new.limit.split(',').map(str::to_owned).collect();
        let name = applied_name(session).to_owned();
        Ok(db::staged::refuse(&self.pool, xnames, name, why.to_owned()).await?)
    }
}

/// The staged session whose name the components of this one show.
fn applied_name(session: &Session) -> &str {
    session.new.request[APPLIES].as_str().unwrap_or_default()
}

/// What components are to become by their own records, in the boot sets they were staged in.
fn desired(components: Vec<Component>, frozen: &Frozen) -> Vec<Desired> {
    let mut known: HashMap<*const BootArtifacts, i32> = HashMap::new();
    let desired = components.into_iter().map(|component| {
        let boot_set = frozen.boot_sets.binary_search_by_key(&component.number, |(number, _)| *number);
        let artifacts = component.desired.artifacts.map(|artifacts| {
            // Equal ones are shared: where they are kept tells them apart, and admission numbers them.
            let next = i32::try_from(known.len()).unwrap_or(i32::MAX);
            let number = *known.entry(Arc::as_ptr(&artifacts)).or_insert(next);
            (BootArtifactsId(number), artifacts)
        });
        Desired {
            component: component.number,
            id: component.xname,
            artifacts,
            configuration: component.desired.configuration.unwrap_or_default(),
            boot_set: boot_set.ok().map(|at| frozen.boot_sets[at].1.clone()),
        }
    });
    desired.collect()
}

/// BOS's `staged_state`; of no session (with its tenant): nothing is staged. The tenant is not shown: names of sessions are
/// a tenant's own, and a record holds only the name.
pub fn staged_state(artifacts: &BootArtifacts, configuration: &str, session: Option<(&str, &str)>) -> Value {
    let mut state = json!({
        "boot_artifacts": {
            "kernel": artifacts.kernel,
            "initrd": artifacts.initrd,
            "kernel_parameters": artifacts.kernel_parameters,
        },
        "configuration": configuration,
    });
    if let Some((tenant, session)) = session {
        state["session"] = json!(session);
        state[STAGED_TENANT] = json!(tenant);
    }
    state
}
