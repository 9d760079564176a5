//! Locks: the administrative flag, its rules of all or nothing, and who may make reservations.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State as Extract};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use super::reservation::{Holder, Reservation};

use super::component::component_ids;
use super::{Filter, Record, decoded, reservation};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json, query};
use crate::sim::layout::normalised;
use crate::sim::world::{NodeNo, World};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/locks/status", get(list).post(status))
        .route("/locks/lock", post(async |sim, body| change(&sim, &body, Verb::Lock)))
        .route("/locks/unlock", post(async |sim, body| change(&sim, &body, Verb::Unlock)))
        .route("/locks/disable", post(async |sim, body| change(&sim, &body, Verb::Disable)))
        .route("/locks/repair", post(async |sim, body| change(&sim, &body, Verb::Repair)))
        .merge(reservation::routes())
}

/// Why a component is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    NotFound,
    Locked,
    Unlocked,
    Disabled,
    Reserved,
}

impl Reason {
    /// The detail of a refused rigid request, which does not name the component.
    fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "Component not found",
            Self::Locked => "Component is Locked",
            Self::Unlocked => "Component is Unlocked",
            Self::Disabled => "Component reservations are disabled",
            Self::Reserved => "Component is Reserved",
        }
    }
}

/// A component left as it is, and why.
#[derive(Debug, Serialize)]
pub struct Failure {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Reason")]
    pub reason: Reason,
}

#[derive(Clone, Copy)]
enum Verb {
    Lock,
    Unlock,
    Disable,
    Repair,
}

impl Verb {
    fn check(self, record: &Record) -> Result<(), Reason> {
        match self {
            Self::Lock if record.locked => Err(Reason::Locked),
            Self::Unlock if !record.locked => Err(Reason::Unlocked),
            Self::Lock | Self::Unlock if record.reservation.is_some() => Err(Reason::Reserved),
            Self::Disable if record.reservations_disabled => Err(Reason::Disabled),
            _ => Ok(()),
        }
    }

    fn apply(self, record: &mut Record) {
        match self {
            Self::Lock => record.locked = true,
            Self::Unlock => record.locked = false,
            Self::Disable => {
                record.reservations_disabled = true;
                record.reservation = None;
            }
            Self::Repair => record.reservations_disabled = false,
        }
    }
}

/// Which components a body means, and whether it takes what it can get.
pub struct Targets {
    /// Each component, or the name of one that HSM does not know.
    pub nodes: Vec<Result<NodeNo, String>>,
    /// Do what can be done, and say what could not.
    pub flexible: bool,
}

impl Targets {
    /// Reads a body. Without ids and filters it means every component.
    pub fn read(world: &World, object: &Map<String, Value>) -> Result<Self, Refusal> {
        let model = object.get("ProcessingModel").and_then(Value::as_str).unwrap_or("rigid");
        let flexible = model.eq_ignore_ascii_case("flexible");
        if !flexible && !model.eq_ignore_ascii_case("rigid") && !model.is_empty() {
            return Err(bad("Invalid Processing Model"));
        }
        let members = object.iter().filter(|(key, _)| !is_ours(key));
        let members: Map<String, Value> = members.map(|(key, value)| (key.clone(), value.clone())).collect();
        let filter = Filter::read_object(&members)?;
        let ids = component_ids(object);
        let nodes: Vec<Result<NodeNo, String>> = if ids.is_empty() {
            filter.nodes(world).map(Ok).collect()
        } else {
            let admitted: Option<Vec<bool>> = (!filter.is_empty()).then(|| {
                let mut admitted = vec![false; world.nodes.len()];
                filter.nodes(world).for_each(|no| admitted[no] = true);
                admitted
            });
            let find = |id: String| match world.names.get(&normalised(&id)) {
                Some(&no) if world.hsm.records[no].present => Ok(no),
                _ => Err(id),
            };
            let wanted = |node: &Result<NodeNo, String>| match (&admitted, node) {
                (Some(admitted), Ok(no)) => admitted[*no],
                _ => true,
            };
            ids.into_iter().map(find).filter(wanted).collect()
        };
        if nodes.iter().all(Result::is_err) {
            return Err(bad(Reason::NotFound.detail()));
        }
        Ok(Self { nodes, flexible })
    }

    /// Splits the components into those that pass `check` and those that fail; a rigid request fails as a whole.
    pub fn sort(
        self,
        world: &World,
        check: impl Fn(&Record) -> Result<(), Reason>,
    ) -> Result<(Vec<NodeNo>, Vec<Failure>), Refusal> {
        let (mut fine, mut failures) = (Vec::new(), Vec::new());
        for node in self.nodes {
            let (id, reason) = match node {
                Err(id) => (id, Reason::NotFound),
                Ok(no) => match check(&world.hsm.records[no]) {
                    Ok(()) => {
                        fine.push(no);
                        continue;
                    }
                    Err(reason) => (world.nodes[no].xname.clone(), reason),
                },
            };
            if !self.flexible {
                return Err(bad(reason.detail()));
            }
            failures.push(Failure { id, reason });
        }
        Ok((fine, failures))
    }
}

fn is_ours(key: &str) -> bool {
    ["ComponentIDs", "ProcessingModel", "ReservationDuration"]
        .iter()
        .any(|ours| key.eq_ignore_ascii_case(ours))
}

fn change(Extract(sim): &Extract<Shared>, body: &Bytes, verb: Verb) -> Answer {
    let object: Map<String, Value> = decoded(body)?;
    sim.with(|world| {
        let (fine, failures) = Targets::read(world, &object)?.sort(world, |record| verb.check(record))?;
        fine.iter().for_each(|&no| verb.apply(&mut world.hsm.records[no]));
        let ids: Vec<&str> = fine.iter().map(|&no| world.nodes[no].xname.as_str()).collect();
        Ok(json(&json!({
            "Counts": {"Total": ids.len() + failures.len(), "Success": ids.len(), "Failure": failures.len()},
            "Success": {"ComponentIDs": ids},
            "Failure": failures,
        })))
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    locked: bool,
    reserved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    reservation_disabled: bool,
}

fn view(world: &World, no: NodeNo) -> Status<'_> {
    let record = &world.hsm.records[no];
    let reservation = record.reservation.as_ref();
    Status {
        id: &world.nodes[no].xname,
        locked: record.locked,
        reserved: reservation.is_some(),
        creation_time: reservation.map(|held| world.clock.seconds(held.created)),
        expiration_time: reservation.and_then(|held| held.expiry(world)),
        reservation_disabled: record.reservations_disabled,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statuses<'a> {
    components: Vec<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_found: Vec<String>,
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    Ok(sim.with(|world| {
        let components = filter.nodes(world).map(|no| view(world, no)).collect();
        json(&Statuses { components, not_found: Vec::new() })
    }))
}

async fn status(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let object: Map<String, Value> = decoded(&body)?;
    sim.with(|world| {
        let targets = Targets::read(world, &object)?;
        let (mut components, mut not_found) = (Vec::new(), Vec::new());
        for target in targets.nodes {
            match target {
                Ok(no) => components.push(view(world, no)),
                Err(id) => not_found.push(id),
            }
        }
        Ok(json(&Statuses { components, not_found }))
    })
}
