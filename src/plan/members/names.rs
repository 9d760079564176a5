//! What the words of templates and limits stand for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::selection::{Inventory, InventoryComponent};

/// What a word can stand for.
pub(super) struct Names<'a> {
    pub components: &'a HashMap<String, InventoryComponent>,
    pub groups: &'a BTreeMap<String, BTreeSet<String>>,
    pub partitions: &'a BTreeMap<String, BTreeSet<String>>,
    /// `Compute`, and `Application_UAN`.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    others: &'a BTreeMap<String, BTreeSet<String>>,
    /// What else a limit's words stand for: ranges, parents, NIDs, `@group`.
    pub written: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Names<'a> {
    /// What HSM's words stand for, and `others` beside them.
    pub fn of(inventory: &'a Inventory, others: &'a BTreeMap<String, BTreeSet<String>>) -> Self {
        let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, component) in inventory.components.iter().filter(|(_, component)| component.is_node) {
            let Some(role) = &component.role else { continue };
            let sub_role = component.sub_role.as_ref().map(|sub_role| format!("{role}_{sub_role}"));
            for name in [Some(role.clone()), sub_role].into_iter().flatten() {
                roles.entry(name).or_default().insert(id.clone());
            }
        }
        let Inventory { components, groups, partitions, .. } = inventory;
        Self { components, groups, partitions, roles, others, written: BTreeMap::new() }
    }

    /// Whom a word stands for. A role of the same name as a partition, and a partition of the same name as a group, win: as in BOS.
    pub fn members(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.others
            .get(name)
            .or_else(|| self.roles.get(name))
            .or_else(|| self.partitions.get(name))
            .or_else(|| self.groups.get(name))
            .or_else(|| self.written.get(name))
    }

    /// Every word of HSM's.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().chain(self.partitions.keys()).chain(self.groups.keys()).map(String::as_str)
    }
}
