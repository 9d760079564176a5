//! Resolves a request: everything that has to be known before a session can be admitted. Changes nothing.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{Admit, Api, Rejection, SessionRequest, artifacts, choose::named_sets, dialect, pace};
use crate::{
    db,
    model::{
        component::ComponentNo,
        gate::Gates,
        limit::Limit,
        options::Options,
        pace::PowerInterval,
        plan::{Plan, UnknownPolicy},
        selection::{ComponentNumbers, Selection},
        session_template::SessionTemplate,
        site_options::SiteOptions,
        spelling,
    },
    plan::{
        Binding, BoundBootSet, compile, hash,
        members::{self, Wanted},
        workflow::Declared,
    },
};

/// A resolved request.
pub(super) struct Resolved<'a> {
    pub template: SessionTemplate,
    pub declared: &'a Declared,
    pub options: Options,
    /// What the site has set for bosun itself.
    pub site: SiteOptions,
    pub selection: Selection,
    /// Shortest intervals between two power actions, for whom.
    pub power_intervals: Vec<PowerInterval>,
    /// What is booted, by boot set; empty for operations that boot nothing.
    pub artifacts: BTreeMap<String, artifacts::Found>,
}

/// How many questions are asked at once.
const QUESTIONS_AT_ONCE: usize = 8;

impl Admit {
    pub(super) async fn resolve(&self, request: &SessionRequest) -> Result<Resolved<'_>, Rejection> {
        let tenant = self.components_of_tenant(&request.tenant).await?;
        let declared = self.workflows.get(&request.operation).ok_or_else(|| {
            let known: Vec<&str> = self.workflows.operations().collect();
            Rejection::NoOperation {
                operation: request.operation.clone(),
                hint: spelling::hint(&request.operation, known.iter().copied()),
                known: known.join(", "),
            }
        })?;
        let mut conn = db::acquire(&self.pool).await?;
        let template = template(&mut conn, &request.tenant, &request.template).await?;
        let options = db::options::get(&mut conn).await?;
        let site = db::options::get_of_site(&mut conn).await?;
        let limit =
            Limit::parse(&request.limit, dialect(request.api)).map_err(members::SelectionError::from)?;
        let named_sets = named_sets(&mut conn, &request.tenant, &limit).await?;
        drop(conn);
        let inventory = self.inventory(declared.workflow.boots()).await?;
        let selection = members::select(
            &Wanted {
                template: &template,
                limit: &request.limit,
                include_disabled: request.include_disabled,
                dialect: dialect(request.api),
                named_sets: &named_sets,
                tenant: tenant.as_ref(),
                reject_nids: options.reject_nids,
            },
            &inventory,
        )?;
        let power_intervals = pace::intervals(&request.rollout.power_interval, &selection, &inventory)?;
        let mut resolved = Resolved {
            template,
            declared,
            options,
            site,
            selection,
            power_intervals,
            artifacts: BTreeMap::new(),
        };
        self.find_artifacts(&mut resolved, request.api).await?;
        self.check_configurations(&resolved).await?;
        Ok(resolved)
    }

    async fn find_artifacts(&self, resolved: &mut Resolved<'_>, api: Api) -> Result<(), Rejection> {
        if !resolved.declared.workflow.boots() {
            return Ok(());
        }
        let boot_sets: Vec<_> = resolved
            .selection
            .boot_sets
            .iter()
            .filter(|selected| !selected.members.is_empty())
            .filter_map(|selected| {
                Some((selected.name.as_str(), resolved.template.boot_sets.get(&selected.name)?))
            })
            .collect();
        resolved.artifacts = artifacts::find(&self.services, &boot_sets, &resolved.options, api).await?;
        for (boot_set, found) in &resolved.artifacts {
            let notes = found.notes.iter().map(|note| format!("boot set {boot_set}: {note}"));
            resolved.selection.notes.extend(notes);
        }
        Ok(())
    }

    /// Every configuration that members are to get exists.
    async fn check_configurations(&self, resolved: &Resolved<'_>) -> Result<(), Rejection> {
        if !resolved.declared.workflow.configures() {
            return Ok(());
        }
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for selected in resolved.selection.boot_sets.iter().filter(|selected| !selected.members.is_empty()) {
            if let Some(configuration) = resolved.configuration(&selected.name) {
                wanted.entry(configuration).or_insert(&selected.name);
            }
        }
        // Boxed: the compiler cannot see that a stream of borrowing closures may be sent.
        let questions: Vec<BoxFuture<'_, Result<(), Rejection>>> = wanted
            .into_iter()
            .map(|(configuration, boot_set)| self.check_configuration(configuration, boot_set).boxed())
            .collect();
        stream::iter(questions).buffer_unordered(QUESTIONS_AT_ONCE).try_collect().await
    }

    async fn check_configuration(&self, configuration: &str, boot_set: &str) -> Result<(), Rejection> {
        match self.services.cfs.configuration(configuration).await? {
            Some(_) => Ok(()),
            None => Err(Rejection::NoConfiguration {
                boot_set: boot_set.to_owned(),
                configuration: configuration.to_owned(),
            }),
        }
    }

    /// The plan of a resolved request that has members, and its hash.
    pub(super) fn compile(
        &self,
        request: &SessionRequest,
        resolved: &Resolved<'_>,
        numbers: &ComponentNumbers,
    ) -> Result<(Plan, String), Rejection> {
        let number = |id: &str| numbers.get(id).copied().unwrap_or(ComponentNo(0));
        let boot_sets = resolved.selection.boot_sets.iter().map(|selected| {
            let boot_set = resolved.template.boot_sets.get(&selected.name);
            BoundBootSet {
                name: selected.name.clone(),
                boot_ordinal: boot_set.and_then(|boot_set| boot_set.boot_ordinal),
                shutdown_ordinal: boot_set.and_then(|boot_set| boot_set.shutdown_ordinal),
                artifacts: resolved.artifacts.get(&selected.name).map(|found| found.artifacts.clone()),
                configuration: resolved.configuration(&selected.name).map(str::to_owned),
                members: selected.members.iter().map(|xname| (number(&xname.to_string()), *xname)).collect(),
            }
        });
        let binding = Binding {
            boot_sets: boot_sets.collect(),
            options: &resolved.options,
            unknown: unknown_policy(request),
            service_patience: self.settings.service_patience,
            threshold_percent: self.settings.threshold_percent,
            rollout: &request.rollout,
            power_intervals: resolved.power_intervals.clone(),
        };
        let plan = compile(&resolved.declared.workflow, &binding).map_err(Rejection::Plan)?;
        let hash = hash(&plan);
        Ok((plan, hash))
    }

    /// The plan of a request all of whose members are left out, and its hash.
    pub(super) fn nothing(&self, request: &SessionRequest) -> (Plan, String) {
        let plan = self.empty(unknown_policy(request));
        let hash = hash(&plan);
        (plan, hash)
    }

    /// A plan for nobody.
    pub(super) fn empty(&self, unknown: UnknownPolicy) -> Plan {
        Plan {
            slices: Vec::new(),
            steps: Vec::new(),
            edges: Vec::new(),
            members: Vec::new(),
            unknown,
            service_patience: self.settings.service_patience,
            gates: Gates::default(),
        }
    }
}

