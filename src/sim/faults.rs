//! What goes wrong: faults of services, as rules that hit requests, and faults of nodes.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::scatter;
use super::settings::Pick;

/// A service of the machine, as counters and rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Hardware State Manager.
    Hsm,
    /// Power Control Service.
    Pcs,
    /// Boot Script Service.
    Bss,
    /// Configuration Framework Service.
    Cfs,
    /// Image Management Service.
    Ims,
    /// Tenant and Partition Management Service.
    Tapms,
    /// The object store.
    S3,
    /// The simulator's own controls.
    Sim,
}

impl Service {
    /// Its name in counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hsm => "hsm",
            Self::Pcs => "pcs",
            Self::Bss => "bss",
            Self::Cfs => "cfs",
            Self::Ims => "ims",
            Self::Tapms => "tapms",
            Self::S3 => "s3",
            Self::Sim => "sim",
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Hsm, Self::Pcs, Self::Bss, Self::Cfs, Self::Ims, Self::Tapms, Self::S3]
            .into_iter()
            .find(|service| service.name() == text)
            .ok_or_else(|| format!("{text}: the services are hsm, pcs, bss, cfs, ims, tapms and s3"))
    }
}

/// What a rule does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Answered at once with `status`; nothing happens.
    Status,
    /// The connection is reset; nothing happens.
    Reset,
    /// It happens, and the connection is closed without an answer.
    Lost,
    /// It happens, and no answer comes for `delay_ms`; then the connection is closed.
    Never,
    /// It is held for `delay_ms` and the connection closed; nothing happens.
    Timeout,
    /// It is answered, `delay_ms` later.
    Slow,
}

/// A service's misbehaviour: which requests it hits, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only requests to this service.
    #[serde(default)]
    pub service: Option<Service>,
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path contains this text.
    #[serde(default)]
    pub path_contains: String,
    /// What happens to them.
    pub kind: FaultKind,
    /// The status of `FaultKind::Status`.
    #[serde(default = "unavailable")]
    pub status: u16,
    /// Seconds in a `Retry-After` header.
    #[serde(default)]
    pub retry_after: Option<u32>,
    /// Milliseconds that a request is held.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// So many matching requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// Then so many are hit; for ever if absent.
    #[serde(default)]
    pub times: Option<u64>,
    /// How many were hit so far.
    #[serde(default)]
    pub hits: u64,
}

fn unavailable() -> u16 {
    503
}

impl Rule {
    /// A rule for every request of `service` with `method` and a path that contains `path_contains`, for ever.
    pub fn new(service: Service, method: &str, path_contains: &str, kind: FaultKind) -> Self {
        Self {
            service: Some(service),
            method: Some(method.to_owned()),
            path_contains: path_contains.to_owned(),
            kind,
            status: unavailable(),
            retry_after: None,
            delay_ms: None,
            skip: 0,
            times: None,
            hits: 0,
        }
    }

    /// Whether this request is to be hit; counts it.
    pub fn hit(&mut self, service: Service, method: &str, path: &str) -> bool {
        let matches = self.service.is_none_or(|only| only == service)
            && self.method.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(method))
            && path.contains(&self.path_contains);
        if !matches || self.times.is_some_and(|times| self.hits >= times) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.hits += 1;
        true
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads `service:METHOD path:kind:option=value…`, where kind is a status or the name of a kind.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            |what: &str| format!("{text}: {what}; write for instance pcs:POST /transitions:503:times=3");
        let mut parts = text.split(':');
        let service = match parts.next() {
            None | Some("" | "*") => None,
            Some(name) => Some(name.parse()?),
        };
        let request = parts.next().ok_or_else(|| bad("the method and path are missing"))?;
        let (method, path) = request.split_once(' ').unwrap_or(("*", request));
        let kind = parts.next().ok_or_else(|| bad("the kind is missing"))?;
        let mut rule = Self::new(Service::Sim, method, path, FaultKind::Status);
        rule.service = service;
        rule.method = Some(method.to_owned()).filter(|method| method != "*");
        match kind.parse() {
            Ok(status) => rule.status = status,
            Err(_) => {
                rule.kind = serde_json::from_value(kind.into()).map_err(|_| bad("there is no such kind"))?;
            }
        }
        for option in parts {
            let (key, value) =
                option.split_once('=').ok_or_else(|| bad("an option is written name=value"))?;
            let number: u64 = value.parse().map_err(|_| bad("an option's value is a number"))?;
            match key {
                "times" => rule.times = Some(number),
                "skip" => rule.skip = number,
                "retry-after" => rule.retry_after = u32::try_from(number).ok(),
                "delay-ms" => rule.delay_ms = Some(number),
                _ => return Err(bad("the options are times, skip, retry-after and delay-ms")),
            }
        }
        Ok(rule)
    }
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum NodeFault {
    /// Takes every order to switch off and stays on.
    FailPowerOff = 1,
    /// Ignores the graceful order, obeys force.
    RefuseSoftOff = 1 << 1,
    /// Takes the order to switch on and stays off.
    FailPowerOn = 1 << 2,
    /// Powers on and never comes up.
    NeverBoots = 1 << 3,
    /// Comes up with what it ran before.
    BootsOldImage = 1 << 4,
    /// Its configuration fails.
    FailConfiguration = 1 << 5,
    /// CFS never gets round to it.
    ConfigurationStaysPending = 1 << 6,
    /// Its CFS component disappears as its configuration begins.
    ConfigurationVanishes = 1 << 7,
    /// Its BMC does not answer.
    BmcDead = 1 << 8,
    /// Hangs in its next boot, and comes up after one more power cycle.
    HangsOnce = 1 << 9,
}

