//! The whole machine in one value: hardware, services and what is to happen next.
//!
//! The world knows no HTTP and no real time: it is told what time it is. Services keep their own records in it
//! and learn of each other only through what the real ones exchange.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, Moment, Queue, scatter};
use super::faults::{NodeFault, NodeFaults, choose};
use super::layout::{Kind, Layout};
use super::machine::{Machine, Node};
use super::settings::{Initially, Settings};
use super::{bss::Bss, cfs::Cfs, hsm::Hsm, ims::Ims, pcs::Pcs, s3::S3, tapms::Tapms};

/// Which node, in the order of the layout.
pub type NodeNo = usize;

/// What is to happen at some moment.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The hardware's power changes, unless another order came after `order`.
    Power { node: NodeNo, order: u32, on: bool },
    /// The node asks BSS what to boot.
    Fetch { node: NodeNo, boot: u32 },
    /// The node is up.
    Up { node: NodeNo, boot: u32 },
    /// HSM notices a change of the node.
    Noticed { node: NodeNo, boot: u32, state: super::hsm::State },
    /// The node sends its report.
    Report { node: NodeNo, boot: u32 },
    /// PCS refills its table.
    PcsSample,
    /// A transition of PCS goes on.
    Transition { number: usize },
    /// CFS is through with a node, unless its record changed since `round`.
    Configured { node: NodeNo, round: u32, boot: u32 },
    /// HSM removes reservations that have expired.
    ReapReservations,
}

/// A report that a node wants to send.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node.
    pub node: NodeNo,
    /// Which of its boots reports.
    pub boot: u32,
    /// Its name.
    pub xname: String,
    /// The token on its kernel's command line.
    pub token: Arc<str>,
    /// The base URL of bosun's API.
    pub url: Arc<str>,
}

/// The machine.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub clock: Clock,
    /// The moment at which something is happening right now.
    pub now: Moment,
    pub queue: Queue<Event>,
    pub nodes: Vec<Node>,
    pub names: HashMap<String, NodeNo>,
    /// What the nodes sit in: cabinets, chassis, modules, BMCs.
    pub parents: Vec<(String, Kind)>,
    /// Those of them that somebody switched off.
    pub parents_off: HashSet<String>,
    pub machine: Machine,
    pub hsm: Hsm,
    pub pcs: Pcs,
    pub bss: Bss,
    pub cfs: Cfs,
    pub ims: Ims,
    pub tapms: Tapms,
    pub s3: S3,
    /// Where reports go; `None` while nobody listens.
    pub bosun_url: Option<Arc<str>>,
    /// Reports waiting to be sent; at most one per node.
    pub outbox: Vec<Report>,
}

impl World {
    /// A machine at the moment of its start.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let layout = Layout {
            cabinet: settings.cabinet,
            chassis: settings.chassis,
            slots: settings.slots,
            bmcs: settings.bmcs,
            nodes_per_bmc: settings.nodes_per_bmc,
        };
        let (xnames, parents) = layout.build(settings.nodes);
        let faults = node_faults(&settings, &xnames);
        let hsm = Hsm::new(&settings, &xnames);
        let nodes: Vec<Node> =
            xnames.iter().zip(faults).map(|(xname, faults)| Node::new(xname.clone(), faults)).collect();
        let s3 = S3::seeded(&clock);
        let mut world = Self {
            names: xnames.iter().cloned().zip(0..).collect(),
            machine: Machine::default(),
            hsm,
            pcs: Pcs::new(nodes.len()),
            bss: Bss::default(),
            cfs: Cfs::seeded(&settings, &clock, &xnames),
            ims: Ims::seeded(&s3),
            tapms: Tapms::seeded(&settings, &xnames),
            s3,
            bosun_url: settings
                .bosun_url
                .as_deref()
                .filter(|_| !settings.no_reporter)
                .map(|url| url.trim_end_matches('/').into()),
            outbox: Vec::new(),
            now: Moment::default(),
            queue: Queue::new(),
            nodes,
            parents,
            parents_off: HashSet::new(),
            settings,
            clock,
        };
        world.furnish();
        world
    }

    /// Puts everything into its first state.
    fn furnish(&mut self) {
        if self.settings.initially == Initially::Wanted {
            self.bss.seed_default(&self.s3);
        }
        if self.settings.initially != Initially::Off {
            for node in 0..self.nodes.len() {
                if self.hsm.records[node].state != super::hsm::State::Empty {
                    self.start_up(node);
                }
            }
        }
        self.announce_all();
        self.queue.push(Moment::default(), Event::PcsSample);
        self.queue.push(Moment::default().after(super::hsm::REAP_INTERVAL), Event::ReapReservations);
        self.advance(Moment::default());
    }

    /// Lets everything happen that is due by `now`, each thing at its own moment.
    pub fn advance(&mut self, now: Moment) {
        while let Some((at, event)) = self.queue.pop_due(now) {
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Power { node, order, on } => self.power_edge(node, order, on),
            Event::Fetch { node, boot } => self.fetch_boot_parameters(node, boot),
            Event::Up { node, boot } => self.node_is_up(node, boot),
            Event::Noticed { node, boot, state } => {
                if self.nodes[node].boot == boot {
                    self.hsm.notice(node, state);
                }
            }
            Event::Report { node, boot } => self.report(node, boot),
            Event::PcsSample => self.pcs_sample(),
            Event::Transition { number } => self.transition_goes_on(number),
            Event::Configured { node, round, boot } => self.configured(node, round, boot),
            Event::ReapReservations => self.reap_reservations(),
        }
    }

    /// Puts an event into the queue, this long from now.
    pub fn schedule(&mut self, time: Duration, event: Event) {
        self.queue.push(self.now.after(time), event);
    }

    /// `time` with this node's own deviation, which differs from boot to boot.
    pub fn jittered(&self, time: Duration, node: NodeNo) -> Duration {
        if self.settings.jitter == 0.0 {
            return time;
        }
        let salt = (node as u64) << 20 | u64::from(self.nodes[node].boot) << 4 | time.as_micros() as u64 & 15;
        let chance = scatter(self.settings.seed, salt) as f64 / u64::MAX as f64;
        time.mul_f64(1.0 + self.settings.jitter * (2.0 * chance - 1.0))
    }
}

fn node_faults(settings: &Settings, xnames: &[String]) -> Vec<NodeFaults> {
    let picks = [
        (&settings.fail_power_off, NodeFault::FailPowerOff),
        (&settings.refuse_soft_off, NodeFault::RefuseSoftOff),
        (&settings.fail_power_on, NodeFault::FailPowerOn),
        (&settings.never_boots, NodeFault::NeverBoots),
        (&settings.hangs_once, NodeFault::HangsOnce),
        (&settings.boots_old_image, NodeFault::BootsOldImage),
        (&settings.fail_configuration, NodeFault::FailConfiguration),
        (&settings.configuration_stays_pending, NodeFault::ConfigurationStaysPending),
        (&settings.configuration_vanishes, NodeFault::ConfigurationVanishes),
        (&settings.bmc_dead, NodeFault::BmcDead),
    ];
    let mut faults = vec![NodeFaults::default(); xnames.len()];
    let mut taken = vec![false; xnames.len()];
    for (pick, fault) in picks {
        for node in choose(pick, xnames, settings.seed, fault as u64, &mut taken) {
            faults[node].add(fault);
            taken[node] = true;
        }
    }
    faults
}
