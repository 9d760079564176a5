//! The hardware: power that follows orders a little later, and nodes that boot what BSS says at that moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::clock::{Moment, scatter};
use super::faults::{NodeFault, NodeFaults};
use super::hsm::State;
use super::world::{Event, NodeNo, Report, World};

/// How long a node whose artifacts cannot be fetched waits before it starts over (iPXE's `:boot_retry`).
const BROKEN_IMAGE_RETRY_FACTOR: u32 = 3;

/// One node.
#[derive(Debug)]
pub struct Node {
    pub xname: String,
    pub faults: NodeFaults,
    pub powered: bool,
    /// The power change under way.
    pub pending: Option<(bool, Moment)>,
    /// Counts orders, so that a change that was overtaken does not happen.
    pub order: u32,
    /// Counts changes of power: what belongs to an earlier one is over.
    pub boot: u32,
    /// Booted and running.
    pub up: bool,
    /// When it last came up.
    pub up_since: Option<Moment>,
    /// When CFS was last through with it.
    pub configured_at: Option<Moment>,
    /// What it runs, or would come up with if it kept its old image.
    pub running: Option<Running>,
    /// When it reports next; a report planned for another moment has been overtaken.
    pub report_due: Moment,
    /// Failed tries of its reporter since it came up.
    pub report_tries: u32,
}

/// What a node runs.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    pub bss_token: Arc<str>,
    pub kernel: Arc<str>,
    pub initrd: Arc<str>,
}

impl Node {
    /// A node that is off and never ran anything.
    pub fn new(xname: String, faults: NodeFaults) -> Self {
        Self {
            xname,
            faults,
            powered: false,
            pending: None,
            order: 0,
            boot: 0,
            up: false,
            up_since: None,
            configured_at: None,
            running: None,
            report_due: Moment::NEVER,
            report_tries: 0,
        }
    }
}

/// What a BMC is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    On,
    SoftOff,
    ForceOff,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::SoftOff => "Soft-Off",
            Self::ForceOff => "Force-Off",
        }
    }
}

/// What a node's BMC was told, and by which transition.
#[derive(Clone, Debug)]
pub struct PowerAction {
    pub node: NodeNo,
    pub order: Order,
    pub at: Moment,
    pub transition: uuid::Uuid,
    /// Whether the order set off a change of power.
    pub changes: bool,
}

/// A real change of power.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    pub node: NodeNo,
    pub on: bool,
    pub at: Moment,
}

/// What has happened to the hardware since the start.
#[derive(Debug, Default)]
pub struct Machine {
    pub power_log: Vec<PowerAction>,
    pub edges: Vec<Edge>,
}

/// An order as the power log shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PowerLogEntry {
    /// The node.
    pub xname: String,
    /// `on` or `off`.
    pub action: &'static str,
    /// `On`, `Soft-Off` or `Force-Off`.
    pub via: &'static str,
    /// RFC 3339 with milliseconds.
    pub at: String,
    /// The transition that sent it.
    pub transition: String,
    /// Whether it set off a change of power.
    pub changes: bool,
}

/// A change of power as the edges list shows it.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeEntry {
    /// `on` or `off`.
    pub power: &'static str,
    /// RFC 3339 with milliseconds.
    pub at: String,
}

