//! The little of HSM's inventory that boot orchestration and its neighbours look at.

use axum::Router;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::sim::Shared;
use crate::sim::http::{Answer, json, missing, query};
use crate::sim::layout::{bmc_of, normalised};
use crate::sim::world::{NodeNo, World};

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/Inventory/ComponentEndpoints", get(endpoints))
        .route("/Inventory/ComponentEndpoints/{xname}", get(endpoint))
        .route("/Inventory/EthernetInterfaces", get(interfaces))
        .route("/sysinfo/powermaps", get(async || json(&Vec::<Value>::new())))
}

/// The MAC address of a node's management interface.
pub fn mac_of(no: NodeNo) -> String {
    let bytes = (0x0040_a600_0000_u64 | no as u64).to_be_bytes();
    let hex: Vec<String> = bytes[2..].iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(":")
}

/// The node with this MAC address.
pub fn node_of_mac(mac: &str) -> Option<NodeNo> {
    let number = u64::from_str_radix(&mac.replace([':', '-'], ""), 16).ok()?;
    usize::try_from(number.checked_sub(0x0040_a600_0000)?).ok()
}

fn describe(world: &World, no: NodeNo) -> Value {
    let xname = &world.nodes[no].xname;
    let bmc = bmc_of(xname);
    json!({
        "ID": xname, "Type": "Node", "RedfishType": "ComputerSystem", "OdataID": "/redfish/v1/Systems/Node0",
        "RedfishEndpointID": bmc, "Enabled": true, "RedfishEndpointFQDN": bmc,
        "RedfishURL": format!("{bmc}/redfish/v1/Systems/Node0"),
        "ComponentEndpointType": "ComponentEndpointComputerSystem",
        "RedfishSystemInfo": {
            "Actions": {"#ComputerSystem.Reset": {
                "ResetType@Redfish.AllowableValues": ["Off", "ForceOff", "On"],
                "target": "/redfish/v1/Systems/Node0/Actions/ComputerSystem.Reset",
            }},
            "EthernetNICInfo": [{"@odata.id": "/redfish/v1/Systems/Node0/EthernetInterfaces/0", "MACAddress": mac_of(no)}],
        },
    })
}

async fn endpoints(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Response {
    let pairs = query(raw.as_deref());
    let ids: Vec<String> =
        pairs.into_iter().filter(|(key, _)| key == "id").map(|(_, id)| normalised(&id)).collect();
    sim.with(|world| {
        let asked: Vec<NodeNo> = if ids.is_empty() {
            (0..world.nodes.len()).collect()
        } else {
            ids.iter().filter_map(|id| world.names.get(id).copied()).collect()
        };
        let views: Vec<Value> = asked.into_iter().map(|no| describe(world, no)).collect();
        json(&json!({ "ComponentEndpoints": views }))
    })
}

async fn endpoint(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    sim.with(|world| match world.names.get(&normalised(&xname)) {
        Some(&no) => Ok(json(&describe(world, no))),
        None => Err(missing("no such xname.")),
    })
}

async fn interfaces(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Response {
    let pairs = query(raw.as_deref());
    let asked = |key: &str| {
        let values = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        values.map(|(_, value)| value.to_lowercase()).collect::<Vec<_>>()
    };
    let (components, macs) = (asked("ComponentID"), asked("MACAddress"));
    sim.with(|world| {
        let wanted = |no: &NodeNo| {
            (components.is_empty() || components.contains(&world.nodes[*no].xname))
                && (macs.is_empty() || macs.contains(&mac_of(*no)))
        };
        let views: Vec<Value> = (0..world.nodes.len())
            .filter(wanted)
            .map(|no| {
                let mac = mac_of(no);
                let address = format!("10.{}.{}.{}", no >> 16 & 255, no >> 8 & 255, no & 255);
                json!({
                    "ID": mac.replace(':', ""), "Description": "", "MACAddress": mac, "Type": "Node",
                    "ComponentID": world.nodes[no].xname, "IPAddresses": [{"IPAddress": address}],
                })
            })
            .collect();
        json(&views)
    })
}
