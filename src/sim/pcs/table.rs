//! PCS's table of power states, and power-status, which reads nothing else.

use axum::response::Response;
use chrono::SecondsFormat;
use serde::Deserialize;

use crate::sim::clock::{Clock, Moment};
use crate::sim::faults::NodeFault;
use crate::sim::hsm::State;
use crate::sim::http::{Object, Refusal, bad, json_text};
use crate::sim::layout::{Kind, kind_of};
use crate::sim::world::{Event, NodeNo, World};

/// What a node can be told.
const SUPPORTED: &str = r#"["Force-Off","Hard-Restart","Init","Off","On","Soft-Off","Soft-Restart"]"#;

/// What PCS believes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub power: Power,
    /// When the power state last changed, not when it was last looked at.
    pub changed: Moment,
}

/// A power state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    On,
    Off,
    /// The BMC does not answer.
    Undefined,
}

impl Power {
    fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Undefined => "undefined",
        }
    }

    fn management(self) -> &'static str {
        if self == Self::Undefined { "unavailable" } else { "available" }
    }
}

/// A request for power-status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Question {
    pub xname: Vec<String>,
    #[serde(rename = "powerStateFilter")]
    pub power_state_filter: String,
    #[serde(rename = "managementStateFilter")]
    pub management_state_filter: String,
}

impl Question {
    fn check(&self) -> Result<(), Refusal> {
        let malformed: Vec<&str> =
            self.xname.iter().filter(|xname| kind_of(xname).is_none()).map(String::as_str).collect();
        if !malformed.is_empty() {
            return Err(bad(format!("invalid xnames detected: {}", malformed.join(" "))));
        }
        let is = |text: &str, known: &[&str]| {
            text.is_empty() || known.iter().any(|name| name.eq_ignore_ascii_case(text))
        };
        if !is(&self.power_state_filter, &["on", "off", "undefined"]) {
            return Err(bad(format!("invalid powerStateFilter type: {}", self.power_state_filter)));
        }
        if !is(&self.management_state_filter, &["available", "unavailable"]) {
            return Err(bad(format!("invalid managementStateFilter type: {}", self.management_state_filter)));
        }
        Ok(())
    }

    fn admits(&self, power: Power) -> bool {
        let is = |filter: &str, name: &str| filter.is_empty() || filter.eq_ignore_ascii_case(name);
        is(&self.power_state_filter, power.name()) && is(&self.management_state_filter, power.management())
    }
}

/// The answer to power-status, as it is written.
struct Statuses<'a> {
    clock: &'a Clock,
    out: String,
    /// The time written last: most nodes changed in the same sweep.
    last_updated: (Moment, String),
}

impl<'a> Statuses<'a> {
    fn new(clock: &'a Clock, entries: usize) -> Self {
        let mut out = String::with_capacity(256 * (entries + 1));
        out.push_str("{\"status\":[");
        Self { clock, out, last_updated: (Moment::NEVER, String::new()) }
    }

    fn known(&mut self, xname: &str, reading: Reading) {
        if self.last_updated.0 != reading.changed {
            let time = self.clock.calendar(reading.changed);
            self.last_updated = (reading.changed, time.to_rfc3339_opts(SecondsFormat::Nanos, true));
        }
        let mut entry = Object::begin(&mut self.out);
        entry.text("xname", xname);
        entry.text("powerState", reading.power.name());
        entry.text("managementState", reading.power.management());
        entry.text("error", "");
        entry.raw("supportedPowerTransitions", SUPPORTED);
        entry.text("lastUpdated", &self.last_updated.1);
        entry.end();
        self.out.push(',');
    }

    /// Something well formed that PCS has never seen. It is listed whatever the filter.
    fn unknown(&mut self, xname: &str) {
        let mut entry = Object::begin(&mut self.out);
        entry.text("xname", xname);
        entry.text("powerState", "");
        entry.text("managementState", "");
        entry.text("error", "Component not found in component map.");
        entry.raw("supportedPowerTransitions", "null");
        entry.text("lastUpdated", "");
        entry.end();
        self.out.push(',');
    }

    fn end(mut self) -> Response {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push_str("]}");
        json_text(self.out)
    }
}

impl World {
    /// Refills the table from the hardware.
    pub fn pcs_sample(&mut self) {
        let now = self.now;
        for no in 0..self.nodes.len() {
            let (node, record) = (&self.nodes[no], &self.hsm.records[no]);
            let seen = if !record.present || record.state == State::Empty {
                None
            } else if node.faults.has(NodeFault::BmcDead) {
                Some(Power::Undefined)
            } else if node.powered {
                Some(Power::On)
            } else {
                Some(Power::Off)
            };
            let entry = &mut self.pcs.table[no];
            *entry = seen.map(|power| match entry {
                Some(before) if before.power == power => *before,
                _ => Reading { power, changed: now },
            });
        }
        self.schedule(self.settings.pcs_sample_interval, Event::PcsSample);
    }

    /// What PCS believes of a node.
    pub fn believed(&self, no: NodeNo) -> Option<Power> {
        self.pcs.table[no].map(|reading| reading.power)
    }

    /// Answers power-status from the table.
    pub fn power_status(&self, question: &Question) -> Result<Response, Refusal> {
        question.check()?;
        let mut statuses = Statuses::new(
            &self.clock,
            if question.xname.is_empty() { self.nodes.len() } else { question.xname.len() },
        );
        if question.xname.is_empty() {
            let known = |no: NodeNo| Some((self.nodes[no].xname.as_str(), self.pcs.table[no]?));
            let nodes = (0..self.nodes.len()).filter_map(known);
            let all = nodes.chain(self.parents.iter().map(|(id, _)| (id.as_str(), ALWAYS_ON)));
            let all = all.filter(|(_, reading)| question.admits(reading.power));
            all.for_each(|(xname, reading)| statuses.known(xname, reading));
        } else {
            for xname in &question.xname {
                match self.reading(xname) {
                    Some(reading) if !question.admits(reading.power) => {}
                    Some(reading) => statuses.known(xname, reading),
                    None => statuses.unknown(xname),
                }
            }
        }
        Ok(statuses.end())
    }

    fn reading(&self, xname: &str) -> Option<Reading> {
        match self.names.get(xname) {
            Some(&no) => self.pcs.table[no],
            None if kind_of(xname) == Some(Kind::Node) => None,
            None => self.parents.iter().any(|(id, _)| id == xname).then_some(ALWAYS_ON),
        }
    }
}

/// What nodes sit in never goes off, and a BMC is on whenever it answers.
const ALWAYS_ON: Reading = Reading { power: Power::On, changed: Moment::START };
