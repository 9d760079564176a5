//! `/bosun/v1/sessions/{name}/commands`: what operators ask of a session. Its writer obeys and answers with an event.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer, rollout, session};
use crate::{
    admit::RetryRequest,
    api::{
        ApiError, ApiState,
        actor::Actor,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        refuse_while_parked,
        schema::{Field, Shape, optional, required, some_text, text},
        tenant::Tenant,
    },
    db::{self, command::CommandRow, session::Session},
    model::{
        command::{CommandKind, CommandRequest, Settings},
        gate::Share,
        plan::Plan,
        session::SessionState,
        xname::{self, Xname},
    },
    plan,
};

/// Most characters of names in an answer.
const NAMES_CHARS_MAX: usize = 500;

const COMMAND: Shape = Shape::Named("CommandRequest", &Shape::Object(COMMAND_FIELDS));
const COMMAND_FIELDS: &[Field] = &[
    required(
        "kind",
        &Shape::Word(&["pause", "resume", "approve", "cancel", "retry", "restart", "skip", "pass", "set"]),
    ),
    optional("id", &Shape::Nullable(&some_text(64))),
    optional("step", &Shape::Nullable(&some_text(255))),
    optional("components", &Shape::List { min: 0, max: 200_000, item: &some_text(1_023) }),
    optional("from", &Shape::Nullable(&some_text(255))),
    optional("reason", &Shape::Nullable(&text(1_023))),
    optional("now", &Shape::Boolean),
    optional("thresholds", &Shape::Table(&Shape::Integer { min: 0, max: 100 })),
    optional("timeouts", &Shape::Table(&some_text(63))),
    optional("wave_threshold", &Shape::Nullable(&Shape::Integer { min: 0, max: 100 })),
    optional("max_unavailable", &Shape::Nullable(&rollout::SHARE)),
    optional("halt_on_failures", &Shape::Nullable(&rollout::SHARE)),
    optional("not_after", &Shape::Nullable(&rollout::WHEN)),
];
/// Longest time that a component may be given in a step.
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A command as it is written in a body: components by name, range, parent, group or NID, as in a limit.
#[derive(Deserialize)]
pub struct CommandBody {
    /// What is asked.
    pub kind: CommandKind,
    /// The client's own name for this request: given twice, it is one command.
    pub id: Option<String>,
    /// Of which step.
    pub step: Option<String>,
    /// For whom.
    #[serde(default)]
    pub components: Vec<String>,
    /// Of a retry: from this step.
    pub from: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Of a cancel: nothing is brought back.
    #[serde(default)]
    pub now: bool,
    /// Of a set: what is changed.
    #[serde(flatten)]
    pub changes: Changes,
}

/// What is to be changed of a session's plan, as people write it.
#[derive(Deserialize, Default, PartialEq, Eq)]
pub struct Changes {
    /// Per cent by boot set.
    #[serde(default)]
    pub thresholds: BTreeMap<String, u8>,
    /// Durations by step.
    #[serde(default)]
    pub timeouts: BTreeMap<String, String>,
    /// Which share of a wave, in per cent, must not have failed before the next one's turn.
    pub wave_threshold: Option<u8>,
    /// How many may be inside at once.
    pub max_unavailable: Option<Share>,
    /// How many failures halt it.
    pub halt_on_failures: Option<Share>,
    /// A moment, or a time from now.
    pub not_after: Option<String>,
}

impl CommandBody {
    /// A command of the whole session.
    pub fn plain(kind: CommandKind) -> Self {
        Self {
            kind,
            id: None,
            step: None,
            components: Vec::new(),
            from: None,
            reason: None,
            now: false,
            changes: Changes::default(),
        }
    }
}

/// What is below `/bosun/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    let path = "/sessions/{name}/commands";
    vec![
        Endpoint::get(path, list, "What was asked of a session, newest first")
            .answer(200, &Shape::Many(&answer::COMMAND))
            .errors(&[404]),
        Endpoint::post(path, order, "Ask something of a session")
            .describe("Its worker obeys, and answers with an event. A request with an `id` that was given before changes nothing, and is answered with what became of the first.")
            .body(&COMMAND)
            .answer(202, &answer::MESSAGE)
            .errors(&[404, 409, 422]),
    ]
}

