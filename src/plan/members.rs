//! Which components a session is for: the boot sets' own, within the template's partition, within the limit; and who of
//! them is left out, each with a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    limit::{Dialect, Limit, LimitError},
    reason::ReasonCode,
    selection::{Inventory, SelectedBootSet, Selection, Skipped},
    session_template::{Arch, BootSet, SessionTemplate},
    spelling,
    xname::{Xname, canonical},
};

mod names;
mod words;

use names::Names;
pub use words::are_plain;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The template.
    pub template: &'a SessionTemplate,
    /// The limit, as written.
    pub limit: &'a str,
    /// Whether components that HSM has disabled take part.
    pub include_disabled: bool,
    /// Whose rules: ours refuse what can only be a mistake, BOS's let it pass with a note.
    pub dialect: Dialect,
    /// Further names a limit may use, with what they stand for (`@failed:NAME`).
    pub named_sets: &'a BTreeMap<String, BTreeSet<String>>,
    /// The tenant's components, where a tenant asks.
    pub tenant: Option<&'a BTreeSet<String>>,
    /// Whether a limit may not name nodes by NID.
    pub reject_nids: bool,
}

/// Why there is no selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The limit cannot be read, or names what does not exist.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A name in the template that HSM does not know.
    #[error("{place}: there is no HSM {kind} '{name}'{hint}")]
    UnknownName {
        /// Where it stands.
        place: String,
        /// What it should be.
        kind: &'static str,
        /// The name.
        name: String,
        /// What might be meant.
        hint: String,
    },
    /// Components named by more than one boot set.
    #[error(
        "{} in two boot sets ({}); use a limit, or take them out of one", count(.components.len()), shown(.components)
    )]
    TwoBootSets {
        /// The component, and the boot sets that name it.
        components: Vec<(String, [String; 2])>,
    },
    /// A tenant's template names components of others.
    #[error("boot set {boot_set} names components that do not belong to the tenant: {}", few(.components))]
    NotTheTenants {
        /// The boot set.
        boot_set: String,
        /// The components.
        components: Vec<String>,
    },
    /// A boot set that names nobody, whatever the limit.
    #[error("boot set {boot_set} names nobody{}", .why.iter().map(|why| format!("; {why}")).collect::<String>())]
    EmptyBootSet {
        /// The boot set.
        boot_set: String,
        /// What might explain it.
        why: Vec<String>,
    },
    /// Nobody is selected at all, before anybody is left out.
    #[error("no component is selected{}", .notes.iter().map(|note| format!("; {note}")).collect::<String>())]
    Nobody {
        /// What might explain it.
        notes: Vec<String>,
    },
}

/// Says who takes part.
///
/// # Errors
/// See [`SelectionError`].
pub fn select(wanted: &Wanted<'_>, inventory: &Inventory) -> Result<Selection, SelectionError> {
    let limit = Limit::parse(wanted.limit, wanted.dialect)?;
    let mut names = Names::of(inventory, wanted.named_sets);
    let mut notes = Vec::new();
    if wanted.dialect == Dialect::Bosun {
        names.written = words::learn(&names, &limit, wanted.reject_nids)?;
        check_words(&limit, &names)?;
    }
    let mut named: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, boot_set) in &wanted.template.boot_sets {
        named.insert(name, boot_set_ids(name, boot_set, wanted, &names, &mut notes)?);
    }
    note_strangers(&limit, &names, &named, &mut notes);
    let named_at_all = named.values().flatten().map(String::as_str).collect();
    notes.extend(words::notes(&limit, &names, &named_at_all));
    let mut limited: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, ids) in &named {
        let all = ids.iter().map(String::as_str).collect();
        limited.insert(name, limit.select(&all, |word| names.members(word)));
    }
    let boot_set_of = assign(&limited, wanted.dialect, &mut notes)?;
    if boot_set_of.is_empty() {
        return Err(SelectionError::Nobody { notes });
    }
    let mut boot_sets: BTreeMap<&str, SelectedBootSet> = limited
        .keys()
        .map(|&name| {
            (name, SelectedBootSet { name: name.to_owned(), members: Vec::new(), skipped: Vec::new() })
        })
        .collect();
    for (id, name) in boot_set_of {
        let Some(selected) = boot_sets.get_mut(name) else { continue };
        let arch = wanted.template.boot_sets[name].arch.unwrap_or_default();
        match judge(id, Some(arch), wanted.include_disabled, inventory) {
            Ok(xname) => selected.members.push(xname),
            Err(reason) => selected.skipped.push(Skipped { reason, id: id.to_owned() }),
        }
    }
    let mut boot_sets: Vec<SelectedBootSet> = boot_sets.into_values().collect();
    for boot_set in &mut boot_sets {
        boot_set.members.sort_unstable();
        boot_set.skipped.sort_by_cached_key(|skipped| {
            let xname = skipped.id.parse::<Xname>().ok();
            (xname.is_none(), xname, skipped.id.clone())
        });
    }
    Ok(Selection { boot_sets, notes })
}

