//! `bootparameters`: the records, and their five ways to surprise.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State as Extract};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bss, Host, ImageKind, Parameters};
use crate::sim::Shared;
use crate::sim::hsm::node_of_mac;
use crate::sim::http::{Answer, Refusal, bad, json, missing, query, read, refuse};
use crate::sim::world::World;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new().route("/bootparameters", get(list).put(put).post(post).patch(patch).delete(delete))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    hosts: Vec<String>,
    macs: Vec<String>,
    nids: Vec<u32>,
    params: String,
    kernel: String,
    initrd: String,
    #[serde(rename = "cloud-init")]
    cloud_init: Option<Value>,
}

impl Body {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Err(bad("Bad Request: EOF"));
        }
        read(bytes).map_err(|detail| bad(format!("Bad Request: {detail}")))
    }

    /// The keys that the body names: hosts, or else MACs, or else NIDs, never more than one of them.
    fn keys(&self, world: &World) -> Vec<String> {
        if !self.hosts.is_empty() {
            self.hosts.clone()
        } else if !self.macs.is_empty() {
            self.macs.iter().map(|mac| host_of_mac(world, mac).unwrap_or_else(|| mac.clone())).collect()
        } else {
            self.nids
                .iter()
                .map(|&nid| host_of_nid(world, nid).unwrap_or_else(|| format!("nid{nid}")))
                .collect()
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            params: self.params.clone(),
            kernel: self.kernel.as_str().into(),
            initrd: self.initrd.as_str().into(),
            cloud_init: self.cloud_init.clone(),
        }
    }
}

pub(super) fn host_of_mac(world: &World, mac: &str) -> Option<String> {
    Some(world.nodes.get(node_of_mac(mac)?)?.xname.clone())
}

pub(super) fn host_of_nid(world: &World, nid: u32) -> Option<String> {
    let no = world.hsm.records.iter().position(|record| record.nid == nid)?;
    Some(world.nodes[no].xname.clone())
}

/// One record as BSS shows it; the token is never among it.
#[derive(Default, Serialize)]
struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "str::is_empty")]
    params: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kernel: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    initrd: &'a str,
    #[serde(rename = "cloud-init", skip_serializing_if = "Option::is_none")]
    cloud_init: Option<&'a Value>,
}

impl<'a> View<'a> {
    fn of((name, host): (&'a String, &'a Host)) -> Self {
        let parameters = &*host.parameters;
        Self {
            hosts: Some([name]),
            params: &parameters.params,
            kernel: &parameters.kernel,
            initrd: &parameters.initrd,
            cloud_init: parameters.cloud_init.as_ref(),
        }
    }
}

fn too_many(world: &World, keys: usize) -> Result<(), Refusal> {
    match world.settings.bss_max_hosts {
        Some(most) if keys > most => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("{keys} hosts are too many")))
        }
        _ => Ok(()),
    }
}

fn with_token(status: StatusCode, token: &str) -> Response {
    let mut response = status.into_response();
    if let Ok(token) = HeaderValue::from_str(token) {
        response.headers_mut().insert("BSS-Referral-Token", token);
    }
    response
}

async fn put(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    sim.with(|world| {
        let keys = body.keys(world);
        too_many(world, keys.len())?;
        if keys.is_empty() {
            remember_images(&mut world.bss, &body);
            return Ok(StatusCode::OK.into_response());
        }
        let token = world.bss.put(&keys, &Arc::new(body.parameters()));
        Ok(with_token(StatusCode::OK, &token))
    })
}

/// Without hosts the parameters belong to the image itself.
fn remember_images(bss: &mut Bss, body: &Body) {
    for (path, kind) in [(&body.kernel, ImageKind::Kernel), (&body.initrd, ImageKind::Initrd)] {
        if !path.is_empty() {
            bss.images.insert(path.clone(), (kind, body.params.clone()));
        }
    }
}

async fn post(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    sim.with(|world| {
        let keys = body.keys(world);
        too_many(world, keys.len())?;
        if let Some(known) = keys.iter().find(|key| world.bss.hosts.contains_key(*key)) {
            return Err(bad(format!("Bad Request: Already exists: {known}")));
        }
        let token = world.bss.put(&keys, &Arc::new(body.parameters()));
        Ok(with_token(StatusCode::CREATED, &token))
    })
}

