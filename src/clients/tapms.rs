//! Tenant and Partition Management Service (`/v1alpha3`): which components are a tenant's. It is only ever asked.

use std::time::Duration;

use serde::Deserialize;

use super::{
    ClientError, found,
    http::{Http, Reply},
};
use crate::model::{session::Name, xname::canonical};

/// The longest a question may take, with all its tries: requests wait for it.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// The client.
#[derive(Debug)]
pub struct Tapms {
    http: Http,
}

#[derive(Deserialize)]
struct TenantWire {
    #[serde(default)]
    metadata: MetadataWire,
    #[serde(default)]
    status: StatusWire,
}

#[derive(Deserialize, Default)]
struct MetadataWire {
    name: Option<String>,
}

#[derive(Deserialize, Default)]
struct StatusWire {
    #[serde(default)]
    tenantresources: Option<Vec<ResourceWire>>,
}

#[derive(Deserialize)]
struct ResourceWire {
    #[serde(default)]
    xnames: Option<Vec<String>>,
}

impl Tapms {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        self.http.root().as_str()
    }

    /// Whether TAPMS answers: it has no better question than for its tenants.
    pub(super) async fn ready(&self) -> Result<Reply, ClientError> {
        self.http.get(&["v1alpha3", "tenants"], &[]).await
    }

    /// The components that a tenant has now, in order, if there is such a tenant. What it is still to be given (its
    /// `spec`) does not count.
    pub async fn components(&self, tenant: &str) -> Result<Option<Vec<String>>, ClientError> {
        // What is no name could also be a way through the path.
        if tenant.parse::<Name>().is_err() {
            return Ok(None);
        }
        let answer = self.http.get(&["v1alpha3", "tenants", tenant], &[]).await;
        let Some(reply) = found(answer)? else { return Ok(None) };
        let wire: TenantWire = reply.json()?;
        // TAPMS finds tenants by their UUID as well; but one tenant has one name here.
        if wire.metadata.name.is_some_and(|name| name != tenant) {
            return Ok(None);
        }
        let resources = wire.status.tenantresources.unwrap_or_default();
        let named = resources.into_iter().flat_map(|resource| resource.xnames.unwrap_or_default());
        let mut components: Vec<String> = named.map(|xname| canonical(&xname)).collect();
        components.sort_unstable();
        components.dedup();
        Ok(Some(components))
    }
}
