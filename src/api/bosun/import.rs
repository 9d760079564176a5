//! `/bosun/v1/import`: takes over what another BOS knows, a part at a time. What bosun has, it keeps, unless it is told to
//! overwrite; what was taken before is taken again without a trace.

use axum::extract::State;
use chrono::NaiveDateTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer;
use crate::{
    api::{
        ApiError, ApiState,
        body::{Json, JsonBody},
        bos::shape,
        endpoint::Endpoint,
        schema::{self, Field, Shape, optional, required, text},
        session_template,
        tenant::{Tenant, Unknown},
    },
    db,
    model::{
        Timestamp,
        artifacts::BootArtifacts,
        import::{Fate, Foreign, Running},
        options::Options,
        role::Role,
        session::Name,
        session_template::SessionTemplate,
        xname,
    },
};

/// Most components of one request, each with twice the longest artifacts there may be.
const COMPONENTS_MAX: usize = 500;
/// Most templates of one request: the images of each are looked at.
const TEMPLATES_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 16 << 20;

const COMPONENT: Shape = Shape::Object(&[
    required("id", &shape::COMPONENT_ID),
    optional(
        "actual_state",
        &Shape::Object(&[
            required("bss_token", &shape::TOKEN),
            required("boot_artifacts", &shape::ARTIFACTS),
            optional("last_updated", &Shape::Nullable(&text(127))),
        ]),
    ),
    optional(
        "desired_state",
        &Shape::Object(&[
            optional("boot_artifacts", &shape::ARTIFACTS),
            optional("configuration", &shape::NAME_LONG),
        ]),
    ),
    optional("retry_policy", &shape::ATTEMPTS),
]);
const TEMPLATE: Shape =
    Shape::Open(&[required("name", &text(127)), optional("tenant", &Shape::Nullable(&text(127)))]);
const REQUEST: Shape = Shape::Named("ImportRequest", &Shape::Object(REQUEST_FIELDS));
const REQUEST_FIELDS: &[Field] = &[
    optional("dry_run", &Shape::Boolean),
    optional("overwrite", &Shape::Boolean),
    optional("options", &Shape::Table(&Shape::Any)),
    optional("templates", &Shape::List { min: 0, max: TEMPLATES_MAX, item: &TEMPLATE }),
    optional("components", &Shape::List { min: 0, max: COMPONENTS_MAX, item: &COMPONENT }),
];
const FATES: Shape = Shape::Many(&Shape::Named(
    "ImportFate",
    &Shape::Object(&[
        required("name", &answer::TEXT),
        required("fate", &Shape::Word(&["taken", "unchanged", "left"])),
        required("reason", &answer::TEXT),
    ]),
));
const ANSWER: Shape = Shape::Named(
    "Imported",
    &Shape::Object(&[
        required("options", &FATES),
        required("templates", &FATES),
        required("tokens", &FATES),
        required("components", &FATES),
    ]),
);

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Body {
    dry_run: bool,
    overwrite: bool,
    options: Map<String, Value>,
    templates: Vec<Map<String, Value>>,
    components: Vec<ComponentBody>,
}

#[derive(Deserialize)]
struct ComponentBody {
    id: String,
    actual_state: Option<ActualBody>,
    #[serde(default)]
    desired_state: DesiredBody,
    retry_policy: Option<i32>,
}

