//! HSM, the Hardware State Manager (also SMD): what components there are, in which state, group and lock.
//!
//! It follows the hardware a little later than it happens, and never PCS. Its silences are reproduced: unknown
//! xnames and forbidden state changes are answered 204, unknown filter keys are ignored, and an empty list of
//! components means every component.

mod component;
mod filter;
mod group;
mod inventory;
mod lock;
mod patch;
mod reservation;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use self::filter::Filter;
pub use self::inventory::{mac_of, node_of_mac};
pub use self::lock::{Holder, Reservation};

use super::Shared;
use super::faults::choose;
use super::http::{Refusal, bad, json, read, text};
use super::settings::Settings;
use super::world::NodeNo;

/// How often expired reservations are removed.
pub const REAP_INTERVAL: Duration = Duration::from_secs(30);

/// The state of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unknown,
    Empty,
    Populated,
    Off,
    On,
    Standby,
    Halt,
    Ready,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Empty,
        Self::Populated,
        Self::Off,
        Self::On,
        Self::Standby,
        Self::Halt,
        Self::Ready,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Empty => "Empty",
            Self::Populated => "Populated",
            Self::Off => "Off",
            Self::On => "On",
            Self::Standby => "Standby",
            Self::Halt => "Halt",
            Self::Ready => "Ready",
        }
    }

    /// Reads a name in any case.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }

    /// Whether HSM lets a component go from `self` to `next` without force.
    pub fn may_become(self, next: Self) -> bool {
        use State::{Empty, Halt, Off, On, Populated, Ready, Standby, Unknown};
        match next {
            Off => matches!(self, Off | On | Standby | Halt | Ready),
            On => matches!(self, On | Off | Standby | Halt),
            Standby => matches!(self, Standby | Ready),
            Halt => matches!(self, Halt | Ready),
            Ready => matches!(self, Ready | On | Off | Standby | Halt),
            Unknown | Empty | Populated => false,
        }
    }
}

/// The values HSM takes; roles and sub-roles as a site's configuration usually extends them.
pub const FLAGS: [&str; 5] = ["Unknown", "OK", "Warning", "Alert", "Locked"];
pub const ROLES: [&str; 6] = ["Compute", "Service", "System", "Application", "Storage", "Management"];
pub const SUB_ROLES: [&str; 7] =
    ["Master", "Worker", "Storage", "UAN", "Gateway", "LNETRouter", "Visualization"];
pub const ARCHES: [&str; 4] = ["X86", "ARM", "UNKNOWN", "Other"];
pub const CLASSES: [&str; 3] = ["River", "Mountain", "Hill"];

/// The spelling of `name` among `values`, whatever its case.
pub fn canonical<'a>(values: &[&'a str], name: &str) -> Option<&'a str> {
    values.iter().find(|value| value.eq_ignore_ascii_case(name)).copied()
}

/// What HSM holds of a node.
#[derive(Clone, Debug)]
pub struct Record {
    /// Deleted components are unknown to HSM, though the hardware is still there.
    pub present: bool,
    pub state: State,
    pub flag: &'static str,
    pub enabled: bool,
    pub software_status: Option<String>,
    pub role: &'static str,
    pub sub_role: Option<&'static str>,
    pub nid: u32,
    pub arch: &'static str,
    pub locked: bool,
    pub reservations_disabled: bool,
    pub reservation: Option<Reservation>,
}

/// A group or partition.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub description: String,
    pub tags: Vec<String>,
    pub exclusive_group: Option<String>,
    pub members: BTreeSet<NodeNo>,
}

/// HSM's database.
#[derive(Debug)]
pub struct Hsm {
    pub records: Vec<Record>,
    pub groups: BTreeMap<String, Group>,
    pub partitions: BTreeMap<String, Group>,
}

impl Hsm {
    /// The inventory of a new machine.
    pub fn new(settings: &Settings, xnames: &[String]) -> Self {
        let uan_from = xnames.len().saturating_sub(settings.uan);
        let record = |no: NodeNo| {
            let uan = no >= uan_from;
            Record {
                present: true,
                state: State::Off,
                flag: "OK",
                enabled: true,
                software_status: None,
                role: if uan { "Application" } else { "Compute" },
                sub_role: uan.then_some("UAN"),
                nid: settings.first_nid + u32::try_from(no).unwrap_or(u32::MAX),
                arch: "X86",
                locked: false,
                reservations_disabled: false,
                reservation: None,
            }
        };
        let mut records: Vec<Record> = (0..xnames.len()).map(record).collect();
        let mut taken = vec![false; xnames.len()];
        let mut pick = |pick, salt| choose(pick, xnames, settings.seed, salt, &mut taken);
        pick(&settings.locked, 101).into_iter().for_each(|no| records[no].locked = true);
        pick(&settings.disabled, 102).into_iter().for_each(|no| records[no].enabled = false);
        pick(&settings.empty, 103).into_iter().for_each(|no| records[no].state = State::Empty);
        let mut untaken = vec![false; xnames.len()];
        let arms = choose(&settings.arm, xnames, settings.seed, 104, &mut untaken);
        arms.into_iter().for_each(|no| records[no].arch = "ARM");
        Self { groups: groups(settings, xnames, uan_from), partitions: partitions(xnames.len()), records }
    }