/// All faults of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeFaults(u16);

impl NodeFaults {
    /// Adds a fault.
    pub fn add(&mut self, fault: NodeFault) {
        self.0 |= fault as u16;
    }

    /// Takes a fault away; whether the node had it.
    pub fn take(&mut self, fault: NodeFault) -> bool {
        let had = self.has(fault);
        self.0 &= !(fault as u16);
        had
    }

    /// Whether the node has this fault.
    pub fn has(self, fault: NodeFault) -> bool {
        self.0 & fault as u16 != 0
    }
}

/// The nodes that `pick` means among `names`: named ones, or so many spread evenly, none of them `taken`.
pub fn choose(pick: &Pick, names: &[String], seed: u64, salt: u64, taken: &mut [bool]) -> Vec<usize> {
    match pick {
        Pick::Xnames(wanted) => (0..names.len()).filter(|&node| wanted.contains(&names[node])).collect(),
        Pick::Count(0) => Vec::new(),
        Pick::Count(count) => {
            let total = names.len();
            let offset = scatter(seed, salt) as usize % total.max(1);
            let mut chosen = Vec::new();
            for nth in 0..(*count).min(total) {
                let first = (offset + nth * total / count) % total;
                let free = (0..total).map(|step| (first + step) % total).find(|&node| !taken[node]);
                let Some(node) = free else { break };
                taken[node] = true;
                chosen.push(node);
            }
            chosen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_one_line() {
        let rule: Rule = "pcs:POST /transitions:429:skip=1:times=3:retry-after=2".parse().unwrap();
        assert_eq!((rule.service, rule.status, rule.retry_after), (Some(Service::Pcs), 429, Some(2)));
        let rule: Rule = "*:* /bootparameters:lost:times=1".parse().unwrap();
        assert_eq!((rule.service, rule.method, rule.kind), (None, None, FaultKind::Lost));
        assert!("keycloak:GET /:503".parse::<Rule>().is_err());
        assert!("pcs:GET /:sulk".parse::<Rule>().is_err());
    }

    #[test]
    fn a_rule_lets_some_pass_then_hits_some() {
        let mut rule: Rule = "pcs:POST /transitions:503:skip=1:times=2".parse().unwrap();
        assert!(!rule.hit(Service::Pcs, "GET", "/transitions"));
        let hits: Vec<bool> = (0..5).map(|_| rule.hit(Service::Pcs, "POST", "/transitions")).collect();
        assert_eq!(hits, [false, true, true, false, false]);
    }

    #[test]
    fn chosen_nodes_are_spread_and_distinct() {
        let names: Vec<String> = (0..100).map(|n| format!("x{n}")).collect();
        let mut taken = vec![false; 100];
        let first = choose(&Pick::Count(10), &names, 1, 1, &mut taken);
        let second = choose(&Pick::Count(90), &names, 1, 2, &mut taken);
        let mut all = [first.clone(), second].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let gap = first.iter().map(|node| node / 10).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(gap.len(), 10);
    }
}