/// Who of these components a selection names. Where every word is plain ([`are_plain`]) an inventory of their names is
/// enough.
///
/// # Errors
/// What cannot be read, or names nobody.
pub fn choose(
    limit: &Limit,
    all: &BTreeSet<&str>,
    inventory: &Inventory,
    named_sets: &BTreeMap<String, BTreeSet<String>>,
    reject_nids: bool,
) -> Result<BTreeSet<String>, LimitError> {
    let mut names = Names::of(inventory, named_sets);
    names.written = words::learn(&names, limit, reject_nids)?;
    check_words(limit, &names)?;
    let chosen = limit.select(all, |word| names.members(word));
    Ok(chosen.into_iter().map(str::to_owned).collect())
}

/// Everybody a boot set names, within the partition and the tenant.
fn boot_set_ids(
    name: &str,
    boot_set: &BootSet,
    wanted: &Wanted<'_>,
    names: &Names<'_>,
    notes: &mut Vec<String>,
) -> Result<BTreeSet<String>, SelectionError> {
    let unknown = |place: String, kind, name: &str, known: &BTreeMap<String, BTreeSet<String>>| {
        let hint = spelling::hint(name, known.keys().map(String::as_str));
        SelectionError::UnknownName { place, kind, name: name.to_owned(), hint }
    };
    let place = || format!("boot set {name}");
    let mut why = Vec::new();
    let mut ids: BTreeSet<String> = boot_set.node_list.iter().flatten().map(|id| canonical(id)).collect();
    if let Some(tenant) = wanted.tenant {
        let components: Vec<String> = ids.iter().filter(|id| !tenant.contains(*id)).cloned().collect();
        if !components.is_empty() {
            return Err(SelectionError::NotTheTenants { boot_set: name.to_owned(), components });
        }
    }
    for group in boot_set.node_groups.iter().flatten() {
        match names.groups.get(group) {
            Some(members) => ids.extend(members.iter().cloned()),
            None => {
                let error = unknown(place(), "group", group, names.groups);
                if wanted.dialect == Dialect::Bosun {
                    return Err(error);
                }
                why.push(error.to_string());
            }
        }
    }
    for role in boot_set.node_roles_groups.iter().flatten() {
        match names.roles.get(role) {
            Some(members) => ids.extend(members.iter().cloned()),
            None => {
                let hint = spelling::hint(role, names.roles.keys().map(String::as_str));
                why.push(format!("{}: no node has the role '{role}'{hint}", place()));
            }
        }
    }
    if let Some(partition) = &wanted.template.partition {
        let members = names
            .partitions
            .get(partition)
            .ok_or_else(|| unknown("the template".to_owned(), "partition", partition, names.partitions))?;
        ids.retain(|id| members.contains(id));
        if ids.is_empty() {
            why.push(format!("nobody it names is in partition '{partition}'"));
        }
    }
    if let Some(tenant) = wanted.tenant {
        ids.retain(|id| tenant.contains(id));
    }
    if ids.is_empty() && wanted.dialect == Dialect::Bosun {
        return Err(SelectionError::EmptyBootSet { boot_set: name.to_owned(), why });
    }
    notes.append(&mut why);
    Ok(ids)
}