fn power_word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl World {
    /// Orders sent to BMCs, oldest first.
    pub fn power_log(&self) -> Vec<PowerLogEntry> {
        let entry = |action: &PowerAction| PowerLogEntry {
            xname: self.nodes[action.node].xname.clone(),
            action: power_word(action.order == Order::On),
            via: action.order.name(),
            at: self.clock.millis(action.at),
            transition: action.transition.to_string(),
            changes: action.changes,
        };
        self.machine.power_log.iter().map(entry).collect()
    }

    /// Real changes of power by xname, oldest first.
    pub fn edges(&self) -> BTreeMap<String, Vec<EdgeEntry>> {
        let mut by_node: BTreeMap<String, Vec<EdgeEntry>> = BTreeMap::new();
        for edge in &self.machine.edges {
            let entry = EdgeEntry { power: power_word(edge.on), at: self.clock.millis(edge.at) };
            by_node.entry(self.nodes[edge.node].xname.clone()).or_default().push(entry);
        }
        by_node
    }

    /// Tells a node's BMC something. A BMC takes every order; whether the node follows is another matter.
    pub fn order(&mut self, no: NodeNo, order: Order, transition: uuid::Uuid) {
        let settings = &self.settings;
        let (time, on) = match order {
            Order::On => (settings.power_on, true),
            Order::SoftOff => (settings.soft_off, false),
            Order::ForceOff => (settings.force_off, false),
        };
        let at = self.now.after(self.jittered(time, no));
        let node = &mut self.nodes[no];
        let deaf = match order {
            Order::On => node.faults.has(NodeFault::FailPowerOn),
            Order::SoftOff => {
                node.faults.has(NodeFault::FailPowerOff) || node.faults.has(NodeFault::RefuseSoftOff)
            }
            Order::ForceOff => node.faults.has(NodeFault::FailPowerOff),
        };
        // An order to be what it is only stops a change the other way, and only force stops a node that starts.
        let changes = !deaf
            && match node.pending {
                None => node.powered != on,
                Some((true, _)) => order == Order::ForceOff,
                Some((false, due)) => order == Order::ForceOff && at < due,
            };
        if changes {
            node.order += 1;
            node.pending = (node.powered != on).then_some((on, at));
            if node.pending.is_some() {
                self.queue.push(at, Event::Power { node: no, order: node.order, on });
            }
        }
        self.machine.power_log.push(PowerAction { node: no, order, at: self.now, transition, changes });
    }

    /// The power changes now.
    pub fn power_edge(&mut self, no: NodeNo, order: u32, on: bool) {
        if self.nodes[no].order != order {
            return;
        }
        self.set_power(no, on);
        let boot = self.nodes[no].boot;
        let lag = self.settings.hsm_lag;
        if on {
            self.schedule(lag, Event::Noticed { node: no, boot, state: State::On });
            self.fetch_boot_parameters(no, boot);
        } else {
            self.schedule(lag, Event::Noticed { node: no, boot, state: State::Standby });
            self.schedule(lag * 2, Event::Noticed { node: no, boot, state: State::Off });
        }
    }

    fn set_power(&mut self, no: NodeNo, on: bool) {
        let node = &mut self.nodes[no];
        node.pending = None;
        node.order += 1;
        if node.powered == on {
            return;
        }
        node.powered = on;
        node.boot += 1;
        node.up = false;
        self.machine.edges.push(Edge { node: no, on, at: self.now });
    }

    /// The node asks BSS what to boot: what it gets is what is in force right now.
    pub fn fetch_boot_parameters(&mut self, no: NodeNo, boot: u32) {
        if self.nodes[no].boot != boot || !self.nodes[no].powered {
            return;
        }
        let Some(next) = self.bss.lookup(&self.nodes[no].xname, self.hsm.role_of(no)) else {
            self.schedule(self.settings.boot_retry, Event::Fetch { node: no, boot });
            return;
        };
        self.bss.fetched(no, self.now);
        if !(self.s3.has_path(&next.kernel) && self.s3.has_path(&next.initrd)) {
            let time = self.settings.boot_retry * BROKEN_IMAGE_RETRY_FACTOR;
            self.schedule(time, Event::Fetch { node: no, boot });
            return;
        }
        let time = self.jittered(self.settings.boot, no);
        let node = &mut self.nodes[no];
        if node.faults.has(NodeFault::NeverBoots) || node.faults.take(NodeFault::HangsOnce) {
            return;
        }
        if node.faults.has(NodeFault::BootsOldImage) {
            node.running.get_or_insert_with(|| old_image(no));
        } else {
            node.running = Some(next);
        }
        self.schedule(time, Event::Up { node: no, boot });
    }

    /// The node is up: it beats, reports, and lets CFS configure it.
    pub fn node_is_up(&mut self, no: NodeNo, boot: u32) {
        if self.nodes[no].boot != boot {
            return;
        }
        self.nodes[no].up = true;
        self.nodes[no].up_since = Some(self.now);
        self.nodes[no].report_tries = 0;
        self.schedule(self.settings.hsm_lag, Event::Noticed { node: no, boot, state: State::Ready });
        self.report_in(no, Duration::ZERO);
        self.cfs_enabled_by_node(no);
    }

    /// Puts a node into the state of one that has been up for long.
    pub fn start_up(&mut self, no: NodeNo) {
        let wanted = self.bss.lookup(&self.nodes[no].xname, self.hsm.role_of(no));
        let node = &mut self.nodes[no];
        node.powered = true;
        node.up = true;
        node.running = Some(wanted.unwrap_or_else(|| old_image(no)));
        self.hsm.notice(no, State::Ready);
    }

    /// Sets a node's power by hand, as somebody at the cabinet would.
    pub fn set_power_by_hand(&mut self, no: NodeNo, on: bool) {
        let order = self.nodes[no].order;
        if self.nodes[no].powered != on {
            self.power_edge(no, order, on);
        }
    }

    /// Hands a report of a node that is still in the same boot to the sender.
    pub fn report(&mut self, no: NodeNo, boot: u32) {
        let node = &self.nodes[no];
        if node.boot != boot || !node.up || node.report_due != self.now {
            return;
        }
        let (Some(running), Some(url)) = (&node.running, &self.bosun_url) else { return };
        let (xname, token) = (node.xname.clone(), running.bss_token.clone());
        let report = Report { node: no, boot, xname, token, url: url.clone() };
        self.outbox.push(report);
    }

    /// Plans the node's next report, in place of any other.
    pub fn report_in(&mut self, no: NodeNo, time: Duration) {
        let at = self.now.after(time);
        self.nodes[no].report_due = at;
        self.queue.push(at, Event::Report { node: no, boot: self.nodes[no].boot });
    }

    /// Lets every node that is up report at some time within the report interval, as reporters do that run for long.
    pub fn announce_all(&mut self) {
        if self.bosun_url.is_none() {
            return;
        }
        let interval = self.settings.report_interval;
        for no in 0..self.nodes.len() {
            if self.nodes[no].up {
                let share = scatter(self.settings.seed ^ 7, no as u64) as f64 / u64::MAX as f64;
                self.report_in(no, interval.mul_f64(share));
            }
        }
    }
}

/// What a node runs that was booted before anybody kept records.
fn old_image(no: NodeNo) -> Running {
    let token = uuid::Uuid::from_u128(0x0a1d_0000_0000_4000_8000_0000_0000_0000 | no as u128);
    Running {
        bss_token: token.to_string().into(),
        kernel: "s3://boot-images/00000000-0000-4000-8000-000000000000/kernel".into(),
        initrd: "s3://boot-images/00000000-0000-4000-8000-000000000000/initrd".into(),
    }
}
