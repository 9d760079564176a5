//! `/v2/applystaged`: components become what a staged session prepared for them.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use serde_json::{Value, json};

use super::{answer, shape};
use crate::{
    admit::{APPLIES, STAGED_TENANT, staged_state},
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        schema,
        tenant::{Tenant, Unknown},
    },
    db::{
        self,
        component::{
            ArtifactsPatch, Component, ComponentFilter, ComponentPatch, LastActionPatch, StatePatch,
        },
        session::{Session, SessionFilter},
        staged::Applying,
    },
    model::artifacts::BootArtifacts,
};

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/applystaged", apply, "Apply to components what is staged for them")
            .tenant()
            .body(&shape::APPLY_STAGED)
            .answer(200, &answer::APPLIED),
    ]
}

async fn apply(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.required()?;
    schema::check(&shape::APPLY_STAGED, &body)?;
    let scope = tenant.scope(&state, Unknown::Staged).await?;
    let asked: Vec<String> = body["xnames"].as_array().into_iter().flatten().map(text).collect();
    let options = state.options().await?;
    let mut conn = db::acquire(&state.pool).await?;
    // What is not the tenant's is not found, and so ignored.
    let ours = scope.narrow(Some(asked.clone()));
    let filter = ComponentFilter { xnames: ours.as_deref(), ..ComponentFilter::default() };
    let components: HashMap<String, Component> = db::component::list(&mut conn, &filter)
        .await?
        .into_iter()
        .map(|component| (component.xname.clone(), component))
        .collect();
    let filter = SessionFilter { tenant: Some(&tenant.0), ..SessionFilter::default() };
    let sessions = db::session::list(&mut conn, &filter).await?;
    drop(conn);
    let mut sorted = Sorted::default();
    for xname in asked {
        sorted.add(xname, &components, &sessions);
    }
    let touched: Vec<String> = sorted.failed.iter().chain(&sorted.succeeded).cloned().collect();
    let nothing = staged_state(&BootArtifacts::default(), "", None);
    let mut applying = Applying {
        patches: std::mem::take(&mut sorted.patches),
        applied: sorted.succeeded.clone(),
        cleared: options.clear_stage.then_some((touched, nothing)),
        sessions: Vec::new(),
    };
    for (session, xnames) in std::mem::take(&mut sorted.by_session) {
        applying.sessions.push(state.admit.applying(&sessions[session], &xnames, &actor.0).await?);
    }
    db::staged::apply(&state.pool, applying).await?;
    state.waiting.notify_one();
    Ok(Json::ok(json!({
        "failed": sorted.failed, "ignored": sorted.ignored, "succeeded": sorted.succeeded,
    })))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What becomes of the components that were asked for.
#[derive(Default)]
struct Sorted {
    failed: Vec<String>,
    ignored: Vec<String>,
    succeeded: Vec<String>,
    patches: Vec<(String, ComponentPatch)>,
    /// Who is applied, by the position of the session that staged it.
    by_session: BTreeMap<usize, Vec<String>>,
}

impl Sorted {
    fn add(&mut self, xname: String, components: &HashMap<String, Component>, sessions: &[Session]) {
        let staged = components.get(&xname).and_then(|component| component.staged.as_ref());
        let named = staged.map(|staged| text(&staged["session"])).filter(|name| !name.is_empty());
        let (Some(staged), Some(name)) = (staged, named) else {
            self.ignored.push(xname);
            return;
        };
        let of_tenant = |tenant: &str| staged[STAGED_TENANT].as_str().is_none_or(|staged| staged == tenant);
        let found = sessions.iter().position(|session| {
            session.new.name.as_str() == name
                && of_tenant(&session.new.tenant)
                && session.new.request.get(APPLIES).is_none()
        });
        let checked = match found {
            None => Err(format!("the staged session '{name}' does not exist any more")),
            Some(at) => check(&sessions[at].new.operation, staged).map(|()| at),
        };
        let mut patch = ComponentPatch {
            session: Some(name),
            last_action: Some(LastActionPatch { action: Some("apply_staged".to_owned()), failed: None }),
            ..ComponentPatch::default()
        };
        match checked {
            Err(error) => {
                patch.enabled = Some(false);
                patch.error = Some(error);
                self.failed.push(xname.clone());
            }
            Ok(at) => {
                patch.enabled = Some(true);
                patch.desired = Some(desired(staged));
                self.succeeded.push(xname.clone());
                let members = self.by_session.entry(at).or_default();
                if !members.contains(&xname) {
                    members.push(xname.clone());
                }
            }
        }
        self.patches.push((xname, patch));
    }
}

/// Whether what is staged fits the operation: something to boot, or nothing.
fn check(operation: &str, staged: &Value) -> Result<(), String> {
    let artifacts = staged["boot_artifacts"].as_object();
    let mut given =
        artifacts.into_iter().flatten().map(|(_, value)| value.as_str().is_some_and(|text| !text.is_empty()));
    match operation {
        "shutdown" if given.any(|given| given) => {
            Err("staged for a shutdown, with boot artifacts: stage it again".to_owned())
        }
        "boot" | "reboot" if given.any(|given| !given) => {
            Err(format!("staged for a {operation}, and boot artifacts are missing: stage it again"))
        }
        _ => Ok(()),
    }
}

/// What is staged, in the place of what was desired.
fn desired(staged: &Value) -> StatePatch {
    let artifacts = &staged["boot_artifacts"];
    StatePatch {
        boot_artifacts: Some(ArtifactsPatch {
            kernel: Some(text(&artifacts["kernel"])),
            initrd: Some(text(&artifacts["initrd"])),
            kernel_parameters: Some(text(&artifacts["kernel_parameters"])),
        }),
        configuration: Some(text(&staged["configuration"])),
        bss_token: Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_has_to_fit() {
        let boots = json!({"boot_artifacts": {"kernel": "k", "initrd": "i"}});
        let nothing = json!({"boot_artifacts": {"kernel": "", "initrd": ""}, "configuration": ""});
        assert!(check("boot", &boots).is_ok() && check("shutdown", &nothing).is_ok());
        assert!(check("boot", &json!({})).is_ok());
        assert!(check("reboot", &nothing).is_err() && check("shutdown", &boots).is_err());
    }
}