#[derive(Deserialize)]
struct ActualBody {
    bss_token: String,
    boot_artifacts: ArtifactsBody,
    last_updated: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DesiredBody {
    boot_artifacts: ArtifactsBody,
    configuration: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ArtifactsBody {
    kernel: String,
    initrd: String,
    kernel_parameters: String,
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/import", import, "Take over options, templates and components of a BOS v2")
            .describe(
                "What bosun has already it keeps, unless `overwrite` is set; of components it keeps whatever it found out \
                 itself. Nothing is enabled, nothing is begun. `dry_run` says what would become of each, and keeps nothing.",
            )
            .role(Role::Admin)
            .body(&REQUEST)
            .body_bytes_max(BODY_BYTES_MAX)
            .answer(200, &ANSWER),
    ]
}

async fn import(
    State(state): State<ApiState>,
    tenant: Tenant,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    tenant.nobodys()?;
    let body: Body = body.parsed(&REQUEST)?;
    let options = options(&state, &body).await?;
    let in_force = state.options().await?;
    let mut templates = Vec::with_capacity(body.templates.len());
    for template in &body.templates {
        let (name, fate) = import_template(&state, template, &body, &in_force).await?;
        templates.push((name, fate));
    }
    let components = body.components.into_iter().map(foreign).collect();
    let imported = db::component::import(&state.pool, components, body.dry_run).await?;
    Ok(Json::ok(json!({
        "options": show(options), "templates": show(templates), "tokens": show(imported.tokens),
        "components": show(imported.components),
    })))
}

fn show(fates: Vec<(String, Fate)>) -> Value {
    let line = |(name, fate)| {
        let (fate, reason) = match fate {
            Fate::Taken => ("taken", String::new()),
            Fate::Unchanged => ("unchanged", String::new()),
            Fate::Left(reason) => ("left", reason),
        };
        json!({"name": name, "fate": fate, "reason": reason})
    };
    fates.into_iter().map(line).collect()
}

/// What is as BOS has it by default was never set here, as far as anybody can tell.
async fn options(state: &ApiState, body: &Body) -> Result<Vec<(String, Fate)>, ApiError> {
    if body.options.is_empty() {
        return Ok(Vec::new());
    }
    let (current, default) = (json!(state.options().await?), json!(Options::default()));
    let fates: Vec<(String, Fate)> = body
        .options
        .iter()
        .map(|(name, value)| (name.clone(), option_fate(name, value, &current, &default, body.overwrite)))
        .collect();
    let taken: Map<String, Value> = fates
        .iter()
        .filter(|(_, fate)| *fate == Fate::Taken)
        .map(|(name, _)| (name.clone(), body.options[name].clone()))
        .collect();
    if !taken.is_empty() && !body.dry_run {
        let mut conn = db::acquire(&state.pool).await?;
        db::options::patch(&mut conn, &Value::Object(taken)).await?;
    }
    Ok(fates)
}

fn option_fate(name: &str, value: &Value, current: &Value, default: &Value, overwrite: bool) -> Fate {
    let Some(own) = current.get(name) else { return Fate::Left("bosun has no such option".to_owned()) };
    let checked = schema::check(&shape::OPTIONS_PATCH, &json!({ name: value }));
    match checked {
        Err(error) => Fate::Left(error.to_string()),
        Ok(()) if own == value => Fate::Unchanged,
        Ok(()) if overwrite || default.get(name) == Some(own) => Fate::Taken,
        Ok(()) => Fate::Left(format!("{own} was set here, {value} there; --overwrite takes it")),
    }
}

/// A template that cannot be kept is left, with the words in which it would be refused.
async fn import_template(
    state: &ApiState,
    template: &Map<String, Value>,
    body: &Body,
    options: &Options,
) -> Result<(String, Fate), ApiError> {
    let text = |key: &str| template.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, tenant) = (text("name"), text("tenant"));
    let shown = if tenant.is_empty() { name.clone() } else { format!("{tenant}/{name}") };
    let fate = match keep_template(state, template, &name, Tenant(tenant), body, options).await {
        Ok(fate) => fate,
        Err(error @ ApiError::BadRequest { .. }) => Fate::Left(error.to_string()),
        Err(error) => return Err(error),
    };
    Ok((shown, fate))
}

