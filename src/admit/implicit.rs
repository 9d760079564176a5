//! Implicit sessions: components that a client enabled without a session are driven to their desired state, as BOS's
//! operators would. What comes within [`GATHER_TIME`] is one session: a boot set for each distinct artifacts and
//! configuration, and one for all that are to be off. BOS's clients do not see it; in our own API it is a session like
//! any other.
//!
//! The wishes stand in the components' rows until the transaction that admits their session takes them. So any number of
//! replicas may look at them, one admits, and none of them has to live.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{
    Admit, Admitted, Rejection,
    desired_state::{Desired, Sorted},
};
use crate::{
    db::{
        self,
        admission::{Admission, Origin},
        component::Wish,
        session::{Api, NewSession},
    },
    model::{
        event::{EventKind, NewEvent},
        gate::Rollout,
        options::Options,
        plan::{Plan, UnknownPolicy},
        session::{OnConflict, Outcome},
        session_template::{BootSet, Configuration, SessionTemplate},
    },
    plan::{Binding, BoundBootSet, Mistake, compile, hash, join, workflow::Declared},
};

/// How long the first component waits for others.
const GATHER_TIME: Duration = Duration::from_secs(2);
/// Most components of one session.
const COMPONENTS_MAX: i64 = 100_000;
/// Most boot sets of one session; who would need one more waits for the next.
const BOOT_SETS_MAX: usize = 500;
/// What implicit sessions do: no operation that anybody can ask for.
pub const IMPLICIT: &str = "implicit";
/// How many of those who enabled components are named.
const ACTORS_SHOWN: usize = 3;

/// What came of a look at enabled components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gathered {
    /// Nobody waits.
    Nobody,
    /// Others may still join for so long.
    Until(Duration),
    /// A session was admitted.
    Admitted(Admitted),
    /// Somebody else was faster, or asked for something else in the meantime: look again.
    Changed,
}

impl Admit {
    /// Admits one session for the components that were enabled without one, if the oldest has waited for others long
    /// enough. Those that nothing can be done with say why in their records.
    ///
    /// # Errors
    /// A service or the database does not answer: everybody waits.
    pub async fn enabled(&self) -> Result<Gathered, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        match db::component::oldest_wish(&mut conn).await? {
            None => return Ok(Gathered::Nobody),
            Some(waited) if waited < GATHER_TIME => return Ok(Gathered::Until(GATHER_TIME - waited)),
            Some(_) => {}
        }
        let mut wishes = db::component::wishes(&mut conn, COMPONENTS_MAX).await?;
        let options = db::options::get(&mut conn).await?;
        // Whoever is frozen waits until that is over.
        let asked: Vec<i32> = wishes.iter().map(|wish| wish.component).collect();
        for frozen in db::freeze::covering(&mut conn, &asked, "").await? {
            wishes.retain(|wish| frozen.components.binary_search(&wish.component).is_err());
        }
        drop(conn);
        if wishes.is_empty() {
            return Ok(Gathered::Nobody);
        }
        keep_boot_sets(&mut wishes, BOOT_SETS_MAX);
        let desired = wishes.iter().map(|wish| Desired {
            component: wish.component,
            id: wish.id.clone(),
            artifacts: wish.artifacts.clone(),
            configuration: wish.configuration.clone(),
            boot_set: None,
        });
        let sorted = self.sort_desired(desired.collect(), true, true).await?;
        self.admit_wishes(&wishes, sorted, &options).await
    }

    async fn admit_wishes(
        &self,
        wishes: &[Wish],
        sorted: Sorted,
        options: &Options,
    ) -> Result<Gathered, Rejection> {
        let (boot, off) = (self.declared("boot")?, self.declared("shutdown")?);
        let (members, skipped) = (sorted.member_count(), sorted.skipped());
        let template = template(&sorted);
        let plan = match (self.half(boot, &sorted.boot, options)?, self.half(off, &sorted.off, options)?) {
            (Some(boot), Some(off)) => join(boot, off),
            (Some(plan), None) | (None, Some(plan)) => plan,
            (None, None) => self.empty(UnknownPolicy::Reboot),
        };
        let actor = actors(wishes);
        let labels: BTreeMap<&str, usize> =
            skipped.iter().map(|(reason, count)| (reason.label(), *count)).collect();
        let boot_sets: BTreeMap<&str, usize> = sorted
            .boot
            .iter()
            .chain(&sorted.off)
            .map(|boot_set| (boot_set.name.as_str(), boot_set.members.len()))
            .collect();
        let data = json!({
            "operation": IMPLICIT, "members": members, "boot_sets": boot_sets, "skipped": labels,
        });
        let admission = Admission {
            new: new_session(&actor),
            waiting: None,
            template,
            workflow: format!("# boot.yaml\n{}---\n# shutdown.yaml\n{}", boot.text, off.text),
            plan_hash: hash(&plan),
            plan,
            skips: sorted.skips,
            event: NewEvent { kind: EventKind::Admitted, actor: Some(actor), data },
            // What a client wants of a component now counts, whoever holds it.
            on_conflict: OnConflict::Preempt,
            origin: Origin::Wishes(wishes.iter().map(|wish| (wish.component, wish.version)).collect()),
        };
        match db::admission::admit(&self.pool, admission).await {
            Ok(db::admission::Admitted::Session(id) | db::admission::Admitted::TakingOver(id, _)) => {
                Ok(Gathered::Admitted(Admitted {
                    id,
                    members,
                    skipped,
                    outcome: (members == 0).then_some(Outcome::NothingToDo),
                    waits: false,
                    claimed: Vec::new(),
                    notes: Vec::new(),
                }))
            }
            Ok(
                db::admission::Admitted::Claimed(_)
                | db::admission::Admitted::Frozen(_)
                | db::admission::Admitted::Waiting(..),
            )
            | Err(db::DbError::Conflict { .. } | db::DbError::NotFound { .. }) => Ok(Gathered::Changed),
            Err(error) => Err(error.into()),
        }
    }

    /// The workflow of an operation that BOS has; a site may have replaced it.
    pub(super) fn declared(&self, operation: &str) -> Result<&Declared, Rejection> {
        self.workflows.get(operation).ok_or_else(|| Rejection::NoOperation {
            operation: operation.to_owned(),
            hint: String::new(),
            known: self.workflows.operations().collect::<Vec<_>>().join(", "),
        })
    }

    /// The plan for boot sets, if there are any.
    pub(super) fn half(
        &self,
        declared: &Declared,
        boot_sets: &[BoundBootSet],
        options: &Options,
    ) -> Result<Option<Plan>, Rejection> {
        if boot_sets.is_empty() {
            return Ok(None);
        }
        let binding = Binding {
            boot_sets: boot_sets.to_vec(),
            options,
            // As in BOS: what a node runs is what it reported, and nothing else.
            unknown: UnknownPolicy::Reboot,
            service_patience: self.settings.service_patience,
            threshold_percent: self.settings.threshold_percent,
            rollout: &Rollout::default(),
            power_intervals: Vec::new(),
        };
        let plan = compile(&declared.workflow, &binding)
            .map_err(|mistakes: Vec<Mistake>| Rejection::Plan(mistakes))?;
        Ok(Some(plan))
    }
}

