//! Staged sessions: what a session would make of its components is written beside their records, and applied when
//! somebody asks (`applystaged`). Applying is a session of its own: what BOS leaves to its operators.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Admit, Rejection, SessionRequest};
use crate::{
    db::{
        self,
        component::{ComponentPatch, Patching},
        session::{NewSession, Session},
    },
    model::artifacts::BootArtifacts,
};

/// Where a session says whose staged components it applies.
pub const APPLIES: &str = "applies";

/// Where a component's `staged_state` says whose session staged it; without it, whoever asks.
pub const STAGED_TENANT: &str = "tenant";

impl Admit {
    /// Stages a waiting session. Whether it was still waiting.
    ///
    /// # Errors
    /// Those of an admission. Nothing was changed then.
    pub(super) async fn stage(&self, session: &Session, request: &SessionRequest) -> Result<bool, Rejection> {
        let resolved = self.resolve(request).await?;
        let ids: Vec<String> = resolved.selection.ids().collect();
        self.numbers(&ids).await?;
        let mut patches = Vec::new();
        for selected in &resolved.selection.boot_sets {
            let artifacts =
                resolved.artifacts.get(&selected.name).map(|found| found.artifacts.artifacts.clone());
            let boots = resolved.declared.workflow.boots();
            let configuration = if boots { resolved.configuration(&selected.name) } else { None };
            let patch = ComponentPatch {
                error: Some(String::new()),
                staged: Some(staged_state(
                    &artifacts.unwrap_or_default(),
                    configuration.unwrap_or_default(),
                    Some((&request.tenant, request.name.as_str())),
                )),
                ..ComponentPatch::default()
            };
            patches.extend(selected.members.iter().map(|xname| (xname.to_string(), patch.clone())));
        }
        db::component::patch(&self.pool, patches, Patching::Merge { skip_unknown: true }, None).await?;
        let mut conn = db::acquire(&self.pool).await?;
        Ok(db::staged::end(&mut conn, &session.id, &request.tenant, &request.template).await?)
    }

    /// Asks for the session that applies what `staged` has staged for these components.
    ///
    /// # Errors
    /// The database's only.
    pub async fn apply_staged(
        &self,
        staged: &Session,
        xnames: &[String],
        actor: &str,
    ) -> Result<(), Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let version = db::staged::template_version(&mut conn, &staged.id).await?;
        let template = &staged.new.template_name;
        let new = NewSession {
            name: Uuid::new_v4().to_string().parse().expect("a UUID is made of letters, digits and '-'"),
            template_name: version
                .map_or_else(|| template.clone(), |version| format!("{template}@{version}")),
            limit: xnames.join(","),
            stage: false,
            request: json!({ APPLIES: staged.new.name }),
            actor: actor.to_owned(),
            ..staged.new.clone()
        };
        db::session::insert_waiting(&mut conn, &new).await?;
        Ok(())
    }

    /// Says in their records why staged components could not be applied.
    pub(super) async fn refuse_staged(&self, session: &Session, why: &str) -> Result<(), Rejection> {
        if session.new.request.get(APPLIES).is_none() {
            return Ok(());
        }
        let patch =
            ComponentPatch { enabled: Some(false), error: Some(why.to_owned()), ..ComponentPatch::default() };
        let patches = session.new.limit.split(',').map(|id| (id.to_owned(), patch.clone())).collect();
        db::component::patch(&self.pool, patches, Patching::Merge { skip_unknown: true }, None).await?;
        Ok(())
    }
}

/// BOS's `staged_state`; of no session (with its tenant): nothing is staged. The tenant is not shown: names of sessions are
/// a tenant's own, and a record holds only the name.
pub fn staged_state(artifacts: &BootArtifacts, configuration: &str, session: Option<(&str, &str)>) -> Value {
    let mut state = json!({
        "boot_artifacts": {
            "kernel": artifacts.kernel,
            "initrd": artifacts.initrd,
            "kernel_parameters": artifacts.kernel_parameters,
        },
        "configuration": configuration,
    });
    if let Some((tenant, session)) = session {
        state["session"] = json!(session);
        state[STAGED_TENANT] = json!(tenant);
    }
    state
}
