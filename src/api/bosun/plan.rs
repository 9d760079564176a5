//! `/bosun/v1/plan`: what a session would do. Nothing is changed.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value, json};

use super::{answer, session, view};
use crate::{
    admit::Preview,
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        tenant::Tenant,
    },
    model::{
        plan::{Plan, SliceNo},
        role::Role,
        verb::{Goal, Verb},
        xname,
    },
    plan::render,
};

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/plan", plan, "What a session would do; nothing is changed")
            .role(Role::View)
            .body(&session::REQUEST)
            .answer(200, &answer::PLAN)
            .errors(&[409, 422]),
    ]
}

async fn plan(
    State(state): State<ApiState>,
    tenant: Tenant,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let request = session::request(body, &tenant, actor)?;
    let (operation, template) = (request.operation.clone(), request.template.clone());
    let preview = state.admit.plan(request).await?;
    let mut shown = show(&preview);
    shown["operation"] = json!(operation);
    shown["template"] = json!(template);
    Ok(Json::ok(shown))
}

fn show(preview: &Preview) -> Value {
    let plan = &preview.plan;
    let skipped = preview.skipped.iter().map(|(boot_set, reason, names)| {
        json!({
            "boot_set": boot_set, "reason": reason.label(), "count": names.len(), "components": view::fold(names),
        })
    });
    let conflicts = preview.claimed.iter().map(|claim| {
        json!({
            "session": claim.session, "count": claim.components.len(),
            "components": xname::fold(&claim.components),
        })
    });
    let steps = plan.steps.iter().map(|step| {
        let timeout = humantime::format_duration(step.timeout).to_string();
        json!({"name": step.name, "verb": step.verb.name(), "timeout": timeout, "attempts": step.attempts})
    });
    json!({
        "plan_hash": preview.plan_hash,
        "targeted": plan.members.len(),
        "power_cycled": power_cycled(plan),
        "boot_sets": boot_sets(plan),
        "skipped": skipped.collect::<Vec<_>>(),
        "conflicts": conflicts.collect::<Vec<_>>(),
        "notes": preview.notes,
        "tree": render::tree(plan),
        "dot": render::dot(plan),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// How many components a reboot takes down, at most: what a boot finds out of date is only known by looking.
fn power_cycled(plan: &Plan) -> usize {
    let reboots = |slice: SliceNo| {
        plan.steps
            .iter()
            .any(|step| step.slice == slice && matches!(step.verb, Verb::Inspect { goal: Goal::Reboot }))
    };
    plan.members.iter().filter(|member| reboots(member.slice)).count()
}

fn boot_sets(plan: &Plan) -> Vec<Value> {
    let mut members: BTreeMap<SliceNo, Vec<xname::Xname>> = BTreeMap::new();
    for member in &plan.members {
        members.entry(member.slice).or_default().push(member.xname);
    }
    let slices = plan.slices.iter().zip(0_i16..);
    let shown = slices.map(|(slice, number)| {
        let xnames = members.get(&SliceNo(number)).map(Vec::as_slice).unwrap_or_default();
        let artifacts = slice.artifacts.as_ref();
        json!({
            "name": slice.boot_set,
            "wave": slice.wave,
            "count": xnames.len(),
            "components": xname::fold(xnames),
            "kernel": artifacts.map(|artifacts| &artifacts.artifacts.kernel),
            "initrd": artifacts.map(|artifacts| &artifacts.artifacts.initrd),
            "kernel_parameters": artifacts.map(|artifacts| &artifacts.artifacts.kernel_parameters),
            "image": artifacts.and_then(|artifacts| artifacts.image.as_ref()),
            "configuration": slice.configuration,
        })
    });
    shown.collect()
}