/// Keeps the wishes that fit into so many boot sets.
fn keep_boot_sets(wishes: &mut Vec<Wish>, most: usize) {
    let mut known = std::collections::HashSet::new();
    wishes.retain(|wish| {
        let key = (wish.artifacts.as_ref().map(|(id, _)| *id), wish.configuration.clone());
        known.contains(&key) || (known.len() < most && known.insert(key))
    });
}

/// Who asked, as far as there is room.
fn actors(wishes: &[Wish]) -> String {
    let mut actors: Vec<&str> = wishes.iter().map(|wish| wish.actor.as_str()).collect();
    actors.sort_unstable();
    actors.dedup();
    let more = actors.len().saturating_sub(ACTORS_SHOWN);
    let shown = actors.iter().take(ACTORS_SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn new_session(actor: &str) -> NewSession {
    let number = Uuid::new_v4().simple().to_string();
    NewSession {
        name: format!("{IMPLICIT}-{}", &number[..12]).parse().expect("letters, digits and '-' are a name"),
        tenant: String::new(),
        operation: IMPLICIT.to_owned(),
        template_name: String::new(),
        api: Api::V2,
        limit: String::new(),
        include_disabled: true,
        stage: false,
        request: json!({}),
        actor: actor.to_owned(),
    }
}

/// What a template would say of it; who is in which boot set is in the session.
fn template(sorted: &Sorted) -> SessionTemplate {
    let boot_set = |bound: &BoundBootSet| BootSet {
        name: None,
        path: bound.artifacts.as_ref().map(|booted| booted.artifacts.kernel.clone()).unwrap_or_default(),
        kind: "artifacts".to_owned(),
        etag: None,
        kernel_parameters: bound.artifacts.as_ref().map(|booted| booted.artifacts.kernel_parameters.clone()),
        cfs: Some(Configuration { configuration: bound.configuration.clone() }),
        node_list: None,
        node_roles_groups: None,
        node_groups: None,
        arch: None,
        rootfs_provider: None,
        rootfs_provider_passthrough: None,
        boot_ordinal: None,
        shutdown_ordinal: None,
    };
    let boot_sets = sorted.boot.iter().chain(&sorted.off);
    SessionTemplate {
        description: Some("components that were enabled without a session".to_owned()),
        enable_cfs: None,
        cfs: None,
        partition: None,
        boot_sets: boot_sets.map(|bound| (bound.name.clone(), boot_set(bound))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_enabled_components_is_named() {
        assert_eq!(actors(&[]), "");
        assert!(new_session("a").name.as_str().starts_with("implicit-"));
    }
}
