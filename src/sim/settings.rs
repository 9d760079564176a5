//! What the simulated machine looks like, how fast it is and what is broken in it.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser};
use humantime::parse_duration;

use super::faults::Rule;

/// The machine to simulate. Times are those of the simulated hardware and services.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulated machine")]
pub struct Settings {
    /// How many nodes the machine has
    #[arg(long, default_value_t = 100)]
    pub nodes: usize,
    /// Number of the first cabinet
    #[arg(long, default_value_t = 1000)]
    pub cabinet: u32,
    /// Chassis per cabinet
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub chassis: u32,
    /// Slots per chassis
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,
    /// BMCs per slot
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub bmcs: u32,
    /// Nodes per BMC
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub nodes_per_bmc: u32,
    /// NID of the first node
    #[arg(long, default_value_t = 1000)]
    pub first_nid: u32,
    /// How many of the last nodes have the role Application and the sub-role UAN
    #[arg(long, default_value_t = 0)]
    pub uan: usize,
    /// Nodes of architecture ARM: how many, or their xnames
    #[arg(long, default_value = "0")]
    pub arm: Pick,
    /// A further HSM group: its name, and how many nodes it has or their xnames (repeatable)
    #[arg(long = "node-group", value_name = "NAME=N|XNAMES")]
    pub node_groups: Vec<NodeGroup>,
    /// A tenant: its name, and how many nodes it has or their xnames (repeatable)
    #[arg(long = "tenant", value_name = "NAME=N|XNAMES")]
    pub tenants: Vec<NodeGroup>,
    /// What the nodes do when the machine starts
    #[arg(long, value_enum, default_value_t = Initially::On)]
    pub initially: Initially,
    /// Everything that looks like chance follows from this number
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// From the order to switch off gracefully until the power is off
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub soft_off: Duration,
    /// From the order to switch off by force until the power is off
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    pub force_off: Duration,
    /// From the order to switch on until the power is on
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub power_on: Duration,
    /// From power on until the node is up
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub boot: Duration,
    /// How long CFS needs to configure a node that is up
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub configure: Duration,
    /// How far each of these times may be off, as a fraction (10% or 0.1)
    #[arg(long, default_value = "10%", value_parser = parse_fraction)]
    pub jitter: f64,
    /// How long HSM needs to notice a change of a node
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub hsm_lag: Duration,
    /// How long a node without boot parameters waits before it asks BSS again
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub boot_retry: Duration,

    /// How often PCS refills its table of power states
    #[arg(long, env = "BOSUN_PCS_SAMPLE_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    pub pcs_sample_interval: Duration,
    /// How long PCS sleeps before each look for a confirmation
    #[arg(long, env = "BOSUN_PCS_CONFIRM_INTERVAL", default_value = "15s", value_parser = parse_duration)]
    pub pcs_confirm_interval: Duration,
    /// How long a minute of taskDeadlineMinutes lasts
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub pcs_minute: Duration,
    /// How long PCS needs to make a new transition's tasks; until then it reads 0 of 0
    #[arg(long, default_value = "300ms", value_parser = parse_duration)]
    pub pcs_start: Duration,
    /// How long PCS tries to reach a dead BMC
    #[arg(long, default_value = "7s", value_parser = parse_duration)]
    pub pcs_bmc_patience: Duration,
    /// Most xnames of one transition before PCS's store refuses the record
    #[arg(long, default_value_t = 2500)]
    pub pcs_max_xnames: usize,
    /// Most hosts of one BSS request (none: no limit)
    #[arg(long)]
    pub bss_max_hosts: Option<usize>,
    /// Components on one page of CFS
    #[arg(long, default_value_t = 1000)]
    pub cfs_page_size: usize,

    /// Where the nodes report to: the base URL of bosun's API
    #[arg(long)]
    pub bosun_url: Option<String>,
    /// The nodes have no reporter: only HSM tells that they are up
    #[arg(long)]
    pub no_reporter: bool,
    /// How often a node that is up repeats its report
    #[arg(long, default_value = "3h", value_parser = parse_duration)]
    pub report_interval: Duration,

