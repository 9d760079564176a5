//! What the machine itself says the nodes went through, beside what bosun says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::{client::Client, view::EventView},
    dev::House,
};

/// Most pages of results and events that are read.
const PAGES_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Nodes that were switched on.
    switched_on: usize,
    /// Nodes with more than one off→on edge.
    switched_on_twice: Vec<String>,
    /// Components that failed before their power-on.
    failed: usize,
    /// Of those, the ones that were ordered on all the same.
    failed_and_ordered_on: Vec<String>,
    /// Workers that took over from one that died.
    takeovers: usize,
}

#[derive(Deserialize)]
struct Edge {
    power: String,
}

#[derive(Deserialize)]
struct Order {
    xname: String,
    action: String,
}

/// Asks the machine, and bosun for those that failed to go off.
///
/// # Errors
/// When one of them cannot be asked.
pub async fn of(house: &House, client: &Client, session: &str) -> anyhow::Result<Proof> {
    let failed = failed_to_go_off(client, session).await?;
    let takeovers = takeovers(client, session).await?;
    let Some(machine) = &house.machine_url else { return Ok(Proof { takeovers, ..Proof::default() }) };
    let controls = Client::at(machine, &["sim"])?;
    let edges: BTreeMap<String, Vec<Edge>> = controls.get(&["edges"], &[]).await?;
    let orders: Vec<Order> = controls.get(&["power-log"], &[]).await?;
    Ok(judge(&failed, &edges, &orders, takeovers))
}

fn judge(
    failed: &BTreeSet<String>,
    edges: &BTreeMap<String, Vec<Edge>>,
    orders: &[Order],
    takeovers: usize,
) -> Proof {
    let times_on = |edges: &[Edge]| edges.iter().filter(|edge| edge.power == "on").count();
    let ordered_on: BTreeSet<&str> =
        orders.iter().filter(|order| order.action == "on").map(|order| order.xname.as_str()).collect();
    Proof {
        switched_on: edges.values().filter(|edges| times_on(edges) > 0).count(),
        switched_on_twice: edges
            .iter()
            .filter(|(_, edges)| times_on(edges) > 1)
            .map(|(xname, _)| xname.clone())
            .collect(),
        failed: failed.len(),
        failed_and_ordered_on: failed
            .iter()
            .filter(|xname| ordered_on.contains(xname.as_str()))
            .cloned()
            .collect(),
        takeovers,
    }
}

async fn failed_to_go_off(client: &Client, session: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut failed = BTreeSet::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let mut query = vec![("outcome", "failed"), ("step", "power_off")];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let page: Value = client.get(&["sessions", session, "results"], &query).await?;
        let lines = page["results"].as_array().into_iter().flatten();
        failed.extend(lines.filter_map(|line| line["component"].as_str().map(str::to_owned)));
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    Ok(failed)
}

async fn takeovers(client: &Client, session: &str) -> anyhow::Result<usize> {
    let mut after = 0;
    let mut takeovers = 0;
    for _ in 0..PAGES_MAX {
        let seq = after.to_string();
        let events: Vec<EventView> =
            client.get(&["sessions", session, "events"], &[("after", seq.as_str())]).await?;
        let Some(last) = events.last() else { break };
        after = last.seq;
        takeovers += events
            .iter()
            .filter(|event| event.kind == "lease_acquired" && !event.data["previous"].is_null())
            .count();
    }
    Ok(takeovers)
}

impl Proof {
    /// Fails when the nodes went through what they must not.
    ///
    /// # Errors
    /// Says which nodes.
    pub fn hold(&self) -> anyhow::Result<()> {
        if !self.switched_on_twice.is_empty() {
            bail!("switched on more than once: {}", self.switched_on_twice.join(","));
        }
        if !self.failed_and_ordered_on.is_empty() {
            bail!(
                "failed to go off and was ordered on all the same: {}",
                self.failed_and_ordered_on.join(",")
            );
        }
        Ok(())
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the machine's power log: {} nodes were switched on, {} of them more than once",
            self.switched_on,
            self.switched_on_twice.len()
        )?;
        writeln!(
            f,
            "of the {} that failed to go off, {} were ordered on",
            self.failed,
            self.failed_and_ordered_on.len()
        )?;
        writeln!(f, "workers that took over from a dead one: {}", self.takeovers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(powers: &[&str]) -> Vec<Edge> {
        powers.iter().map(|power| Edge { power: (*power).to_owned() }).collect()
    }

    #[test]
    fn a_second_power_on_is_seen() {
        let failed = BTreeSet::from(["x3".to_owned()]);
        let machine = BTreeMap::from([
            ("x1".to_owned(), edges(&["off", "on"])),
            ("x2".to_owned(), edges(&["off", "on", "off", "on"])),
        ]);
        let order = |xname: &str, action: &str| Order { xname: xname.to_owned(), action: action.to_owned() };
        let good = judge(
            &failed,
            &BTreeMap::from([("x1".to_owned(), edges(&["off", "on"]))]),
            &[order("x3", "off")],
            1,
        );
        assert!(good.hold().is_ok());
        assert_eq!((good.switched_on, good.failed, good.takeovers), (1, 1, 1));
        let bad = judge(&failed, &machine, &[order("x3", "on")], 0);
        assert_eq!(bad.switched_on_twice, ["x2"]);
        assert_eq!(bad.failed_and_ordered_on, ["x3"]);
        assert!(bad.hold().is_err());
    }
}
