//! A simulated machine in a process of its own, and what it tells behind the scenes.

use std::collections::BTreeMap;

use bosun::cli::client::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::process::{Scratch, Server};

/// A machine in a hurry: its times in the order of a tenth of a second.
const TIMES: &[&str] = &[
    "--soft-off=200ms",
    "--force-off=100ms",
    "--power-on=150ms",
    "--boot=500ms",
    "--configure=250ms",
    "--hsm-lag=30ms",
    "--boot-retry=200ms",
    "--pcs-start=20ms",
    "--pcs-bmc-patience=300ms",
];
/// What `dev` has to know of it too.
pub const PCS_TIMES: &[&str] =
    &["--pcs-sample-interval=100ms", "--pcs-confirm-interval=60ms", "--pcs-minute=1500ms"];

pub struct Machine {
    _server: Option<Server>,
    pub url: String,
    sim: Client,
}

/// An order to a node's BMC.
#[derive(Debug, Clone, Deserialize)]
pub struct Order {
    pub xname: String,
    pub action: String,
    pub via: String,
    /// RFC 3339 with milliseconds, in UTC: earlier sorts before later.
    pub at: String,
}

/// A request to one of the services.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    pub service: String,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub xnames: usize,
    pub bytes: usize,
}

impl Request {
    /// Whether it asks for something to be changed, rather than for something to be told.
    pub fn changes(&self) -> bool {
        let asks = ["/Query", "/power-status", "/locks/status"];
        self.method != "GET" && self.method != "HEAD" && !asks.iter().any(|path| self.path.ends_with(path))
    }
}

/// Speaks JSON with whatever is below `prefix` at `url`.
pub fn client(url: &str, prefix: &'static [&'static str]) -> Client {
    // Only the first call in a process can succeed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::at(url, prefix).unwrap()
}

/// A change of a node's power.
#[derive(Debug, Deserialize)]
pub struct Edge {
    pub power: String,
    /// As of an [`Order`].
    pub at: String,
}

impl Machine {
    pub async fn start(arguments: &[&str], scratch: &Scratch) -> Self {
        let flag = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
        let is_given = |word: &&&str| arguments.iter().any(|given| flag(given) == flag(word));
        let times = TIMES.iter().filter(|word| !is_given(word)).chain(PCS_TIMES);
        let line = ["simulate", "--listen=127.0.0.1:0"].iter().chain(times).chain(arguments);
        let line: Vec<String> = line.map(|word| (*word).to_owned()).collect();
        let server = Server::start(&line, scratch.path().join("machine.log")).await;
        let sim = client(&server.url, &["sim"]);
        Self { url: server.url.clone(), _server: Some(server), sim }
    }

    /// The same machine, which ends with the first of the two.
    pub fn again(&self) -> Self {
        Self { url: self.url.clone(), _server: None, sim: self.sim.clone() }
    }

    pub async fn introduce(&self, bosun_url: &str) {
        let _: Value = self.sim.post(&["bosun-url"], &json!({"url": bosun_url})).await.unwrap();
    }

    /// From now on requests that match are hit: `{"service": "hsm", "kind": "status", …}`.
    pub async fn fault(&self, rule: Value) {
        let _: Value = self.sim.post(&["faults"], &rule).await.unwrap();
    }

    pub async fn lift_faults(&self) {
        self.sim.delete(&["faults"]).await.unwrap();
    }

    /// How often the rules were hit, all together.
    pub async fn hits(&self) -> u64 {
        let rules: Vec<Value> = self.sim.get(&["faults"], &[]).await.unwrap();
        rules.iter().filter_map(|rule| rule["hits"].as_u64()).sum()
    }

    /// Changes a node by hand.
    pub async fn change(&self, xname: &str, change: Value) {
        let _: Value = self.sim.post(&["nodes", xname], &change).await.unwrap();
    }

    pub async fn nodes(&self) -> Vec<Value> {
        self.sim.get(&["nodes"], &[]).await.unwrap()
    }

    pub async fn orders(&self) -> Vec<Order> {
        self.sim.get(&["power-log"], &[]).await.unwrap()
    }

    pub async fn requests(&self) -> Vec<Request> {
        self.sim.get(&["requests"], &[]).await.unwrap()
    }

    pub async fn forget_requests(&self) {
        let _: Value = self.sim.post(&["reset-counters"], &json!({})).await.unwrap();
    }

    /// Real changes of power by node, oldest first.
    pub async fn edges(&self) -> BTreeMap<String, Vec<Edge>> {
        self.sim.get(&["edges"], &[]).await.unwrap()
    }

    /// How often each node went from off to on.
    pub async fn times_on(&self) -> BTreeMap<String, usize> {
        let edges = self.edges().await;
        let on = |edges: Vec<Edge>| edges.iter().filter(|edge| edge.power == "on").count();
        edges.into_iter().map(|(xname, edges)| (xname, on(edges))).collect()
    }

    /// How often each of these was ordered on.
    pub async fn ordered_on(&self, xnames: &[&str]) -> Vec<usize> {
        let orders = self.orders().await;
        let on = |xname: &&str| {
            orders.iter().filter(|order| order.xname == *xname && order.action == "on").count()
        };
        xnames.iter().map(on).collect()
    }

    /// Whether BSS holds boot parameters for a node.
    pub async fn has_boot_parameters(&self, xname: &str) -> bool {
        let bss = client(&self.url, &["boot", "v1"]);
        bss.get::<Value>(&["bootparameters"], &[("name", xname)]).await.is_ok()
    }

    /// The machine's images, by name.
    pub async fn images(&self) -> Value {
        self.sim.get(&["images"], &[]).await.unwrap()
    }

    /// Puts an object into the bucket of boot images.
    pub async fn put_object(&self, path: &[&str], body: &Value) {
        let bucket = client(&self.url, &["s3", "boot-images"]);
        let _: Value = bucket.put(path, body).await.unwrap();
    }

    pub async fn object(&self, path: &[&str]) -> Value {
        let bucket = client(&self.url, &["s3", "boot-images"]);
        bucket.get(path, &[]).await.unwrap()
    }
}
