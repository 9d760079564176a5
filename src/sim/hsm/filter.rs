//! HSM's component filter, which half of its calls take.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::component::View;
use super::{ARCHES, CLASSES, FLAGS, Group, ROLES, SUB_ROLES, State, canonical};
use crate::sim::http::{Refusal, bad};
use crate::sim::layout::{Kind, TYPES, normalised};
use crate::sim::world::{NodeNo, World};

/// Values asked for under one key: any of the first, none of the second.
#[derive(Debug, Default)]
struct Choice {
    any: Vec<String>,
    none: Vec<String>,
}

impl Choice {
    fn admits(&self, value: &str) -> bool {
        let is = |wanted: &String| wanted.eq_ignore_ascii_case(value);
        (self.any.is_empty() || self.any.iter().any(is)) && !self.none.iter().any(is)
    }
}

/// HSM's component filter: OR within a key, AND between keys.
#[derive(Debug, Default)]
pub struct Filter {
    choices: Vec<(Key, Choice)>,
    /// Only these, in HSM's spelling.
    pub ids: Option<Vec<String>>,
    only: Option<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Type,
    State,
    Flag,
    Enabled,
    SoftwareStatus,
    Role,
    SubRole,
    Arch,
    Class,
    Nid,
    NidStart,
    NidEnd,
    Group,
    Partition,
    Locked,
    Reserved,
    ReservationDisabled,
}

impl Key {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "type" => Self::Type,
            "state" => Self::State,
            "flag" => Self::Flag,
            "enabled" => Self::Enabled,
            "softwarestatus" => Self::SoftwareStatus,
            "role" => Self::Role,
            "subrole" => Self::SubRole,
            "arch" => Self::Arch,
            "class" => Self::Class,
            "nid" => Self::Nid,
            "nid_start" | "nidstart" => Self::NidStart,
            "nid_end" | "nidend" => Self::NidEnd,
            "group" => Self::Group,
            "partition" => Self::Partition,
            "locked" => Self::Locked,
            "reserved" => Self::Reserved,
            "reservationdisabled" => Self::ReservationDisabled,
            _ => return None,
        })
    }

    /// Whether HSM knows this value; the error names the key as HSM does.
    fn check(self, value: &str) -> Result<(), &'static str> {
        let (known, name) = match self {
            Self::Type => (TYPES.contains(&value.to_lowercase().as_str()), "Type"),
            Self::State => (State::read(value).is_some(), "State"),
            Self::Flag => (canonical(&FLAGS, value).is_some(), "Flag"),
            Self::Role => (canonical(&ROLES, value).is_some(), "Role"),
            Self::SubRole => (canonical(&SUB_ROLES, value).is_some(), "SubRole"),
            Self::Arch => (canonical(&ARCHES, value).is_some(), "Arch"),
            Self::Class => (canonical(&CLASSES, value).is_some(), "Class"),
            Self::Nid | Self::NidStart | Self::NidEnd => (value.parse::<u32>().is_ok(), "NID"),
            _ => (true, ""),
        };
        if known { Ok(()) } else { Err(name) }
    }
}

