//! Freezes and quarantine: whom they are for, and whom they keep out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Admit, Chosen, Rejection, SessionRequest};
use crate::{
    db::{self, freeze::NewFreeze},
    model::{Timestamp, freeze::Freeze, xname::Xname},
};

/// A maintenance lock as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeRequest {
    /// Why.
    pub reason: String,
    /// Whom it covers, as in a limit; empty: the whole machine.
    pub scope: String,
    /// Who is exempt, as in a limit; empty: nobody.
    pub exempt: String,
    /// Whose sessions are exempt.
    pub except_actors: Vec<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Who asks.
    pub actor: String,
}

/// A freeze that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenPart {
    /// The freeze.
    pub freeze: Freeze,
    /// Whom it covers of those asked for, in natural order.
    pub components: Vec<Xname>,
}

impl Admit {
    /// Freezes the machine or a part of it; the number of the freeze. HSM is asked only where the words need it.
    ///
    /// # Errors
    /// What cannot be read, or names nobody.
    pub async fn freeze(&self, request: FreezeRequest) -> Result<i64, Rejection> {
        let scope = match request.scope.as_str() {
            "" => None,
            scope => Some((scope.to_owned(), self.select("", scope).await?.components)),
        };
        let exempt = match request.exempt.as_str() {
            "" => Vec::new(),
            exempt => self.select("", exempt).await?.components,
        };
        let new = NewFreeze {
            reason: request.reason,
            actor: request.actor,
            scope,
            exempt: (request.exempt, exempt),
            except_actors: request.except_actors,
            until: request.until,
        };
        Ok(db::freeze::insert(&self.pool, new).await?)
    }

    /// Who of all components a selection names; sessions named in it are the tenant's.
    ///
    /// # Errors
    /// What cannot be read, or names nobody.
    pub async fn select(&self, tenant: &str, selection: &str) -> Result<Chosen, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let known = db::component::names(&mut conn).await?;
        drop(conn);
        let all: BTreeSet<&str> = known.iter().map(|(_, name)| name.as_str()).collect();
        let (_, meant) = self.meant(tenant, selection, &all).await?;
        let chosen = Chosen::of(known.iter().filter(|(_, name)| meant.contains(name)).cloned());
        match chosen.xnames.is_empty() {
            true => Err(Rejection::Invalid(format!("'{selection}' names no component that is known here"))),
            false => Ok(chosen),
        }
    }

    /// Refuses a session that a freeze keeps out now, as far as it can be told: one that cannot be resolved yet is looked at
    /// again when it is admitted.
    ///
    /// # Errors
    /// [`Rejection::Frozen`], and the database's.
    pub async fn refuse_frozen(&self, request: &SessionRequest) -> Result<(), Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let mut in_force = db::freeze::list(&mut conn, true, 1_000).await?;
        drop(conn);
        in_force.retain(|freeze| !freeze.except_actors.contains(&request.actor));
        if in_force.is_empty() {
            return Ok(());
        }
        let Ok(resolved) = self.resolve(request).await else {
            in_force.retain(|freeze| freeze.scope.is_empty() && freeze.exempt.is_empty());
            let frozen: Vec<FrozenPart> =
                in_force.into_iter().map(|freeze| FrozenPart { freeze, components: Vec::new() }).collect();
            return if frozen.is_empty() { Ok(()) } else { Err(Rejection::Frozen(frozen)) };
        };
        let numbers = self.preview_numbers(&resolved.selection.ids().collect::<Vec<_>>()).await?;
        let members = resolved.selection.boot_sets.iter().flat_map(|boot_set| &boot_set.members);
        let names: BTreeMap<i32, Xname> =
            members.filter_map(|xname| Some((numbers.get(&xname.to_string())?.0, *xname))).collect();
        let frozen = self.frozen(&names, &request.actor).await?;
        if frozen.is_empty() { Ok(()) } else { Err(Rejection::Frozen(frozen)) }
    }

    /// What keeps an actor from these components.
    pub(super) async fn frozen(
        &self,
        names: &BTreeMap<i32, Xname>,
        actor: &str,
    ) -> Result<Vec<FrozenPart>, Rejection> {
        let ids: Vec<i32> = names.keys().copied().collect();
        let mut conn = db::acquire(&self.pool).await?;
        Ok(named(db::freeze::covering(&mut conn, &ids, actor).await?, names))
    }
}

/// Freezes with names instead of numbers.
pub(super) fn named(frozen: Vec<db::freeze::Frozen>, names: &BTreeMap<i32, Xname>) -> Vec<FrozenPart> {
    let part = |frozen: db::freeze::Frozen| {
        let components = frozen.components.iter().filter_map(|number| names.get(number).copied());
        let mut components: Vec<Xname> = components.collect();
        components.sort_unstable();
        FrozenPart { freeze: frozen.freeze, components }
    };
    frozen.into_iter().map(part).collect()
}
