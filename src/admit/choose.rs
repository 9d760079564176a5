//! Who is meant where components of a session are named: the same words as in limits, HSM asked only where they need it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Admit, Rejection, inventory};
use crate::{
    db::{self, session::Session},
    model::{
        limit::{Dialect, Limit, LimitError},
        selection::Inventory,
        xname::Xname,
    },
    plan::members::{self, SelectionError},
};

/// What stands before the name of a session whose failed components are meant.
const FAILED_OF: &str = "@failed:";

/// Components of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Their numbers, ascending.
    pub components: Vec<i32>,
    /// Their names, in natural order.
    pub xnames: Vec<Xname>,
}

impl Chosen {
    /// Of these, by number and name.
    pub(super) fn of(found: impl IntoIterator<Item = (i32, String)>) -> Self {
        let (mut components, mut xnames) = (Vec::new(), Vec::new());
        for (component, name) in found {
            components.push(component);
            xnames.extend(name.parse::<Xname>());
        }
        components.sort_unstable();
        xnames.sort_unstable();
        Self { components, xnames }
    }
}

impl Admit {
    /// Who of those who take part in a session is meant.
    ///
    /// # Errors
    /// What cannot be read, names nobody, or does not take part.
    pub async fn choose(&self, session: &Session, selection: &str) -> Result<Chosen, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let members = db::session_component_batch::named_members(&mut conn, &session.id).await?;
        drop(conn);
        let all: BTreeSet<&str> = members.iter().map(|(_, name)| name.as_str()).collect();
        let (limit, meant) = self.meant(&session.new.tenant, selection, &all).await?;
        let single = |word: &str| word.parse::<Xname>().is_ok().then(|| crate::model::xname::canonical(word));
        let stranger =
            limit.words().find(|word| single(word.text).is_some_and(|id| !all.contains(id.as_str())));
        if let Some(word) = stranger {
            let message = format!("'{}' does not take part in session '{}'", word.text, session.new.name);
            return Err(SelectionError::from(LimitError { column: word.column, message }).into());
        }
        if meant.is_empty() {
            return Err(Rejection::Invalid(format!(
                "'{selection}' names nobody who takes part in session '{}'",
                session.new.name
            )));
        }
        Ok(Chosen::of(members.into_iter().filter(|(_, name)| meant.contains(name))))
    }

    /// Who of `all` a selection names.
    pub(super) async fn meant(
        &self,
        tenant: &str,
        selection: &str,
        all: &BTreeSet<&str>,
    ) -> Result<(Limit, BTreeSet<String>), Rejection> {
        let limit = Limit::parse(selection, Dialect::Bosun).map_err(SelectionError::from)?;
        let mut conn = db::acquire(&self.pool).await?;
        let named_sets = named_sets(&mut conn, tenant, &limit).await?;
        let options = db::options::get(&mut conn).await?;
        drop(conn);
        let inventory = match members::are_plain(&limit, |word| named_sets.contains_key(word)) {
            true => Inventory::of_names(all.iter().map(|name| (*name).to_owned())),
            false => inventory::ask(&self.services).await?,
        };
        let meant = members::choose(&limit, all, &inventory, &named_sets, options.reject_nids)
            .map_err(SelectionError::from)?;
        Ok((limit, meant))
    }
}

/// What `@failed:NAME` in a limit stands for.
pub(super) async fn named_sets(
    conn: &mut db::Connection,
    tenant: &str,
    limit: &Limit,
) -> Result<BTreeMap<String, BTreeSet<String>>, Rejection> {
    let mut sets = BTreeMap::new();
    for word in limit.words() {
        let Some(session) = word.text.strip_prefix(FAILED_OF) else { continue };
        let session = db::session::get(conn, tenant, session).await.map_err(|error| match error {
            db::DbError::NotFound { .. } => Rejection::Invalid(format!(
                "limit, column {}: session '{session}' does not exist",
                word.column
            )),
            error => error.into(),
        })?;
        let failed = db::result::failed(conn, &session.id).await?;
        sets.insert(word.text.to_owned(), failed.into_iter().map(|failed| failed.xname).collect());
    }
    Ok(sets)
}