async fn list(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut conn = db::acquire(&state.pool).await?;
    let session = session::find(&mut conn, &tenant, &name).await?;
    let commands = db::command::list(&mut conn, &session.id).await?;
    let shown = commands.iter().map(|row| {
        json!({
            "id": row.command.id, "kind": row.command.request.kind, "step": row.command.request.step,
            "reason": row.command.request.reason, "actor": row.command.actor, "created_at": row.created_at,
            "obeyed_at": row.obeyed_at, "answer": row.answer,
        })
    });
    Ok(Json::ok(shown.collect()))
}

async fn order(
    State(state): State<ApiState>,
    tenant: Tenant,
    Path(name): Path<String>,
    actor: Actor,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body: CommandBody = body.parsed(&COMMAND)?;
    let session = session::find(&mut *db::acquire(&state.pool).await?, &tenant, &name).await?;
    let message = give(&state, &session, body, actor).await?;
    Ok(Json(StatusCode::ACCEPTED, json!({"message": message})))
}

/// Asks a command of a session; what was asked, for people.
///
/// # Errors
/// The command makes no sense now, or names what there is not.
pub async fn give(
    state: &ApiState,
    session: &Session,
    mut body: CommandBody,
    actor: Actor,
) -> Result<String, ApiError> {
    let name = session.new.name.as_str();
    let mut conn = db::acquire(&state.pool).await?;
    if let Some(key) = &body.id
        && let Some(known) = db::command::by_key(&mut conn, &session.id, key).await?
    {
        return repeated(session, key, body.kind, &known);
    }
    may(session, &body)?;
    let step = step_of(&mut conn, session, body.step.take()).await?;
    Ok(match body.kind {
        CommandKind::Retry | CommandKind::Restart | CommandKind::Pass => {
            refuse_while_parked(&mut conn).await?;
            let retry = RetryRequest {
                session: name.to_owned(),
                tenant: session.new.tenant.clone(),
                step,
                limit: body.components.join(","),
                from: step_of(&mut conn, session, body.from).await?,
                reason: body.reason,
                actor: actor.0,
                key: body.id,
            };
            drop(conn);
            if body.kind == CommandKind::Pass {
                let passed = state.admit.pass(session, &retry).await?;
                let step = retry.step.unwrap_or_default();
                return Ok(format!("pass of {step} asked of session {name} for {}", counted(&passed.xnames)));
            }
            let retried = state.admit.retry(&retry).await?;
            format!("session {name} goes on with {} that had failed", counted(&retried.xnames))
        }
        kind => {
            let settings = match kind {
                CommandKind::Set => settings(&mut conn, session, &body.changes).await?,
                _ => Settings::default(),
            };
            drop(conn);
            let chosen = match body.components.as_slice() {
                [] => None,
                selection => Some(state.admit.choose(session, &selection.join(",")).await?),
            };
            let whom = chosen.as_ref().map(|chosen| format!(" for {}", counted(&chosen.xnames)));
            let components = chosen.map(|chosen| chosen.components).unwrap_or_default();
            let request = CommandRequest {
                step,
                components,
                reason: body.reason,
                at_once: body.now,
                settings,
                ..CommandRequest::plain(kind)
            };
            if kind == CommandKind::Cancel
                && cancelled_unadmitted(state, session, &request, &actor.0, body.id.as_deref()).await?
            {
                return Ok(format!("session {name} is cancelled; nothing of it had begun"));
            }
            let mut conn = db::acquire(&state.pool).await?;
            db::command::insert_once(&mut conn, &session.id, &request, &actor.0, body.id.as_deref()).await?;
            let kind = json!(kind);
            let kind = kind.as_str().unwrap_or_default();
            format!("{kind} asked of session {name}{}", whom.unwrap_or_default())
        }
    })
}

/// Ends a session that no worker has, because nothing of it has begun: one that is staged, or waits to be admitted. Whether
/// it was one.
async fn cancelled_unadmitted(
    state: &ApiState,
    session: &Session,
    request: &CommandRequest,
    actor: &str,
    key: Option<&str>,
) -> Result<bool, ApiError> {
    let why = request.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let error = format!("cancelled by {actor}, before it was admitted{why}");
    let by = (actor.to_owned(), key.map(str::to_owned));
    if !db::admission::cancel(&state.pool, session.id, request.clone(), by, error.clone()).await? {
        return Ok(false);
    }
    state.admit.refuse_staged(session, &error).await?;
    Ok(true)
}

