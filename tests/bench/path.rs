//! How long the machine itself needed: its critical path.
//!
//! A reboot of one boot set powers everything off, then on. So its length is: until the slowest node is confirmed off,
//! then from there until the last node is configured. What the machine did in between, and when, is in the simulator's
//! own records; the rest of the session's time is bosun's.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::house::{House, PCS_CONFIRM, PCS_SAMPLE, PCS_START};

type Moment = DateTime<Utc>;

/// Where a session's time went, in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Path {
    /// From its creation to its end.
    pub total: f64,
    /// What the machine and PCS' confirmation needed.
    pub critical: f64,
    /// The rest.
    pub overhead: f64,
    /// Of the rest: until PCS was asked to power off the nodes that were confirmed last.
    pub until_off: f64,
    /// From their confirmation until PCS was asked to power on the node that was configured last.
    pub off_to_on: f64,
    /// From that node's configuration to the session's end.
    pub until_ended: f64,
}

#[derive(Deserialize)]
struct Order {
    xname: String,
    action: String,
    at: Moment,
    changes: bool,
}

#[derive(Deserialize)]
struct Edge {
    power: String,
    at: Moment,
}

#[derive(Deserialize)]
struct Node {
    xname: String,
    configured_at: Option<Moment>,
}

/// The path of a session that is over and moved every node of the machine; no other one has begun since.
pub async fn of(house: &House, session: &str) -> Path {
    let (created, ended): (Moment, Moment) =
        sqlx::query_as("select created_at, ended_at from session where name = $1")
            .bind(session)
            .fetch_one(&house.pool)
            .await
            .unwrap();
    let mut orders: Vec<Order> = serde_json::from_value(house.sim("power-log").await).unwrap();
    orders.retain(|order| order.at >= created);
    let edges: HashMap<String, Vec<Edge>> = serde_json::from_value(house.sim("edges").await).unwrap();
    let nodes: Vec<Node> = serde_json::from_value(house.sim("nodes").await).unwrap();
    let last = nodes.iter().filter(|node| node.configured_at.is_some()).max_by_key(|node| node.configured_at);
    let last = last.expect("a node was configured");
    let sampled: Moment = serde_json::from_value(house.pcs_sampled_at(&last.xname).await).unwrap();

    let off_order: HashMap<&str, Moment> = orders
        .iter()
        .filter(|order| order.action == "off" && order.changes)
        .map(|order| (order.xname.as_str(), order.at))
        .collect();
    let went_off = |xname: &str| {
        let mut edges = edges[xname].iter().filter(|edge| edge.at >= created);
        edges.find(|edge| edge.power == "off").map(|edge| edge.at)
    };
    // Nodes of one transition are ordered off at one moment, and the slowest of them decides.
    let (ordered_off, confirmed) = off_order
        .iter()
        .filter_map(|(xname, ordered)| Some((*ordered, confirmation(*ordered, went_off(xname)?, sampled))))
        .max_by_key(|(_, confirmed)| *confirmed)
        .expect("a node went off");
    let ordered_on =
        orders.iter().find(|order| order.xname == last.xname && order.action == "on").unwrap().at;
    let configured = last.configured_at.unwrap();

    let seconds = |from: Moment, to: Moment| (to - from).as_seconds_f64();
    let start = PCS_START.as_secs_f64();
    let until_off = seconds(created, ordered_off) - start;
    let off_to_on = seconds(confirmed, ordered_on) - start;
    let until_ended = seconds(configured, ended);
    let total = seconds(created, ended);
    let overhead = until_off + off_to_on + until_ended;
    Path { total, critical: total - overhead, overhead, until_off, off_to_on, until_ended }
}

/// When PCS can first confirm: it looks every so often from the order on, at a table refilled at moments of its own.
fn confirmation(ordered: Moment, went_off: Moment, sampled: Moment) -> Moment {
    let in_table = next(sampled, PCS_SAMPLE, went_off);
    next(ordered + PCS_CONFIRM, PCS_CONFIRM, in_table)
}

/// The first moment, not before `earliest`, of those that lie `every` so far from `one`; not before `one` either if
/// that is later than `earliest`.
fn next(one: Moment, every: Duration, earliest: Moment) -> Moment {
    let every = every.as_micros() as i64;
    let behind = (earliest - one).num_microseconds().expect("less than 292,000 years");
    one + TimeDelta::microseconds(
        behind.div_euclid(every) * every + every * i64::from(behind.rem_euclid(every) > 0),
    )
}