impl Resolved<'_> {
    /// The configuration of a boot set's members.
    pub(super) fn configuration(&self, boot_set: &str) -> Option<&str> {
        self.template.configuration(self.template.boot_sets.get(boot_set)?)
    }
}

/// BOS power-cycles a node of which it does not know what runs there; we leave it, unless asked.
fn unknown_policy(request: &SessionRequest) -> UnknownPolicy {
    request.unknown.unwrap_or(match request.api {
        Api::V2 => UnknownPolicy::Reboot,
        Api::Bosun => UnknownPolicy::Leave,
    })
}

/// A template by `name`, or a version of its content by `name@version`.
async fn template(
    conn: &mut db::Connection,
    tenant: &str,
    wanted: &str,
) -> Result<SessionTemplate, Rejection> {
    let found = match wanted.split_once('@') {
        None => db::session_template::get(conn, tenant, wanted).await.map(|stored| stored.content),
        Some((name, version)) => match version.parse() {
            Ok(version) => db::session_template::get_version(conn, tenant, name, version).await,
            Err(_) => return Err(Rejection::NoTemplate(wanted.to_owned())),
        },
    };
    found.map_err(|error| match error {
        db::DbError::NotFound { .. } => Rejection::NoTemplate(wanted.to_owned()),
        error => error.into(),
    })
}
