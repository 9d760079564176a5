//! `State/Components`: reading components, with HSM's filters.

use std::collections::HashSet;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::Value;

use super::{ARCHES, CLASSES, FLAGS, ROLES, SUB_ROLES, State, canonical, decoded};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json, missing, query};
use crate::sim::layout::{Kind, TYPES, is_within, kind_of, normalised};
use crate::sim::world::{NodeNo, World};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/State/Components", get(list).post(super::patch::upsert))
        .route("/State/Components/{xname}", get(one).delete(super::patch::delete))
        .route("/State/Components/Query", post(query_post))
        .route("/State/Components/Query/{xname}", get(query_one))
        .route("/State/Components/ByNID/{nid}", get(by_nid))
        .route("/State/Components/ByNID/Query", post(by_nid_query))
}

/// A component as HSM shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View<'a> {
    #[serde(rename = "ID")]
    pub id: &'a str,
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_role: Option<&'static str>,
    #[serde(rename = "NID", skip_serializing_if = "Option::is_none")]
    pub nid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reservation_disabled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
}

impl<'a> View<'a> {
    fn node(world: &'a World, no: NodeNo) -> Self {
        let record = &world.hsm.records[no];
        Self {
            id: &world.nodes[no].xname,
            kind: Kind::Node.name(),
            state: Some(record.state.name()),
            flag: Some(record.flag),
            enabled: Some(record.enabled),
            software_status: record.software_status.as_deref(),
            role: Some(record.role),
            sub_role: record.sub_role,
            nid: Some(record.nid),
            net_type: Some("Sling"),
            arch: Some(record.arch),
            class: Some("Mountain"),
            reservation_disabled: record.reservations_disabled,
            locked: record.locked,
        }
    }

    fn parent(id: &'a str, kind: Kind) -> Self {
        let state = if kind == Kind::NodeBmc { State::Ready } else { State::On };
        Self {
            id,
            kind: kind.name(),
            state: Some(state.name()),
            flag: Some("OK"),
            enabled: Some(true),
            software_status: None,
            role: None,
            sub_role: None,
            nid: None,
            net_type: Some("Sling"),
            arch: Some("X86"),
            class: Some("Mountain"),
            reservation_disabled: false,
            locked: false,
        }
    }
}

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
    ids: Option<Vec<String>>,
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
    pub fn read_object(object: &serde_json::Map<String, Value>) -> Result<Self, Refusal> {
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
    fn views<'a>(&self, world: &'a World) -> Vec<View<'a>> {
        let nodes_only = self.choices.iter().any(|(key, choice)| {
            *key == Key::Type
                && choice.any.iter().all(|kind| kind.eq_ignore_ascii_case("node"))
                && !choice.any.is_empty()
        });
        let mut views: Vec<View<'a>> = self.nodes(world).map(|no| View::node(world, no)).collect();
        if !nodes_only {
            let parents = world.parents.iter().map(|(id, kind)| View::parent(id, *kind));
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

fn in_group(
    groups: &std::collections::BTreeMap<String, super::Group>,
    choice: &Choice,
    no: Option<NodeNo>,
) -> bool {
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

/// The answer to every listing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Components<'a> {
    components: Vec<View<'a>>,
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    Ok(sim.with(|world| json(&Components { components: filter.views(world) })))
}

async fn one(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    let xname = normalised(&xname);
    sim.with(|world| match find(world, &xname) {
        Some(view) => Ok(json(&view)),
        None => Err(missing("no such xname.")),
    })
}

fn find<'a>(world: &'a World, xname: &str) -> Option<View<'a>> {
    match world.names.get(xname) {
        Some(&no) => world.hsm.records[no].present.then(|| View::node(world, no)),
        None => world.parents.iter().find(|(id, _)| id == xname).map(|(id, kind)| View::parent(id, *kind)),
    }
}

async fn query_post(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    // Here, and only here, HSM blames itself for bad JSON.
    let object: serde_json::Map<String, Value> =
        decoded(&body).map_err(|refusal| Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, ..refusal })?;
    let ids = component_ids(&object);
    if ids.is_empty() {
        return Err(bad("Missing IDs"));
    }
    let filter = Filter::read_object(&object)?;
    Ok(sim.with(|world| json(&Components { components: descend(world, filter, &ids) })))
}

async fn query_one(
    Extract(sim): Extract<Shared>,
    Path(xname): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    Ok(sim.with(|world| json(&Components { components: descend(world, filter, &[xname]) })))
}

/// The ids of a body, whatever the case of the key.
pub fn component_ids(object: &serde_json::Map<String, Value>) -> Vec<String> {
    let ids = object.iter().find(|(key, _)| key.eq_ignore_ascii_case("ComponentIDs"));
    let words = ids.and_then(|(_, value)| value.as_array()).into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The components named by `ids` and all below them.
fn descend<'a>(world: &'a World, mut filter: Filter, ids: &[String]) -> Vec<View<'a>> {
    let ids: Vec<String> = ids.iter().map(|id| normalised(id)).collect();
    if ids.iter().any(|id| id == "all" || id == "s0") {
        return filter.views(world);
    }
    let is_parent = |id: &&String| kind_of(id).is_some_and(|kind| kind != Kind::Node);
    let parents: Vec<&String> = ids.iter().filter(is_parent).collect();
    let mut wanted: Vec<String> = ids.iter().filter(|id| world.names.contains_key(*id)).cloned().collect();
    if !parents.is_empty() {
        let below = |id: &str| parents.iter().any(|parent| is_within(id, parent));
        wanted.extend(world.nodes.iter().filter(|node| below(&node.xname)).map(|node| node.xname.clone()));
        wanted.extend(world.parents.iter().filter(|(id, _)| below(id)).map(|(id, _)| id.clone()));
    }
    wanted.sort_unstable();
    wanted.dedup();
    filter.ids = Some(wanted);
    filter.views(world)
}

async fn by_nid(Extract(sim): Extract<Shared>, Path(nid): Path<String>) -> Answer {
    sim.with(|world| {
        let wanted = nid.parse::<u32>().ok();
        let found = (0..world.nodes.len())
            .find(|&no| Some(world.hsm.records[no].nid) == wanted && world.hsm.records[no].present);
        match found {
            Some(no) => Ok(json(&View::node(world, no))),
            None => Err(missing("no such NID.")),
        }
    })
}

async fn by_nid_query(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    #[derive(serde::Deserialize)]
    struct Ranges {
        #[serde(rename = "NIDRanges")]
        ranges: Vec<String>,
    }
    let Ranges { ranges } = decoded(&body)?;
    let bounds: Option<Vec<(u32, u32)>> = ranges
        .iter()
        .map(|range| {
            let (start, end) = range.split_once('-').unwrap_or((range, range));
            Some((start.trim().parse().ok()?, end.trim().parse().ok()?))
        })
        .collect();
    let bounds = bounds.ok_or_else(|| bad("Argument was not a valid NID Range"))?;
    Ok(sim.with(|world| {
        let within = |nid: u32| bounds.iter().any(|&(start, end)| (start..=end).contains(&nid));
        let found = (0..world.nodes.len())
            .filter(|&no| world.hsm.records[no].present && within(world.hsm.records[no].nid));
        json(&Components { components: found.map(|no| View::node(world, no)).collect() })
    }))
}