async fn keep_template(
    state: &ApiState,
    template: &Map<String, Value>,
    name: &str,
    tenant: Tenant,
    body: &Body,
    options: &Options,
) -> Result<Fate, ApiError> {
    tenant.scope(state, Unknown::Owner).await?;
    let parsed: Name = name.parse().map_err(|_| ApiError::bad_request(format!("'{name}' is not a name")))?;
    let mut content = template.clone();
    for shown_only in ["name", "tenant", "links"] {
        content.remove(shown_only);
    }
    let content =
        session_template::read(&shape::SESSION_TEMPLATE, Value::Object(content), options.reject_nids, "")?;
    let mut conn = db::acquire(&state.pool).await?;
    let own = match db::session_template::get(&mut conn, &tenant.0, name).await {
        Ok(own) => Some(own.content),
        Err(db::DbError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    drop(conn);
    match template_fate(own.as_ref(), &content, body.overwrite) {
        Fate::Taken => {}
        other => return Ok(other),
    }
    session_template::check_images(state, &content, options, "").await?;
    if !body.dry_run {
        let mut conn = db::acquire(&state.pool).await?;
        db::session_template::put(&mut conn, &tenant.0, &parsed, &content).await?;
    }
    Ok(Fate::Taken)
}

fn template_fate(own: Option<&SessionTemplate>, foreign: &SessionTemplate, overwrite: bool) -> Fate {
    match own {
        Some(own) if own == foreign => Fate::Unchanged,
        Some(_) if !overwrite => {
            Fate::Left("another one of this name is here; --overwrite takes BOS's".to_owned())
        }
        _ => Fate::Taken,
    }
}

/// A state without a kernel says nothing.
fn foreign(body: ComponentBody) -> Foreign {
    let artifacts = |body: ArtifactsBody| {
        let ArtifactsBody { kernel, initrd, kernel_parameters } = body;
        Some(BootArtifacts { kernel, initrd, kernel_parameters })
            .filter(|artifacts| !artifacts.kernel.is_empty())
    };
    let running = body.actual_state.and_then(|actual| {
        let at = actual.last_updated.as_deref().and_then(moment);
        let token = Some(actual.bss_token).filter(|token| !token.is_empty())?;
        Some(Running { token, artifacts: artifacts(actual.boot_artifacts)?, at })
    });
    Foreign {
        id: xname::canonical(&body.id),
        running,
        desired: artifacts(body.desired_state.boot_artifacts),
        configuration: body.desired_state.configuration,
        retry_policy: body.retry_policy,
    }
}

/// BOS's moments are UTC and do not say so; one that cannot be read is as if it were not there.
fn moment(text: &str) -> Option<Timestamp> {
    let plain =
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|moment| moment.and_utc());
    text.parse().ok().or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_where_nobody_set_them_here() {
        let default = json!(Options::default());
        let mut current = default.clone();
        current["max_boot_wait_time"] = json!(900);
        let fate =
            |name: &str, value: Value, overwrite| option_fate(name, &value, &current, &default, overwrite);
        assert_eq!(fate("max_boot_wait_time", json!(900), false), Fate::Unchanged);
        assert_eq!(fate("max_boot_wait_time", json!(800), true), Fate::Taken);
        assert_eq!(fate("max_power_on_wait_time", json!(60), false), Fate::Taken);
        for (name, value, why) in [
            ("max_boot_wait_time", json!(800), "900 was set here, 800 there"),
            ("disable_components_on_completion", json!(true), "no such option"),
            ("component_actual_state_ttl", json!("30m"), "is not a time"),
        ] {
            assert!(matches!(fate(name, value, false), Fate::Left(reason) if reason.contains(why)), "{name}");
        }
    }

    #[test]
    fn a_component_says_what_it_runs_or_nothing() {
        let read = |body: Value| foreign(serde_json::from_value(body).unwrap());
        let whole = read(json!({
            "id": "X1000c0s0b0n0",
            "actual_state": {"bss_token": "t", "boot_artifacts": {"kernel": "k"}, "last_updated": "2026-01-02T03:04:05"},
        }));
        let running = whole.running.unwrap();
        assert_eq!((whole.id.as_str(), running.artifacts.kernel.as_str()), ("x1000c0s0b0n0", "k"));
        assert_eq!(running.at, "2026-01-02T03:04:05Z".parse().ok());
        let silent = json!({"id": "a", "actual_state": {"bss_token": "", "boot_artifacts": {"kernel": "k"}}});
        assert_eq!(read(silent).running, None);
        let off = json!({"id": "a", "actual_state": {"bss_token": "t", "boot_artifacts": {"kernel": ""}}});
        assert_eq!(read(off).running, None);
    }
}