/// How many, and who, as far as a line has room.
fn counted(xnames: &[Xname]) -> String {
    let folded = xname::fold(xnames);
    let names = if folded.len() <= NAMES_CHARS_MAX { format!(" ({folded})") } else { String::new() };
    match xnames.len() {
        1 => format!("1 component{names}"),
        count => format!("{count} components{names}"),
    }
}

/// What is answered to a request that came before.
fn repeated(session: &Session, key: &str, kind: CommandKind, known: &CommandRow) -> Result<String, ApiError> {
    let word = |kind: CommandKind| json!(kind).as_str().unwrap_or_default().to_owned();
    let (asked, name) = (word(known.command.request.kind), &session.new.name);
    if known.command.request.kind != kind {
        let detail = format!(
            "the id '{key}' was given to session '{name}' before, for {asked}; give {} another one",
            word(kind)
        );
        return Err(ApiError::conflict("The id of the command is taken", detail));
    }
    let became = known.answer.as_deref().unwrap_or("it is not obeyed yet");
    Ok(format!("{asked} was asked of session {name} before, with the id {key}: {became}"))
}

/// What makes no sense where the session is.
fn may(session: &Session, body: &CommandBody) -> Result<(), ApiError> {
    use CommandKind::{Approve, Cancel, Pass, Pause, Restart, Resume, Retry, Set, Skip};
    let name = &session.new.name;
    let no = |why: String| Err(ApiError::conflict("The command makes no sense now", why));
    let wrong = |why: &str| Err(ApiError::bad_request(why));
    match (body.kind, session.state) {
        (Skip, _) if body.step.is_none() && body.components.is_empty() => {
            wrong("skip needs a step or components")
        }
        (Restart, _) if body.step.is_none() => wrong("restart needs a step"),
        (Pass, _) if body.step.is_none() || body.components.is_empty() => {
            wrong("pass needs a step and components")
        }
        (Pass, _) if body.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) => {
            wrong("pass needs a reason: it is all that the history will know of what was not done")
        }
        (kind, _) if body.now && kind != Cancel => wrong("'now' is for cancel only"),
        (kind, _) if kind != Set && body.changes != Changes::default() => {
            wrong("thresholds, timeouts and what the gates are to know are for set only")
        }
        (Retry | Restart | Pass, SessionState::Ended) => Ok(()),
        (_, SessionState::Ended) if session.failed > 0 => no(format!(
            "session '{name}' has ended; what failed in it goes on with: bosun session retry {name}"
        )),
        (_, SessionState::Ended) => no(format!("session '{name}' has ended")),
        (kind, SessionState::Running) if session.new.stage && kind != Cancel => {
            no(format!("session '{name}' is staged: nothing of it is done before it is applied"))
        }
        (Approve, state @ (SessionState::Running | SessionState::Cancelling | SessionState::Waiting)) => {
            no(format!("session '{name}' is {}; nothing of it waits for approval", state.label()))
        }
        (Resume, state @ (SessionState::Running | SessionState::Cancelling | SessionState::Waiting)) => {
            no(format!("session '{name}' is {}; only a paused, halted or stuck one goes on", state.label()))
        }
        (Pause | Retry | Restart | Pass | Set, SessionState::Cancelling) => no(format!(
            "session '{name}' is being cancelled; when it has ended, what failed in it goes on with: \
             bosun session retry {name}"
        )),
        (Pause | Retry | Restart | Pass | Set | Skip, SessionState::Waiting) => no(format!(
            "session '{name}' waits to be admitted and has no plan yet; cancel it with: bosun session cancel {name}"
        )),
        _ => Ok(()),
    }
}

