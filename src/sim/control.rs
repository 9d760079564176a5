//! `/sim`: looking behind the scenes, and moving them.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::faults::{NodeFault, NodeFaults, Rule};
use super::hsm::State;
use super::http::{Answer, bad, json, missing, read};
use super::machine::Running;
use super::world::{NodeNo, World};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/counters", get(counters))
        .route("/reset-counters", post(reset_counters))
        .route("/requests", get(requests))
        .route("/power-log", get(power_log))
        .route("/edges", get(edges))
        .route("/images", get(images))
        .route("/nodes", get(nodes))
        .route("/nodes/{xname}", get(node).post(change))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/faults/{number}", delete(remove_fault))
        .route("/bosun-url", post(bosun_url))
        .route("/report", post(report))
}

async fn counters(Extract(sim): Extract<Shared>) -> Response {
    sim.front(|front| json(&front.counters))
}

async fn reset_counters(Extract(sim): Extract<Shared>) -> Response {
    sim.front(|front| {
        front.counters.clear();
        front.requests.clear();
        json(&json!({}))
    })
}

async fn requests(Extract(sim): Extract<Shared>) -> Response {
    sim.front(|front| json(&front.requests))
}

async fn power_log(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.power_log()))
}

async fn edges(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.edges()))
}

async fn images(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.s3.images().map(|image| (image.name, image)).collect::<BTreeMap<_, _>>()))
}

/// A node as it really is, beside what HSM thinks of it.
#[derive(Serialize)]
struct View<'a> {
    xname: &'a str,
    powered: bool,
    /// The power it is changing to.
    #[serde(skip_serializing_if = "Option::is_none")]
    changing_to: Option<&'static str>,
    up: bool,
    /// When it last came up.
    #[serde(skip_serializing_if = "Option::is_none")]
    up_since: Option<String>,
    /// When CFS was last through with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    configured_at: Option<String>,
    boots: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<&'a Running>,
    hsm_state: &'static str,
    enabled: bool,
    locked: bool,
    reserved: bool,
}

fn view(world: &World, no: NodeNo) -> View<'_> {
    let (node, record) = (&world.nodes[no], &world.hsm.records[no]);
    View {
        xname: &node.xname,
        powered: node.powered,
        changing_to: node.pending.map(|(on, _)| if on { "on" } else { "off" }),
        up: node.up,
        up_since: node.up_since.map(|at| world.clock.millis(at)),
        configured_at: node.configured_at.map(|at| world.clock.millis(at)),
        boots: node.boot,
        running: node.running.as_ref().filter(|_| node.up),
        hsm_state: record.state.name(),
        enabled: record.enabled,
        locked: record.locked,
        reserved: record.reservation.is_some(),
    }
}

async fn nodes(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&(0..world.nodes.len()).map(|no| view(world, no)).collect::<Vec<_>>()))
}

async fn node(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    sim.with(|world| match world.names.get(&xname) {
        Some(&no) => Ok(json(&view(world, no))),
        None => Err(missing("there is no such node")),
    })
}

/// What can be set of a node by hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    power: Option<Power>,
    enabled: Option<bool>,
    locked: Option<bool>,
    reservations_disabled: Option<bool>,
    empty: Option<bool>,
    running: Option<Artifacts>,
    faults: Option<Vec<NodeFault>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Power {
    On,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Artifacts {
    bss_token: String,
    #[serde(default)]
    kernel: String,
    #[serde(default)]
    initrd: String,
}

async fn change(Extract(sim): Extract<Shared>, Path(xname): Path<String>, body: Bytes) -> Answer {
    let change: Change = read(&body).map_err(bad)?;
    sim.with(|world| {
        if world.parents.iter().any(|(id, _)| *id == xname) {
            match change.power {
                Some(Power::Off) => world.parents_off.insert(xname.clone()),
                Some(Power::On) => world.parents_off.remove(&xname),
                None => false,
            };
            return Ok(json(&json!({ "xname": xname, "off": world.parents_off.contains(&xname) })));
        }
        let Some(&no) = world.names.get(&xname) else { return Err(missing("there is no such node")) };
        if let Some(faults) = change.faults {
            let mut all = NodeFaults::default();
            faults.into_iter().for_each(|fault| all.add(fault));
            world.nodes[no].faults = all;
        }
        let record = &mut world.hsm.records[no];
        record.enabled = change.enabled.unwrap_or(record.enabled);
        record.locked = change.locked.unwrap_or(record.locked);
        record.reservations_disabled = change.reservations_disabled.unwrap_or(record.reservations_disabled);
        match change.empty {
            Some(true) => record.state = State::Empty,
            Some(false) if record.state == State::Empty => record.state = State::Off,
            _ => {}
        }
        if let Some(Artifacts { bss_token, kernel, initrd }) = change.running {
            let running =
                Running { bss_token: bss_token.into(), kernel: kernel.into(), initrd: initrd.into() };
            world.nodes[no].running = Some(running);
        }
        if let Some(power) = change.power {
            world.set_power_by_hand(no, power == Power::On);
        }
        Ok(json(&view(world, no)))
    })
}

async fn faults(Extract(sim): Extract<Shared>) -> Response {
    sim.front(|front| json(&front.rules))
}

async fn add_faults(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body: Value = read(&body).map_err(bad)?;
    let list = if body.is_array() { body } else { Value::Array(vec![body]) };
    let rules: Vec<Rule> = serde_json::from_value(list).map_err(|failure| bad(failure.to_string()))?;
    Ok(sim.front(|front| {
        front.rules.extend(rules);
        json(&front.rules)
    }))
}

async fn clear_faults(Extract(sim): Extract<Shared>) -> Response {
    sim.front(|front| {
        front.rules.clear();
        json(&front.rules)
    })
}

async fn remove_fault(Extract(sim): Extract<Shared>, Path(number): Path<usize>) -> Answer {
    sim.front(|front| {
        if number >= front.rules.len() {
            return Err(missing("there is no such fault"));
        }
        front.rules.remove(number);
        Ok(json(&front.rules))
    })
}

async fn bosun_url(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        url: String,
    }
    let Body { url } = read(&body).map_err(bad)?;
    Ok(sim.with(|world| {
        world.set_bosun_url(&url);
        json(&json!({ "url": world.bosun_url.as_deref() }))
    }))
}

/// Lets every node that is up report now.
async fn report(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| {
        let up: Vec<NodeNo> = (0..world.nodes.len()).filter(|&no| world.nodes[no].up).collect();
        up.iter().for_each(|&no| world.report_in(no, std::time::Duration::ZERO));
        json(&json!({ "nodes": up.len() }))
    })
}
