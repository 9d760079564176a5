//! Writes to components: state, enabled, role and the rest, one by one and in bulk.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::routing::patch;
use serde::Deserialize;

use super::{FLAGS, ROLES, Record, SUB_ROLES, State, canonical, decoded, deleted, silence};
use crate::sim::Shared;
use crate::sim::faults::NodeFaults;
use crate::sim::http::{Answer, Refusal, bad, missing, refuse};
use crate::sim::layout::{Kind, kind_of, normalised};
use crate::sim::machine::Node;
use crate::sim::world::World;

/// New components that one body may bring: each takes 15 of the 65,535 bind parameters of one statement.
const MOST_NEW_COMPONENTS: usize = 4369;

/// The routes.
pub fn routes() -> Router<Shared> {
    let mut router = Router::new();
    for field in ["StateData", "FlagOnly", "Enabled", "SoftwareStatus", "Role", "NID"] {
        router = router
            .route(&format!("/State/Components/{{xname}}/{field}"), patch(one))
            .route(&format!("/State/Components/Bulk{field}"), patch(bulk));
    }
    router
}

/// The body of every patch; the path says which members count, but no other can be meant.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Patch {
    #[serde(rename = "ComponentIDs")]
    component_ids: Vec<String>,
    state: Option<String>,
    flag: Option<String>,
    force: bool,
    enabled: Option<bool>,
    software_status: Option<String>,
    role: Option<String>,
    sub_role: Option<String>,
    #[serde(rename = "NID")]
    nid: Option<u32>,
}

/// A patch whose values HSM knows.
struct Change {
    state: Option<State>,
    flag: Option<&'static str>,
    force: bool,
    enabled: Option<bool>,
    software_status: Option<String>,
    role: Option<(&'static str, Option<&'static str>)>,
    nid: Option<u32>,
}

impl Change {
    fn read(patch: Patch) -> Result<Self, Refusal> {
        let bad = |what: &str| bad(format!("bad request: Argument was not a valid HMS {what}"));
        let sub_role = match &patch.sub_role {
            Some(name) => Some(canonical(&SUB_ROLES, name).ok_or_else(|| bad("SubRole"))?),
            None => None,
        };
        let role = match &patch.role {
            Some(name) => Some((canonical(&ROLES, name).ok_or_else(|| bad("Role"))?, sub_role)),
            None => None,
        };
        let state = match &patch.state {
            Some(name) => Some(State::read(name).ok_or_else(|| bad("State"))?),
            None => None,
        };
        let flag = match &patch.flag {
            Some(name) => Some(canonical(&FLAGS, name).ok_or_else(|| bad("Flag"))?),
            None => None,
        };
        Ok(Self {
            state,
            flag,
            force: patch.force,
            enabled: patch.enabled,
            software_status: patch.software_status,
            role,
            nid: patch.nid,
        })
    }

    fn apply(&self, record: &mut Record) {
        if let Some(state) = self.state {
            if !self.force && !record.state.may_become(state) {
                return;
            }
            record.state = state;
            record.flag = self.flag.unwrap_or("OK");
        } else if let Some(flag) = self.flag {
            record.flag = flag;
        }
        if let Some(enabled) = self.enabled {
            record.enabled = enabled;
        }
        if let Some(status) = &self.software_status {
            record.software_status = Some(status.clone()).filter(|status| !status.is_empty());
        }
        if let Some((role, sub_role)) = self.role {
            (record.role, record.sub_role) = (role, sub_role);
        }
        if let Some(nid) = self.nid {
            record.nid = nid;
        }
    }
}

async fn one(Extract(sim): Extract<Shared>, Path(xname): Path<String>, body: Bytes) -> Answer {
    change(&sim, &body, Some(xname))
}

async fn bulk(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    change(&sim, &body, None)
}

fn change(sim: &Shared, body: &[u8], xname: Option<String>) -> Answer {
    let patch: Patch = decoded(body)?;
    let ids = xname.map_or_else(|| patch.component_ids.clone(), |xname| vec![xname]);
    if ids.is_empty() {
        return Err(bad("Missing IDs"));
    }
    let change = Change::read(patch)?;
    Ok(sim.with(|world| {
        for id in ids {
            if let Some(&no) = world.names.get(&normalised(&id)) {
                change.apply(&mut world.hsm.records[no]);
            }
        }
        silence()
    }))
}

/// `POST /State/Components`: updates components and adds those that are new.
pub async fn upsert(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Components {
        components: Vec<Component>,
        #[serde(default)]
        force: bool,
    }
    #[derive(Deserialize)]
    struct Component {
        #[serde(rename = "ID")]
        id: String,
        #[serde(flatten)]
        patch: Patch,
    }
    let Components { components, force } = decoded(&body)?;
    sim.with(|world| {
        let new = components.iter().filter(|c| !world.names.contains_key(&normalised(&c.id))).count();
        if new > MOST_NEW_COMPONENTS {
            return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "failed to query DB."));
        }
        for component in components {
            let id = normalised(&component.id);
            let mut change = Change::read(component.patch)?;
            let known = world.names.get(&id).copied();
            let Some(no) = known.or_else(|| (kind_of(&id) == Some(Kind::Node)).then(|| add(world, id)))
            else {
                continue;
            };
            let record = &mut world.hsm.records[no];
            change.force = force || known.is_none() || !record.present;
            record.present = true;
            change.apply(record);
        }
        Ok(silence())
    })
}

/// Adds a node that is off. PCS learns of it with its next sample.
fn add(world: &mut World, xname: String) -> usize {
    let no = world.nodes.len();
    world.names.insert(xname.clone(), no);
    world.nodes.push(Node::new(xname, NodeFaults::default()));
    world.pcs.grow();
    let next_nid = world.hsm.records.iter().map(|record| record.nid).max().unwrap_or_default() + 1;
    world.hsm.records.push(Record {
        present: true,
        state: State::Off,
        flag: "OK",
        enabled: true,
        software_status: None,
        role: "Compute",
        sub_role: None,
        nid: next_nid,
        arch: "X86",
        locked: false,
        reservations_disabled: false,
        reservation: None,
    });
    no
}

/// `DELETE /State/Components/{xname}`: HSM forgets a component; it leaves its groups.
pub async fn delete(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    sim.with(|world| {
        let known = world.names.get(&normalised(&xname)).copied();
        let Some(no) = known.filter(|&no| world.hsm.records[no].present) else {
            return Err(missing("no such xname."));
        };
        world.hsm.records[no].present = false;
        let hsm = &mut world.hsm;
        hsm.groups.values_mut().chain(hsm.partitions.values_mut()).for_each(|group| {
            group.members.remove(&no);
        });
        Ok(deleted())
    })
}