/// Refuses words of a limit that mean nothing; BOS lets them select nobody.
fn check_words(limit: &Limit, names: &Names<'_>) -> Result<(), LimitError> {
    let unknown = limit.words().find(|word| {
        names.members(word.text).is_none()
            && canonical(word.text).parse::<Xname>().is_err()
            && !names.components.contains_key(&canonical(word.text))
    });
    match unknown {
        None => Ok(()),
        Some(word) => {
            let hint = spelling::hint(word.text, names.all());
            let message = format!(
                "'{}' is no HSM group, partition or role, and not the xname of a node{hint}",
                word.text
            );
            Err(LimitError { column: word.column, message })
        }
    }
}

/// Notes the components that the limit names one by one although no boot set has them.
fn note_strangers(
    limit: &Limit,
    names: &Names<'_>,
    named: &BTreeMap<&str, BTreeSet<String>>,
    notes: &mut Vec<String>,
) {
    let strangers: Vec<String> = limit
        .words()
        .filter(|word| names.members(word.text).is_none())
        .map(|word| canonical(word.text))
        .filter(|id| !named.values().any(|ids| ids.contains(id)))
        .collect();
    if !strangers.is_empty() {
        notes.push(format!("the limit names what the template does not: {}", few(&strangers)));
    }
}

/// Gives every component its one boot set.
fn assign<'a>(
    limited: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    dialect: Dialect,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<&'a str, &'a str>, SelectionError> {
    let mut boot_set_of: BTreeMap<&str, &str> = BTreeMap::new();
    let mut twice = Vec::new();
    for (&name, ids) in limited {
        for &id in ids {
            // The last boot set by name wins, as in BOS.
            if let Some(other) = boot_set_of.insert(id, name) {
                twice.push((id.to_owned(), [other.to_owned(), name.to_owned()]));
            }
        }
    }
    if twice.is_empty() {
        return Ok(boot_set_of);
    }
    if dialect == Dialect::Bosun {
        return Err(SelectionError::TwoBootSets { components: twice });
    }
    notes.push(format!(
        "{} in two boot sets; the last by name was taken ({})",
        count(twice.len()),
        shown(&twice)
    ));
    Ok(boot_set_of)
}

/// Whether a component can take part; without `arch` in a boot set of any architecture.
///
/// # Errors
/// Why not.
pub fn judge(
    id: &str,
    arch: Option<Arch>,
    include_disabled: bool,
    inventory: &Inventory,
) -> Result<Xname, ReasonCode> {
    let component = inventory.components.get(id).ok_or(ReasonCode::UnknownComponent)?;
    let xname = id.parse().map_err(|_| ReasonCode::NotANode)?;
    if !component.is_node {
        return Err(ReasonCode::NotANode);
    }
    if inventory.locked.contains(id) {
        return Err(ReasonCode::Locked);
    }
    if inventory.quarantined.contains(id) {
        return Err(ReasonCode::Quarantined);
    }
    if inventory.parent_off(id).is_some() {
        return Err(ReasonCode::ParentOff);
    }
    if component.is_empty {
        return Err(ReasonCode::Empty);
    }
    if arch.is_some_and(|arch| !fits(arch, component.arch)) {
        return Err(ReasonCode::WrongArchitecture);
    }
    if !component.enabled && !include_disabled {
        return Err(ReasonCode::Disabled);
    }
    Ok(xname)
}

/// Whether a boot set of one architecture takes a node of another. Nodes whose architecture nobody knows count as X86:
/// so HSM's older records are meant, though BOS loses those that do not even say `UNKNOWN`.
fn fits(wanted: Arch, found: Arch) -> bool {
    wanted == found || (wanted == Arch::X86 && found == Arch::Unknown)
}

/// How many names a message lists before it only counts.
const NAMES_SHOWN: usize = 10;

fn count(components: usize) -> String {
    if components == 1 { "1 component is".to_owned() } else { format!("{components} components are") }
}

fn few(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let listed = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

fn shown(components: &[(String, [String; 2])]) -> String {
    let each: Vec<String> =
        components.iter().map(|(id, [one, other])| format!("{id}: {one} and {other}")).collect();
    few(&each)
}

#[cfg(test)]
mod tests;
