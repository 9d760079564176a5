//! Selections: which components a session is for. `plan::members` makes them out of a template, a limit and what HSM
//! says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{component::ComponentNo, reason::ReasonCode, session_template::Arch, xname::Xname};

/// What HSM says of the machine, asked once per admission.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Everything HSM knows, by canonical name.
    pub components: HashMap<String, InventoryComponent>,
    /// Members of every group.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Members of every partition.
    pub partitions: BTreeMap<String, BTreeSet<String>>,
    /// Components an administrator locked, or whose reservations are disabled.
    pub locked: BTreeSet<String>,
    /// Components in bosun's own quarantine.
    pub quarantined: BTreeSet<String>,
    /// Chassis and slots that are off; looked for only where nodes are to be powered on.
    pub parents_off: BTreeSet<String>,
}

/// What HSM says of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryComponent {
    /// Whether it is a node.
    pub is_node: bool,
    /// Whether its slot is empty.
    pub is_empty: bool,
    /// Whether it is enabled in HSM.
    pub enabled: bool,
    /// Its architecture; `Unknown` where HSM does not say.
    pub arch: Arch,
    /// Its role.
    pub role: Option<String>,
    /// Its sub-role.
    pub sub_role: Option<String>,
    /// Its number, where it has one.
    pub nid: Option<u32>,
    /// Its hardware class: `River`, `Mountain`, `Hill`.
    pub class: Option<String>,
}

/// Who takes part in a session, and who does not although the template and the limit name them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// By boot set, in the order of their names; also those without members.
    pub boot_sets: Vec<SelectedBootSet>,
    /// What a person should know about it: unknown names, nodes in two boot sets.
    pub notes: Vec<String>,
}

/// One boot set's share of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedBootSet {
    /// The boot set.
    pub name: String,
    /// Who takes part, in natural order.
    pub members: Vec<Xname>,
    /// Who is left out, in natural order where they are nodes.
    pub skipped: Vec<Skipped>,
}

/// A component that is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Why.
    pub reason: ReasonCode,
    /// Its canonical name.
    pub id: String,
}

impl Inventory {
    /// What a component sits in, if that is off: it cannot be powered on then.
    pub fn parent_off(&self, id: &str) -> Option<&str> {
        let within = |parent: &&String| {
            id.strip_prefix(parent.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        self.parents_off.iter().find(within).map(String::as_str)
    }

    /// The little that is known of components by their names alone.
    pub fn of_names(names: impl IntoIterator<Item = String>) -> Self {
        let known = InventoryComponent {
            is_node: true,
            is_empty: false,
            enabled: true,
            arch: Arch::Unknown,
            role: None,
            sub_role: None,
            nid: None,
            class: None,
        };
        let components = names.into_iter().map(|name| (name, known.clone())).collect();
        Self { components, ..Self::default() }
    }
}

impl Selection {
    /// How many take part.
    pub fn member_count(&self) -> usize {
        self.boot_sets.iter().map(|boot_set| boot_set.members.len()).sum()
    }

    /// How many are left out.
    pub fn skipped_count(&self) -> usize {
        self.boot_sets.iter().map(|boot_set| boot_set.skipped.len()).sum()
    }

    /// Every component named, member or not.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.boot_sets.iter().flat_map(|boot_set| {
            let skipped = boot_set.skipped.iter().map(|skipped| skipped.id.clone());
            boot_set.members.iter().map(Xname::to_string).chain(skipped)
        })
    }

    /// How many are left out for each reason.
    pub fn skips_by_reason(&self) -> BTreeMap<ReasonCode, usize> {
        let mut counts = BTreeMap::new();
        for skipped in self.boot_sets.iter().flat_map(|boot_set| &boot_set.skipped) {
            *counts.entry(skipped.reason).or_default() += 1;
        }
        counts
    }
}

/// The database's numbers of the components of a selection.
pub type ComponentNumbers = HashMap<String, ComponentNo>;
