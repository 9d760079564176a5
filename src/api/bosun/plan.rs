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
        plan::{Plan, SliceNo, Step},
        role::Role,
        verb::Group,
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
    let forecast = &preview.forecast;
    let steps = plan.steps.iter().map(|step| {
        let timeout = humantime::format_duration(step.timeout).to_string();
        let time = forecast.verb_times.iter().find(|time| time.verb == step.verb.name());
        json!({
            "name": step.name, "verb": step.verb.name(), "timeout": timeout, "attempts": step.attempts,
            "calls_at_most": calls(plan, step),
            "expected": time.map(|time| json!({
                "p50_seconds": time.p50_seconds, "p95_seconds": time.p95_seconds, "timed_components": time.components,
            })),
        })
    });
    let who = |xnames: &[xname::Xname]| json!({"count": xnames.len(), "components": xname::fold(xnames)});
    let mut notes = preview.notes.clone();
    notes.extend(forecast.notes.iter().cloned());
    json!({
        "plan_hash": preview.plan_hash,
        "targeted": plan.members.len(),
        "power_cycled": forecast.power_cycled.len(),
        "forecast": {
            "power_cycled": who(&forecast.power_cycled),
            "powered_on": who(&forecast.powered_on),
            "powered_off": who(&forecast.powered_off),
            "untouched": who(&forecast.untouched),
            "unknown_artifacts": who(&forecast.unknown_artifacts),
            "unknown_power": who(&forecast.unknown_power),
        },
        "boot_sets": boot_sets(plan),
        "skipped": skipped.collect::<Vec<_>>(),
        "conflicts": conflicts.collect::<Vec<_>>(),
        "notes": notes,
        "tree": render::tree(plan),
        "dot": render::dot(plan),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// How many calls a step makes for its components, one attempt each; none if it only watches.
pub fn calls(plan: &Plan, step: &Step) -> Option<usize> {
    let shape = step.verb.shape();
    let members = plan.members.iter().filter(|member| member.slice == step.slice).count();
    shape.rungs.first()?;
    Some(match shape.group {
        Group::UpTo(most) => members.div_ceil(usize::try_from(most.get()).unwrap_or(usize::MAX)),
        Group::OncePerImage | Group::Slice | Group::Session => 1,
    })
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