    /// Follows the hardware, unless the slot is thought to be empty.
    pub fn notice(&mut self, no: NodeNo, state: State) {
        let record = &mut self.records[no];
        if record.state != State::Empty {
            record.state = state;
            record.flag = if state == State::Standby { "Alert" } else { "OK" };
        }
    }

    /// The role under which BSS looks for a node's boot parameters.
    pub fn role_of(&self, no: NodeNo) -> &'static str {
        self.records[no].role
    }
}

fn groups(settings: &Settings, xnames: &[String], uan_from: usize) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut add = |label: &str, description: &str, no: NodeNo| {
        let group = groups.entry(label.to_owned()).or_default();
        if group.description.is_empty() {
            description.clone_into(&mut group.description);
        }
        group.members.insert(no);
    };
    for (no, xname) in xnames.iter().enumerate() {
        let cabinet = xname.split_once('c').map_or("", |(cabinet, _)| cabinet);
        add(cabinet, "Nodes of one cabinet", no);
        if no < uan_from {
            add("compute", "Compute nodes", no);
        } else {
            add("uan", "User access nodes", no);
        }
    }
    for (salt, group) in settings.node_groups.iter().enumerate() {
        let mut taken = vec![false; xnames.len()];
        for no in choose(&group.members, xnames, settings.seed, 200 + salt as u64, &mut taken) {
            add(&group.name, "Chosen nodes", no);
        }
    }
    groups
}

fn partitions(nodes: usize) -> BTreeMap<String, Group> {
    let all = Group { description: "All nodes".into(), members: (0..nodes).collect(), ..Group::default() };
    BTreeMap::from([("p1".to_owned(), all)])
}

/// The routes below `/hsm/v2`.
pub fn routes() -> Router<Shared> {
    Router::new()
        .merge(component::routes())
        .merge(patch::routes())
        .merge(group::routes())
        .merge(lock::routes())
        .merge(inventory::routes())
        .route("/service/ready", get(async || json(&json!({"code": 0, "message": "HSM is healthy"}))))
        .route("/service/liveness", get(async || StatusCode::NO_CONTENT))
        .route("/service/values", get(values))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_route)
}

/// HSM knows neither unknown paths nor wrong methods on known ones.
async fn unknown_route() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

async fn values() -> Response {
    let states: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
    json(&json!({
        "State": states, "Flag": FLAGS, "Role": ROLES, "SubRole": SUB_ROLES, "Arch": ARCHES, "Class": CLASSES,
    }))
}

/// The body as JSON.
fn decoded<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    read(body).map_err(|detail| bad(format!("error decoding JSON {detail}")))
}

/// 204, HSM's answer to every well-formed write.
fn silence() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// HSM's answer to a deletion.
fn deleted() -> Response {
    json(&json!({"code": 0, "message": "deleted 1 entry"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_does_not_become_on() {
        assert!(!State::Ready.may_become(State::On));
        assert!(State::Ready.may_become(State::Off));
        assert!(!State::Off.may_become(State::Standby));
        assert!(!State::Off.may_become(State::Empty));
    }

    #[test]
    fn a_new_machine_has_its_groups() {
        let settings = Settings { nodes: 300, uan: 2, ..Settings::default() };
        let xnames: Vec<String> = (0..300).map(|no| format!("x{}c0s{no}b0n0", 1000 + no / 256)).collect();
        let hsm = Hsm::new(&settings, &xnames);
        let sizes: Vec<(&str, usize)> =
            hsm.groups.iter().map(|(l, g)| (l.as_str(), g.members.len())).collect();
        assert_eq!(sizes, [("compute", 298), ("uan", 2), ("x1000", 256), ("x1001", 44)]);
        assert_eq!(hsm.partitions["p1"].members.len(), 300);
        assert_eq!((hsm.records[299].role, hsm.records[299].sub_role), ("Application", Some("UAN")));
    }
}