async fn patch(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    sim.with(|world| {
        let by_host = !body.hosts.is_empty();
        let mut keys = body.keys(world);
        if by_host {
            if let Some(unknown) = keys.iter().find(|key| !world.bss.hosts.contains_key(*key)) {
                let detail =
                    format!("Not Found: Error looking up {unknown}: Key /params/{unknown} does not exist");
                return Err(missing(detail));
            }
        } else {
            keys.retain(|key| world.bss.hosts.contains_key(key));
        }
        for key in &keys {
            let Some(host) = world.bss.hosts.get_mut(key) else { continue };
            let parameters = Arc::make_mut(&mut host.parameters);
            if !body.params.is_empty() {
                parameters.params.clone_from(&body.params);
            }
            if !body.kernel.is_empty() {
                parameters.kernel = body.kernel.as_str().into();
            }
            if !body.initrd.is_empty() {
                parameters.initrd = body.initrd.as_str().into();
            }
            if let Some(change) = &body.cloud_init {
                merge(parameters.cloud_init.get_or_insert(Value::Null), change);
            }
        }
        Ok(StatusCode::OK.into_response())
    })
}

/// JSON merge patch.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else { return target.clone_from(change) };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in change {
        if value.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

async fn delete(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    sim.with(|world| {
        let keys = body.keys(world);
        let mut absent = None;
        for key in keys {
            if world.bss.hosts.remove(&key).is_none() {
                absent.get_or_insert(key);
            }
        }
        for path in [&body.kernel, &body.initrd] {
            if !path.is_empty() {
                blank(&mut world.bss, path);
            }
        }
        // Those before and after the missing one are gone all the same.
        match absent {
            Some(key) => Err(bad(format!("Key {key} deletion: Key /params/{key} does not exist"))),
            None => Ok(StatusCode::OK.into_response()),
        }
    })
}

/// Deletes an image: every host that uses it is left without.
fn blank(bss: &mut Bss, path: &str) {
    bss.images.remove(path);
    for host in bss.hosts.values_mut() {
        let uses = |image: &Arc<str>| **image == *path;
        let (kernel, initrd) = (uses(&host.parameters.kernel), uses(&host.parameters.initrd));
        if kernel || initrd {
            let parameters = Arc::make_mut(&mut host.parameters);
            if kernel {
                parameters.kernel = "".into();
            }
            if initrd {
                parameters.initrd = "".into();
            }
        }
    }
}

async fn list(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery, body: Bytes) -> Answer {
    let mut asked = if body.is_empty() { Body::default() } else { Body::read(&body)? };
    for (key, values) in query(raw.as_deref()) {
        let values = values.split(',').filter(|value| !value.is_empty());
        match key.as_str() {
            "name" => asked.hosts.extend(values.map(str::to_owned)),
            "mac" => asked.macs.extend(values.map(str::to_owned)),
            "nid" => {
                for value in values {
                    asked.nids.push(value.parse().map_err(|_| bad(format!("Bad Request: bad nid {value}")))?);
                }
            }
            _ => {}
        }
    }
    sim.with(|world| {
        let bss = &world.bss;
        let keys = asked.keys(world);
        if keys.is_empty() {
            return Ok(everything(bss));
        }
        let found: Vec<View<'_>> =
            keys.iter().filter_map(|key| bss.hosts.get_key_value(key)).map(View::of).collect();
        if found.is_empty() {
            return Err(missing("Cannot find boot parameters for requested Hosts"));
        }
        Ok(json(&found))
    })
}

/// All records: those of images, then those of hosts; `null` if there are none.
fn everything(bss: &Bss) -> Response {
    let mut views: Vec<View<'_>> = Vec::new();
    for (path, (kind, params)) in &bss.images {
        views.push(match kind {
            ImageKind::Kernel => View { kernel: path, params, ..View::default() },
            ImageKind::Initrd => View { initrd: path, params, ..View::default() },
        });
    }
    views.extend(bss.hosts.iter().map(View::of));
    json(&Some(views).filter(|views| !views.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cloud_init_is_merged() {
        let mut target = json!({"meta-data": {"a": 1, "b": 2}});
        merge(&mut target, &json!({"meta-data": {"b": null, "c": 3}}));
        assert_eq!(target, json!({"meta-data": {"a": 1, "c": 3}}));
    }
}