impl Filter {
    /// Reads a filter from parameters; keys that HSM does not know are ignored.
    pub fn read(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Refusal> {
        let mut filter = Self::default();
        for (key, value) in pairs {
            let key = key.to_ascii_lowercase();
            match key.as_str() {
                "id" => {
                    filter.ids.get_or_insert_default().push(normalised(&value));
                    continue;
                }
                "stateonly" | "flagonly" | "roleonly" | "nidonly" if value.eq_ignore_ascii_case("true") => {
                    filter.only = Key::read(key.trim_end_matches("only"));
                    continue;
                }
                _ => {}
            }
            let Some(key) = Key::read(&key) else { continue };
            let (negated, value) = match value.strip_prefix('!') {
                Some(value) => (true, value.to_owned()),
                None => (false, value),
            };
            key.check(&value)
                .map_err(|name| bad(format!("bad query param: Argument was not a valid HMS {name}")))?;
            let choice = match filter.choices.iter().position(|(known, _)| *known == key) {
                Some(at) => &mut filter.choices[at].1,
                None => {
                    filter.choices.push((key, Choice::default()));
                    let last = filter.choices.len() - 1;
                    &mut filter.choices[last].1
                }
            };
            if negated { choice.none.push(value) } else { choice.any.push(value) }
        }
        if let Some(ids) = &mut filter.ids {
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(filter)
    }

    /// Reads a filter from the members of a JSON object; `ComponentIDs` and what is no filter is ignored.
    pub fn read_object(object: &Map<String, Value>) -> Result<Self, Refusal> {
        let word = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut pairs = Vec::new();
        for (key, value) in object {
            match value {
                Value::Array(_) if key.eq_ignore_ascii_case("id") => {}
                Value::Array(values) => pairs.extend(values.iter().map(|value| (key.clone(), word(value)))),
                value => pairs.push((key.clone(), word(value))),
            }
        }
        Self::read(pairs)
    }

    /// Whether it asks for anything at all.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty() && self.ids.is_none()
    }

    fn admits_node(&self, world: &World, no: NodeNo, view: &View<'_>) -> bool {
        self.choices.iter().all(|(key, choice)| match key {
            Key::Group => in_group(&world.hsm.groups, choice, Some(no)),
            Key::Partition => in_group(&world.hsm.partitions, choice, Some(no)),
            Key::Reserved => choice.admits(flag(world.hsm.records[no].reservation.is_some())),
            _ => admits(*key, choice, view),
        })
    }

    fn admits_parent(&self, world: &World, view: &View<'_>) -> bool {
        self.choices.iter().all(|(key, choice)| match key {
            Key::Group => in_group(&world.hsm.groups, choice, None),
            Key::Partition => in_group(&world.hsm.partitions, choice, None),
            Key::Reserved => choice.admits("false"),
            _ => admits(*key, choice, view),
        })
    }

    /// The nodes that HSM knows and the filter admits.
    pub fn nodes<'a>(&'a self, world: &'a World) -> impl Iterator<Item = NodeNo> + 'a {
        let wanted = self.ids.as_ref().map(|ids| ids.iter().filter_map(|id| world.names.get(id)).copied());
        let all = if wanted.is_none() { 0..world.nodes.len() } else { 0..0 };
        wanted.into_iter().flatten().chain(all).filter(|&no| {
            world.hsm.records[no].present && self.admits_node(world, no, &View::node(world, no))
        })
    }

    /// Every component that the filter admits.
    pub fn views<'a>(&self, world: &'a World) -> Vec<View<'a>> {
        let nodes_only = self.choices.iter().any(|(key, choice)| {
            *key == Key::Type
                && choice.any.iter().all(|kind| kind.eq_ignore_ascii_case("node"))
                && !choice.any.is_empty()
        });
        let mut views: Vec<View<'a>> = self.nodes(world).map(|no| View::node(world, no)).collect();
        if !nodes_only {
            let parents = world.parents.iter().map(|(id, kind)| View::parent_now(world, id, *kind));
            let ids: Option<HashSet<&str>> =
                self.ids.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
            let asked = |view: &View<'_>| ids.as_ref().is_none_or(|ids| ids.contains(view.id));
            views.extend(parents.filter(|view| asked(view) && self.admits_parent(world, view)));
        }
        if let Some(only) = self.only {
            views.iter_mut().for_each(|view| reduce(view, only));
        }
        views
    }
}

/// Keeps of a component only its id, type and what was asked for.
fn reduce(view: &mut View<'_>, only: Key) {
    let (state, flag, role, sub_role, nid) = (view.state, view.flag, view.role, view.sub_role, view.nid);
    *view =
        View { id: view.id, kind: view.kind, state: None, flag: None, ..View::parent(view.id, Kind::Node) };
    (view.enabled, view.net_type, view.arch, view.class) = (None, None, None, None);
    match only {
        Key::State => (view.state, view.flag) = (state, flag),
        Key::Flag => view.flag = flag,
        Key::Role => (view.role, view.sub_role) = (role, sub_role),
        _ => view.nid = nid,
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn in_group(groups: &BTreeMap<String, Group>, choice: &Choice, no: Option<NodeNo>) -> bool {
    let member = |label: &String| match groups.get(&label.to_lowercase()) {
        Some(group) => no.is_some_and(|no| group.members.contains(&no)),
        None if label.eq_ignore_ascii_case("null") => {
            no.is_none_or(|no| !groups.values().any(|group| group.members.contains(&no)))
        }
        None => false,
    };
    (choice.any.is_empty() || choice.any.iter().any(member)) && !choice.none.iter().any(member)
}

fn admits(key: Key, choice: &Choice, view: &View<'_>) -> bool {
    match key {
        Key::Type => choice.admits(view.kind),
        Key::State => choice.admits(view.state.unwrap_or_default()),
        Key::Flag => choice.admits(view.flag.unwrap_or_default()),
        Key::Enabled => choice.admits(flag(view.enabled.unwrap_or_default())),
        Key::SoftwareStatus => choice.admits(view.software_status.unwrap_or_default()),
        Key::Role => choice.admits(view.role.unwrap_or_default()),
        Key::SubRole => choice.admits(view.sub_role.unwrap_or_default()),
        Key::Arch => choice.admits(view.arch.unwrap_or_default()),
        Key::Class => choice.admits(view.class.unwrap_or_default()),
        Key::Nid => choice.admits(&view.nid.map_or_else(String::new, |nid| nid.to_string())),
        Key::NidStart | Key::NidEnd => {
            let bound = choice.any.iter().filter_map(|value| value.parse::<u32>().ok());
            view.nid.is_some_and(|nid| match key {
                Key::NidStart => bound.min().is_none_or(|start| nid >= start),
                _ => bound.max().is_none_or(|end| nid <= end),
            })
        }
        Key::Locked => choice.admits(flag(view.locked)),
        Key::ReservationDisabled => choice.admits(flag(view.reservation_disabled)),
        Key::Group | Key::Partition | Key::Reserved => true,
    }
}
