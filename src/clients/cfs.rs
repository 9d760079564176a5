//! Configuration Framework Service (`/v3`): desired configurations, and how far components are.
//!
//! `configuration_status` is computed when it is read; the one in the answer to a PATCH is one step behind, so it is
//! never looked at. A PATCH with empty filters would change every component: it is never sent.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{
    ClientError, Dated, fixed_path, found,
    http::{Http, Reply},
};
use crate::model::Timestamp;

/// Most ids in one GET: they go into the URL, and BOS itself sends so many.
pub const IDS_MAX: usize = 200;
/// Most pages followed for one question, against a service whose `next` never ends.
const PAGES_MAX: usize = 64;

/// The client.
#[derive(Debug)]
pub struct Cfs {
    http: Http,
}

/// A component as CFS has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CfsComponent {
    /// Its xname.
    pub id: String,
    /// Whether CFS may configure it now.
    pub enabled: bool,
    /// The desired configuration's name; empty for none.
    pub desired_config: String,
    /// How far it is.
    pub status: ConfigurationStatus,
    /// The layers it has, of whatever configuration, unless they were cleared.
    pub layers: Vec<CfsLayer>,
}

/// How far a component's configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigurationStatus {
    /// Nothing desired, or something that does not exist.
    Unconfigured,
    /// CFS has yet to work on it (as soon as it is enabled).
    Pending,
    /// Tried, and given up.
    Failed,
    /// All layers are applied.
    Configured,
}

/// One layer of a component's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CfsLayer {
    /// The playbook.
    pub playbook: String,
    /// `applied`, `failed`, `skipped`, `incomplete`.
    pub status: String,
    /// When CFS last touched it, by its own clock.
    pub last_updated: Option<Timestamp>,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// How many layers it has.
    pub layers: usize,
}

/// What is written to components to have them configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staging<'a> {
    /// The desired configuration.
    pub configuration: &'a str,
    /// The session, for the tag `bos_session`.
    pub session: &'a str,
    /// Whether CFS may begin now; otherwise their state is cleared and the node enables itself when it is up.
    pub enable: bool,
}

#[derive(Serialize)]
struct PatchWire<'a> {
    patch: ChangeWire<'a>,
    filters: FiltersWire,
}

#[derive(Serialize)]
struct ChangeWire<'a> {
    enabled: bool,
    desired_config: &'a str,
    error_count: u32,
    tags: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<[(); 0]>,
}

#[derive(Serialize)]
struct FiltersWire {
    ids: String,
}

#[derive(Deserialize)]
struct PatchedWire {
    #[serde(default)]
    component_ids: Vec<String>,
}

#[derive(Deserialize)]
struct PageWire {
    #[serde(default)]
    components: Vec<ComponentWire>,
    #[serde(default)]
    next: Option<NextWire>,
}

#[derive(Deserialize)]
struct NextWire {
    after_id: Option<String>,
}

#[derive(Deserialize)]
struct ComponentWire {
    id: String,
    enabled: Option<bool>,
    desired_config: Option<String>,
    configuration_status: Option<String>,
    state: Option<Vec<LayerWire>>,
}

#[derive(Deserialize)]
struct LayerWire {
    #[serde(default)]
    playbook: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    last_updated: String,
}

#[derive(Deserialize)]
struct ConfigurationWire {
    name: String,
    layers: Option<Vec<serde_json::Value>>,
}

impl Cfs {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// A configuration, if it exists.
    pub async fn configuration(&self, name: &str) -> Result<Option<Configuration>, ClientError> {
        let Some(reply) = found(self.http.get(&["v3", "configurations", name], &[]).await)? else {
            return Ok(None);
        };
        let wire: ConfigurationWire = reply.json()?;
        Ok(Some(Configuration { name: wire.name, layers: wire.layers.map_or(0, |layers| layers.len()) }))
    }

    /// The components among these ids (at most [`IDS_MAX`]) with their layers; unknown ids are left out. No ids: no
    /// question (CFS would tell of everything).
    pub async fn components(&self, ids: &[String]) -> Result<Dated<Vec<CfsComponent>>, ClientError> {
        let mut told = Dated { value: Vec::with_capacity(ids.len()), date: None };
        if ids.is_empty() {
            return Ok(told);
        }
        let ids = ids.join(",");
        let limit = IDS_MAX.to_string();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("ids", ids.as_str()), ("state_details", "true"), ("limit", &limit)];
            if let Some(after) = &after {
                query.push(("after_id", after));
            }
            let reply = self.http.get(&["v3", "components"], &query).await?;
            let page: PageWire = reply.json()?;
            told.date = reply.date();
            told.value.extend(page.components.into_iter().map(CfsComponent::from));
            after = page.next.and_then(|next| next.after_id);
            if after.is_none() {
                return Ok(told);
            }
        }
        let text = format!("the list of {IDS_MAX} components has more than {PAGES_MAX} pages");
        Err(ClientError::Unreadable { service: self.http.service(), text })
    }

    /// Has these components configured, and gives the ids that CFS knows. No ids: nothing is sent.
    pub async fn stage(&self, ids: &[String], staging: &Staging<'_>) -> Result<Vec<String>, ClientError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let body = PatchWire {
            patch: ChangeWire {
                enabled: staging.enable,
                desired_config: staging.configuration,
                error_count: 0,
                tags: BTreeMap::from([("bos_session", staging.session)]),
                state: (!staging.enable).then_some([]),
            },
            filters: FiltersWire { ids: ids.join(",") },
        };
        let answer = self.http.write(Method::PATCH, &["v3", "components"], Some(&body)).await;
        Ok(fixed_path(answer)?.json::<PatchedWire>()?.component_ids)
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        self.http.root().as_str()
    }

    /// Whether CFS, its database and its queue are well.
    pub(super) async fn ready(&self) -> Result<Reply, ClientError> {
        self.http.get(&["healthz"], &[]).await
    }
}

impl From<ComponentWire> for CfsComponent {
    fn from(wire: ComponentWire) -> Self {
        let status = match wire.configuration_status.as_deref() {
            Some("pending") => ConfigurationStatus::Pending,
            Some("failed") => ConfigurationStatus::Failed,
            Some("configured") => ConfigurationStatus::Configured,
            _ => ConfigurationStatus::Unconfigured,
        };
        let layers = wire.state.unwrap_or_default().into_iter().map(|layer| CfsLayer {
            playbook: layer.playbook,
            status: layer.status,
            last_updated: layer.last_updated.parse().ok(),
        });
        Self {
            id: wire.id,
            enabled: wire.enabled.unwrap_or(false),
            desired_config: wire.desired_config.unwrap_or_default(),
            status,
            layers: layers.collect(),
        }
    }
}