/// What is to be changed of the plan, by whole names.
async fn settings(
    conn: &mut db::Connection,
    session: &Session,
    changes: &Changes,
) -> Result<Settings, ApiError> {
    if *changes == Changes::default() {
        return Err(ApiError::bad_request(
            "set needs a threshold, a timeout, or how many failures halt the session, how many may be out of service at once, \
             or until when it begins anything",
        ));
    }
    let Changes { thresholds, timeouts, wave_threshold, max_unavailable, halt_on_failures, not_after } =
        changes;
    let not_after = not_after.as_deref().and_then(|text| rollout::when(text, session.now));
    if not_after.is_some_and(|until| until <= session.now) {
        return Err(ApiError::bad_request("not_after has passed: pause or cancel the session instead"));
    }
    if let Some(share) = max_unavailable
        && let Some(why) = plan::standstill(&db::plan::load(conn, &session.id).await?, *share)
    {
        return Err(ApiError::bad_request(why));
    }
    let outline = db::plan::outline(conn, &session.id).await?;
    if wave_threshold.is_some() && outline.slices.iter().all(|slice| slice.wave == 0) {
        return Err(ApiError::bad_request(format!(
            "session '{}' has no waves; the threshold of a boot set is written BOOT_SET=PERCENT",
            session.new.name
        )));
    }
    let standing = db::command::standing(conn, &session.id).await?.settings;
    for boot_set in thresholds.keys() {
        check_threshold(session, &outline, &standing.thresholds, boot_set)?;
    }
    let mut timeouts_s = BTreeMap::new();
    for (step, text) in timeouts {
        let timeout = humantime::parse_duration(text).ok().filter(|timeout| {
            (Duration::from_secs(1)..=TIMEOUT_MAX).contains(timeout) && timeout.subsec_nanos() == 0
        });
        let Some(timeout) = timeout else {
            return Err(ApiError::bad_request(format!(
                "'{text}' is no timeout for {step}; write whole seconds, minutes or hours, as in 90s or 30m, up to 7d"
            )));
        };
        let names: Vec<&str> = outline.steps.iter().map(|row| row.name.as_str()).collect();
        let meant: Vec<&str> = names.iter().copied().filter(|name| is_meant(name, step)).collect();
        if meant.is_empty() {
            return Err(no_such_step(session, step, &names));
        }
        timeouts_s.extend(meant.into_iter().map(|name| (name.to_owned(), timeout.as_secs())));
    }
    Ok(Settings {
        thresholds: thresholds.clone(),
        timeouts_s,
        max_unavailable: *max_unavailable,
        halt_on_failures: *halt_on_failures,
        wave_threshold_percent: *wave_threshold,
        not_after,
    })
}

/// A share of a boot set can only be another one where something waits for a share of it.
fn check_threshold(
    session: &Session,
    plan: &Plan,
    set: &BTreeMap<String, u8>,
    boot_set: &str,
) -> Result<(), ApiError> {
    let name = &session.new.name;
    let slices: Vec<&str> = plan.slices.iter().map(|slice| slice.boot_set.as_str()).collect();
    if !slices.contains(&boot_set) {
        let known = slices.join(", ");
        let why = format!("session '{name}' has no boot set '{boot_set}'; it has {known}");
        return Err(ApiError::bad_request(why));
    }
    if plan.shares(set).iter().any(|(known, _)| *known == boot_set) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "nothing in session '{name}' waits for a share of boot set '{boot_set}'; thresholds are between boot sets \
         with ordinals"
    )))
}

/// Whether a step is called so, or every boot set calls it so.
fn is_meant(name: &str, step: &str) -> bool {
    name == step || name.rsplit_once('/').is_some_and(|(_, stem)| stem == step)
}

fn no_such_step(session: &Session, step: &str, known: &[&str]) -> ApiError {
    let known = known.join(", ");
    ApiError::bad_request(format!("session '{}' has no step '{step}'; it has {known}", session.new.name))
}

/// A step by its name, or by what every boot set calls it.
async fn step_of(
    conn: &mut db::Connection,
    session: &Session,
    step: Option<String>,
) -> Result<Option<String>, ApiError> {
    let Some(step) = step else { return Ok(None) };
    let steps = db::step::list(conn, &session.id).await?;
    if steps.iter().any(|row| is_meant(&row.name, &step)) {
        return Ok(Some(step));
    }
    let known: Vec<_> = steps.iter().map(|row| row.name.as_str()).collect();
    Err(no_such_step(session, &step, &known))
}
