//! TAPMS, tenants: which hardware is whose. Read-only for everybody but `/sim/tenants`.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::faults::choose;
use super::http::{Answer, bad, json, json_with, read};
use super::settings::Settings;

/// What salts the choice of a tenant's nodes.
const SALT: u64 = 0x7e4a;

/// A tenant.
#[derive(Debug)]
struct Tenant {
    uuid: Uuid,
    xnames: Vec<String>,
}

impl Tenant {
    fn new(xnames: Vec<String>) -> Self {
        Self { uuid: Uuid::new_v4(), xnames }
    }

    /// As TAPMS shows it: what is asked for, and what is.
    fn record(&self, name: &str) -> Value {
        let resource = json!({
            "type": "compute", "enforceexclusivehsmgroups": true, "hsmgrouplabel": name, "hsmpartitionname": "",
            "xnames": self.xnames,
        });
        json!({
            "apiVersion": "tapms.hpe.com/v1alpha3",
            "kind": "Tenant",
            "metadata": {"name": name, "namespace": "tenants"},
            "spec": {
                "tenantname": name, "state": "Deployed", "childnamespaces": ["user"], "tenantresources": [resource],
            },
            "status": {
                "uuid": self.uuid, "childnamespaces": [format!("{name}-user")], "tenantresources": [resource],
            },
        })
    }
}

/// TAPMS's records.
#[derive(Debug, Default)]
pub struct Tapms {
    tenants: BTreeMap<String, Tenant>,
}

impl Tapms {
    /// The tenants that the machine starts with; no node belongs to two.
    pub fn seeded(settings: &Settings, xnames: &[String]) -> Self {
        let mut taken = vec![false; xnames.len()];
        let mut tenants = BTreeMap::new();
        for tenant in &settings.tenants {
            let nodes = choose(&tenant.members, xnames, settings.seed, SALT, &mut taken);
            let nodes = nodes.into_iter().map(|node| xnames[node].clone()).collect();
            tenants.insert(tenant.name.clone(), Tenant::new(nodes));
        }
        Self { tenants }
    }

    /// By name, or by UUID.
    fn find(&self, id: &str) -> Option<(&String, &Tenant)> {
        self.tenants.iter().find(|(name, tenant)| *name == id || tenant.uuid.to_string() == id)
    }

    /// Gives a tenant, new or not, exactly these nodes.
    pub fn set(&mut self, name: &str, xnames: Vec<String>) {
        match self.tenants.get_mut(name) {
            Some(tenant) => tenant.xnames = xnames,
            None => _ = self.tenants.insert(name.to_owned(), Tenant::new(xnames)),
        }
    }

    /// Takes a tenant away.
    pub fn remove(&mut self, name: &str) {
        self.tenants.remove(name);
    }
}

/// The routes below `/v1alpha3`.
pub fn routes() -> Router<Shared> {
    Router::new().route("/tenants", get(list)).route("/tenants/{id}", get(one))
}

/// The routes below `/sim`.
pub fn controls() -> Router<Shared> {
    Router::new().route("/tenants/{name}", put(set).delete(remove))
}

async fn list(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| {
        let records = world.tapms.tenants.iter().map(|(name, tenant)| tenant.record(name));
        json(&records.collect::<Vec<_>>())
    })
}

/// A missing tenant is told as a bare text.
async fn one(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Response {
    sim.with(|world| match world.tapms.find(&id) {
        Some((name, tenant)) => json(&tenant.record(name)),
        None => json_with(StatusCode::NOT_FOUND, &format!("no tenant has the name or uuid '{id}'")),
    })
}

async fn set(Extract(sim): Extract<Shared>, Path(name): Path<String>, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        xnames: Vec<String>,
    }
    let Body { xnames } = read(&body).map_err(bad)?;
    Ok(sim.with(|world| {
        world.tapms.set(&name, xnames);
        json(&json!({}))
    }))
}

async fn remove(Extract(sim): Extract<Shared>, Path(name): Path<String>) -> Response {
    sim.with(|world| {
        world.tapms.remove(&name);
        json(&json!({}))
    })
}
