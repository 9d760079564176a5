//! The nodes' side of BSS: boot scripts, who fetched them, and which hosts BSS knows.

use axum::Router;
use axum::extract::{RawQuery, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use super::parameters::{host_of_mac, host_of_nid};
use crate::sim::Shared;
use crate::sim::hsm::mac_of;
use crate::sim::http::{Answer, bad, json, missing, query, text};
use crate::sim::world::World;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/bootscript", get(script))
        .route("/endpoint-history", get(history))
        .route("/hosts", get(hosts).post(async || StatusCode::NO_CONTENT))
}

fn selected(world: &World, pairs: &[(String, String)]) -> Option<Option<String>> {
    pairs.iter().find_map(|(key, value)| match key.as_str() {
        "name" => Some(Some(value.clone())),
        "mac" => Some(host_of_mac(world, value)),
        "nid" => Some(value.parse().ok().and_then(|nid| host_of_nid(world, nid))),
        _ => None,
    })
}

async fn script(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let pairs = query(raw.as_deref());
    sim.with(|world| {
        let host = selected(world, &pairs).ok_or_else(|| bad("Need a mac=, name=, or nid= parameter"))?;
        let node = host.as_ref().and_then(|xname| world.names.get(xname)).copied();
        let running = node.and_then(|no| world.bss.lookup(&world.nodes[no].xname, world.hsm.role_of(no)));
        let chain = "chain http://bss/boot/v1/bootscript";
        let (Some(no), Some(running)) = (node, running) else {
            if pairs.iter().any(|(key, _)| key == "arch") {
                return Err(missing("this host not configured for booting."));
            }
            let again = format!("#!ipxe\nsleep 10\n{chain}?arch=${{buildarch}}&ts=0\n");
            return Ok(text(StatusCode::OK, again));
        };
        let xname = &world.nodes[no].xname;
        let record = world.bss.record(xname, world.hsm.role_of(no));
        let mut params = record.and_then(|host| host.parameters.command_line()).unwrap_or_default();
        for (key, value) in [
            ("xname", xname.clone()),
            ("nid", world.hsm.records[no].nid.to_string()),
            ("bss_referral_token", running.bss_token.to_string()),
            ("ds", "nocloud-net;s=http://bss:8888/".to_owned()),
        ] {
            if !params.split(' ').any(|word| word.starts_with(&format!("{key}="))) {
                params.push_str(&format!(" {key}={value}"));
            }
        }
        let (kernel, initrd) = (presigned(&running.kernel), presigned(&running.initrd));
        let script = format!(
            "#!ipxe\nkernel --name kernel {kernel} initrd=initrd {params} || goto boot_retry\n\
             initrd --name initrd {initrd} || goto boot_retry\nboot || goto boot_retry\n\
             :boot_retry\nsleep 30\n{chain}?mac={}&retry=1\n",
            mac_of(no)
        );
        let now = world.now;
        world.bss.fetched(no, now);
        Ok(text(StatusCode::OK, script))
    })
}

/// A URL that is good for a day and different each time.
fn presigned(path: &str) -> String {
    match path.strip_prefix("s3://") {
        Some(key) => {
            format!("http://s3/{key}?X-Amz-Expires=86400&X-Amz-Signature={}", Uuid::new_v4().simple())
        }
        None => path.to_owned(),
    }
}

async fn history(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Response {
    let pairs = query(raw.as_deref());
    let name = pairs.iter().find(|(key, _)| key == "name").map(|(_, value)| value);
    sim.with(|world| {
        let fetched = world.bss.history.iter();
        let entries: Vec<Value> = fetched
            .map(|(&no, &at)| (&world.nodes[no].xname, world.clock.calendar(at).timestamp()))
            .filter(|(xname, _)| name.is_none_or(|name| name == *xname))
            .map(|(xname, epoch)| json!({"name": xname, "endpoint": "bootscript", "last_epoch": epoch}))
            .collect();
        json(&entries)
    })
}

async fn hosts(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let pairs = query(raw.as_deref());
    sim.with(|world| {
        let asked = selected(world, &pairs);
        let wanted: Vec<usize> = match &asked {
            None => (0..world.nodes.len()).collect(),
            Some(host) => host.iter().filter_map(|xname| world.names.get(xname).copied()).collect(),
        };
        if wanted.is_empty() {
            return Err(missing("Not Found"));
        }
        let view = |no: usize| {
            let record = &world.hsm.records[no];
            json!({
                "ID": world.nodes[no].xname, "Type": "Node", "State": record.state.name(), "Enabled": record.enabled,
                "Role": record.role, "NID": record.nid, "FQDN": "", "MAC": [mac_of(no)], "EndpointEnabled": true,
            })
        };
        Ok(json(&wanted.into_iter().map(view).collect::<Vec<_>>()))
    })
}
