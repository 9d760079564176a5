//! Floor 3: from a request to an admitted session, and what else `serve` asks the outside for.
//!
//! Everything is resolved before anything is touched: members, skips with reasons, artifacts, configurations, plan. Then
//! one transaction keeps it and claims every component, or none. A dry run is the same without that transaction.
//! `api` holds an [`Admit`], never a client.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    clients::Services,
    db,
    model::{
        gate::Rollout,
        limit::Dialect,
        metric::Tally,
        plan::{Plan, UnknownPolicy},
        reason::ReasonCode,
        session::{Name, OnConflict, Outcome, SessionId},
    },
    plan::workflow::Workflows,
};

mod artifacts;
mod choose;
mod component;
mod desired_state;
mod forecast;
mod freeze;
mod guards;
mod implicit;
mod inventory;
mod pace;
mod rejection;
mod resolve;
mod retry;
mod session;
mod session_template;
mod staged;
mod tenant;
mod token;
mod waiting;

pub use artifacts::ArtifactProblem;
pub use choose::Chosen;
pub use component::Discovered;
pub use db::session::Api;
pub use forecast::Forecast;
pub use freeze::{FreezeRequest, FrozenPart};
pub use guards::Guards;
pub use implicit::{Gathered, IMPLICIT};
pub use rejection::{Claim, Rejection};
pub use retry::{Retried, RetryRequest};
pub use session_template::TemplateFindings;
pub use staged::{APPLIES, STAGED_TENANT, staged_state};
pub use tenant::Scope;
pub use token::{Caller, ClaimNames, TokenError, TokenSettings, Tokens};
pub use waiting::Pass;

/// Admits sessions.
#[derive(Debug)]
pub struct Admit {
    services: Arc<Services>,
    pool: db::Pool,
    workflows: Workflows,
    settings: AdmitSettings,
    tenants: tenant::Tenants,
}

/// What a site may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmitSettings {
    /// How long a service may be down before the components that need it fail.
    pub service_patience: Duration,
    /// Which share of an earlier boot set has to succeed before the next one's turn, where the workflow is silent.
    pub threshold_percent: u8,
    /// How long it is believed which components are a tenant's.
    pub tenant_cache_time: Duration,
}

impl Default for AdmitSettings {
    fn default() -> Self {
        Self {
            service_patience: Duration::from_secs(30 * 60),
            threshold_percent: 100,
            tenant_cache_time: Duration::from_secs(10),
        }
    }
}

/// A request for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// Its name.
    pub name: Name,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// The stem of a workflow.
    pub operation: String,
    /// The template's name, or `name@version`.
    pub template: String,
    /// The limit, as written; empty: everybody.
    pub limit: String,
    /// Whether components that HSM has disabled take part.
    pub include_disabled: bool,
    /// BOS's `stage`.
    pub stage: bool,
    /// Through which API: BOS's own mistakes are kept on its own.
    pub api: Api,
    /// What is done with a node that is on while nobody knows what it runs; none: the API's default.
    pub unknown: Option<UnknownPolicy>,
    /// What is done where other sessions hold components of it.
    pub on_conflict: OnConflict,
    /// What whoever asks has seen, expects or has confirmed.
    pub guards: Guards,
    /// Waves, thresholds, and what the gates know.
    pub rollout: Rollout,
    /// Who asks.
    pub actor: String,
}

/// An admitted session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Its number.
    pub id: SessionId,
    /// How many take part.
    pub members: usize,
    /// How many were left out, by reason.
    pub skipped: BTreeMap<ReasonCode, usize>,
    /// Set when it is over already: everybody was left out.
    pub outcome: Option<Outcome>,
    /// It is not admitted yet: it waits for the sessions in `claimed`.
    pub waits: bool,
    /// Sessions that still hold components of it, and give them to it.
    pub claimed: Vec<Claim>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What a session would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The plan; empty if everybody would be left out. Its numbers of artifacts mean nothing.
    pub plan: Plan,
    /// Its hash.
    pub plan_hash: String,
    /// Who would be left out, by boot set and reason: canonical names.
    pub skipped: Vec<(String, ReasonCode, Vec<String>)>,
    /// Sessions that hold components of it now.
    pub claimed: Vec<Claim>,
    /// What would be done with whom, and how long that takes.
    pub forecast: Forecast,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Admit {
    /// Puts it together; asks nobody yet.
    pub fn new(
        services: Arc<Services>,
        pool: db::Pool,
        workflows: Workflows,
        settings: AdmitSettings,
    ) -> Self {
        Self { services, pool, workflows, settings, tenants: tenant::Tenants::default() }
    }

    /// The operations there are.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.workflows.operations()
    }

    /// What this process counts.
    pub fn tally(&self) -> &Tally {
        &self.services.tally
    }

    /// The services, for whoever reports on their health.
    pub fn services(&self) -> &Services {
        &self.services
    }
}

/// In `/v2` the newer session takes over, as in BOS; in our own API nothing is taken from anybody by mistake.
pub fn default_on_conflict(api: Api) -> OnConflict {
    match api {
        Api::V2 => OnConflict::Preempt,
        Api::Bosun => OnConflict::Reject,
    }
}

fn dialect(api: Api) -> Dialect {
    match api {
        Api::V2 => Dialect::Bos,
        Api::Bosun => Dialect::Bosun,
    }
}
