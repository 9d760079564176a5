//! `State/Components`: reading components.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;

use super::{Filter, State, decoded};
use crate::sim::Shared;
use crate::sim::http::{Answer, Object, Refusal, bad, json_text, missing, query};
use crate::sim::layout::{Kind, is_within, kind_of, normalised};
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
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub id: &'a str,
    pub kind: &'static str,
    pub state: Option<&'static str>,
    pub flag: Option<&'static str>,
    pub enabled: Option<bool>,
    pub software_status: Option<&'a str>,
    pub role: Option<&'static str>,
    pub sub_role: Option<&'static str>,
    pub nid: Option<u32>,
    pub net_type: Option<&'static str>,
    pub arch: Option<&'static str>,
    pub class: Option<&'static str>,
    pub reservation_disabled: bool,
    pub locked: bool,
}

impl<'a> View<'a> {
    /// Writes it, without what is absent.
    fn write(&self, out: &mut String) {
        let mut object = Object::begin(out);
        object.text("ID", self.id);
        object.text("Type", self.kind);
        let texts =
            [("State", self.state), ("Flag", self.flag), ("Role", self.role), ("SubRole", self.sub_role)];
        let more = [("NetType", self.net_type), ("Arch", self.arch), ("Class", self.class)];
        for (key, value) in texts.into_iter().chain(more) {
            if let Some(value) = value {
                object.text(key, value);
            }
        }
        if let Some(enabled) = self.enabled {
            object.raw("Enabled", if enabled { "true" } else { "false" });
        }
        if let Some(nid) = self.nid {
            object.raw("NID", &nid.to_string());
        }
        if let Some(status) = self.software_status {
            object.raw("SoftwareStatus", &serde_json::Value::from(status).to_string());
        }
        for (key, value) in [("ReservationDisabled", self.reservation_disabled), ("Locked", self.locked)] {
            if value {
                object.raw(key, "true");
            }
        }
        object.end();
    }

    /// A node.
    pub fn node(world: &'a World, no: NodeNo) -> Self {
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

    /// Something that nodes sit in, as it is now.
    pub fn parent_now(world: &World, id: &'a str, kind: Kind) -> Self {
        let off = world.parents_off.contains(id).then(|| State::Off.name());
        let view = Self::parent(id, kind);
        Self { state: off.or(view.state), ..view }
    }

    /// Something that nodes sit in.
    pub fn parent(id: &'a str, kind: Kind) -> Self {
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

/// The answer to every listing.
fn components<'a>(views: impl IntoIterator<Item = View<'a>>) -> Response {
    let mut out = String::from("{\"Components\":[");
    for (at, view) in views.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        view.write(&mut out);
    }
    out.push_str("]}");
    json_text(out)
}

fn component(view: &View<'_>) -> Response {
    let mut out = String::new();
    view.write(&mut out);
    json_text(out)
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    Ok(sim.with(|world| components(filter.views(world))))
}

async fn one(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    let xname = normalised(&xname);
    sim.with(|world| match find(world, &xname) {
        Some(view) => Ok(component(&view)),
        None => Err(missing("no such xname.")),
    })
}

fn find<'a>(world: &'a World, xname: &str) -> Option<View<'a>> {
    match world.names.get(xname) {
        Some(&no) => world.hsm.records[no].present.then(|| View::node(world, no)),
        None => world
            .parents
            .iter()
            .find(|(id, _)| id == xname)
            .map(|(id, kind)| View::parent_now(world, id, *kind)),
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
    Ok(sim.with(|world| components(descend(world, filter, &ids))))
}

async fn query_one(
    Extract(sim): Extract<Shared>,
    Path(xname): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    Ok(sim.with(|world| components(descend(world, filter, &[xname]))))
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
            Some(no) => Ok(component(&View::node(world, no))),
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
        components(found.map(|no| View::node(world, no)))
    }))
}