    /// Nodes that take every order to switch off and stay on
    #[arg(long, default_value = "0")]
    pub fail_power_off: Pick,
    /// Nodes that ignore the graceful order and obey only force
    #[arg(long, default_value = "0")]
    pub refuse_soft_off: Pick,
    /// Nodes that take the order to switch on and stay off
    #[arg(long, default_value = "0")]
    pub fail_power_on: Pick,
    /// Nodes that power on and never come up
    #[arg(long, default_value = "0")]
    pub never_boots: Pick,
    /// Nodes that hang in their first boot and come up after one more power cycle
    #[arg(long, default_value = "0")]
    pub hangs_once: Pick,
    /// Nodes that come up with what they ran before
    #[arg(long, default_value = "0")]
    pub boots_old_image: Pick,
    /// Nodes whose configuration fails
    #[arg(long, default_value = "0")]
    pub fail_configuration: Pick,
    /// Nodes that CFS never gets round to
    #[arg(long, default_value = "0")]
    pub configuration_stays_pending: Pick,
    /// Nodes whose CFS component disappears as their configuration begins
    #[arg(long, default_value = "0")]
    pub configuration_vanishes: Pick,
    /// Nodes whose BMC does not answer
    #[arg(long, default_value = "0")]
    pub bmc_dead: Pick,
    /// Nodes locked in HSM
    #[arg(long, default_value = "0")]
    pub locked: Pick,
    /// Nodes disabled in HSM
    #[arg(long, default_value = "0")]
    pub disabled: Pick,
    /// Nodes whose slot is empty
    #[arg(long, default_value = "0")]
    pub empty: Pick,
    /// A service's misbehaviour, as pcs:POST /transitions:503:skip=0:times=3:retry-after=2 (repeatable)
    #[arg(long = "fault", value_name = "RULE")]
    pub faults: Vec<Rule>,
}

impl Default for Settings {
    fn default() -> Self {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            settings: Settings,
        }
        Defaults::parse_from(["simulate"]).settings
    }
}

/// What the nodes do when the machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Initially {
    /// Powered off; nothing was ever booted.
    Off,
    /// Up, with a token nobody knows any more.
    On,
    /// Up, with the boot parameters that BSS holds for them.
    Wanted,
}

/// Some of the nodes: a number, spread evenly, or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// So many, wherever they are.
    Count(usize),
    /// Exactly these.
    Xnames(Vec<String>),
}

impl Default for Pick {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl FromStr for Pick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        if !text.starts_with(['x', 'X']) {
            return Err(format!("{text}: give a number of nodes, or xnames separated by commas"));
        }
        Ok(Self::Xnames(text.split(',').map(|name| name.trim().to_lowercase()).collect()))
    }
}

/// A group of HSM beside those every machine has, or a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGroup {
    /// The group's label.
    pub name: String,
    /// Its members.
    pub members: Pick,
}

impl FromStr for NodeGroup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, members) =
            text.split_once('=').ok_or_else(|| format!("{text}: give NAME=N or NAME=x,x"))?;
        Ok(Self { name: name.to_lowercase(), members: members.parse()? })
    }
}

fn parse_fraction(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>().map(|value| value / scale) {
        Ok(fraction) if (0.0..1.0).contains(&fraction) => Ok(fraction),
        _ => Err(format!("{text}: give a fraction below 1, such as 10% or 0.1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pick_is_a_number_or_names() {
        assert_eq!("12".parse(), Ok(Pick::Count(12)));
        assert_eq!("X1000c0s0b0n0,x2".parse(), Ok(Pick::Xnames(vec!["x1000c0s0b0n0".into(), "x2".into()])));
        assert!("some".parse::<Pick>().is_err());
    }

    #[test]
    fn a_fraction_is_read_in_both_forms() {
        assert_eq!(parse_fraction("10%"), Ok(0.1));
        assert_eq!(parse_fraction("0.25"), Ok(0.25));
        assert!(parse_fraction("150%").is_err());
    }

    #[test]
    fn the_defaults_hold() {
        let settings = Settings::default();
        assert_eq!((settings.nodes, settings.cfs_page_size), (100, 1000));
        assert_eq!(settings.boot, Duration::from_secs(30));
    }
}
