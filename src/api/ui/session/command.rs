//! What may be asked of a session: at once where that harms nobody, after a page that says what it means where it
//! touches nodes, and only with the session's name typed where it cannot be taken back.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Path, State},
    response::Redirect,
    routing::{get, post},
};
use maud::{Markup, html};

use super::{confirm, detail::Detail};
use crate::{
    api::{
        ApiError, ApiState,
        actor::Actor,
        bosun::command::{Changes, CommandBody, give},
        ui::{
            Failure,
            form::{FormKey, Submitted},
            words,
        },
    },
    db::{self, session::Session},
    model::{
        command::CommandKind,
        session::{SessionId, SessionState},
    },
};

/// The paths of commands.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/ui/sessions/{id}/commands", post(order))
        .route("/ui/sessions/{id}/confirm/{kind}", get(confirm::page))
}

/// A command's name.
pub fn name(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Pause => "pause",
        CommandKind::Resume => "resume",
        CommandKind::Approve => "approve",
        CommandKind::Cancel => "cancel",
        CommandKind::Retry => "retry",
        CommandKind::Restart => "restart",
        CommandKind::Skip => "skip",
        CommandKind::Pass => "pass",
        CommandKind::Set => "set",
        CommandKind::Disable => "disable",
        CommandKind::RetryPolicy => "retry policy",
    }
}

/// The commands that these pages give.
pub(super) fn kind_of(text: &str) -> Result<CommandKind, ApiError> {
    use CommandKind::{Approve, Cancel, Pass, Pause, Resume, Retry, Set, Skip};
    let found =
        [Pause, Resume, Approve, Retry, Pass, Skip, Set, Cancel].into_iter().find(|kind| name(*kind) == text);
    found.ok_or_else(|| ApiError::bad_request(format!("'{text}' is no command of this page")))
}

/// What the page says after a command was given.
pub fn said(text: &str) -> Option<&'static str> {
    match text {
        "pause" => {
            Some("Asked to pause: nothing new is disturbed; nodes that are on their way are finished.")
        }
        "resume" => Some("Asked to resume: it goes on where it stands."),
        "cancel" => {
            Some("Asked to cancel: nothing new is disturbed, and what was switched off is brought up.")
        }
        "retry" => Some("The failed nodes are on their way again."),
        "approve" => Some("Approved: the next wave passes as soon as a worker sees it."),
        "pass" => Some("They count as through that step; nothing was done to them."),
        "skip" => Some("Asked to leave them out: they go no further in this session."),
        "set" => Some("The plan of this session is changed as soon as a worker sees it."),
        _ => None,
    }
}

/// The buttons of a session's page.
pub fn buttons(detail: &Detail, key: &FormKey) -> Markup {
    let session = &detail.session;
    let waits = session.state.waits_for_operator();
    let moves = waits || session.state == SessionState::Running;
    let failed = detail.failures.iter().map(|group| group.count).sum::<i64>();
    let may_retry = failed > 0 && (moves || session.state == SessionState::Ended);
    let asks_approval = detail.plan.as_ref().is_some_and(|plan| plan.gates.approve_between_waves);
    let confirm = |kind| format!("/ui/sessions/{}/confirm/{}", session.id, name(kind));
    html! {
        @if !detail.is_deleted {
            div.actions {
                @if session.state == SessionState::Halted && asks_approval {
                    a #approve .button.solid href=(confirm(CommandKind::Approve)) { "Approve…" }
                }
                @if session.state == SessionState::Running {
                    (at_once(session, CommandKind::Pause, "Pause", key))
                }
                @if session.state == SessionState::Paused {
                    (at_once(session, CommandKind::Resume, "Resume", key))
                }
                @if waits && session.state != SessionState::Paused {
                    a.button href=(confirm(CommandKind::Resume)) { "Resume…" }
                }
                @if may_retry {
                    a #retry .button href=(confirm(CommandKind::Retry)) { "Retry " (words::number(failed)) " failed…" }
                }
                @if moves && detail.plan.is_some() {
                    a #set .button href=(confirm(CommandKind::Set)) { "Set…" }
                    a #skip .button href=(confirm(CommandKind::Skip)) { "Skip nodes…" }
                }
                @if moves || session.state == SessionState::Waiting {
                    a.button.danger href=(confirm(CommandKind::Cancel)) { "Cancel…" }
                }
            }
        }
    }
}

fn at_once(session: &Session, kind: CommandKind, label: &str, key: &FormKey) -> Markup {
    html! {
        form action=(format!("/ui/sessions/{}/commands", session.id)) method="post" {
            (key.field())
            button type="submit" name="kind" value=(name(kind)) { (label) }
        }
    }
}

async fn order(
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    actor: Actor,
    form: Submitted,
) -> Result<Redirect, Failure> {
    let kind = kind_of(form.text("kind").unwrap_or_default())?;
    let mut conn = db::acquire(&state.pool).await?;
    let session = db::session::get_by_id(&mut conn, &SessionId(id)).await?;
    if super::is_deleted(&mut conn, &session).await? {
        return Err(ApiError::conflict(
            "The command makes no sense now",
            format!("session '{}' was deleted from the API", session.new.name),
        )
        .into());
    }
    drop(conn);
    if confirm::wants_the_name(kind) && form.text("confirmed") != Some(session.new.name.as_str()) {
        return Err(
            ApiError::bad_request("the name that was typed is not the session's; nothing was done").into()
        );
    }
    let body = CommandBody {
        step: form.text("step").map(str::to_owned),
        reason: form.text("reason").map(|reason| reason.chars().take(1_000).collect()),
        components: form.text("components").map(str::to_owned).into_iter().collect(),
        now: kind == CommandKind::Cancel && form.text("now").is_some(),
        changes: Changes {
            thresholds: thresholds(&form)?,
            timeouts: form.named("timeout:").map(|(step, text)| (step.to_owned(), text.to_owned())).collect(),
            ..Changes::default()
        },
        ..CommandBody::plain(kind)
    };
    give(&state, &session, body, actor).await?;
    Ok(Redirect::to(&format!("/ui/sessions/{id}?said={}", name(kind))))
}

/// What was typed into the fields of boot sets: shares in per cent.
fn thresholds(form: &Submitted) -> Result<BTreeMap<String, u8>, ApiError> {
    let read = |(boot_set, text): (&str, &str)| {
        let percent = text.trim_end_matches('%').trim().parse().ok().filter(|percent| *percent <= 100);
        let percent = percent.ok_or_else(|| {
            ApiError::bad_request(format!("'{text}' is no share of {boot_set}: write a number from 0 to 100"))
        })?;
        Ok((boot_set.to_owned(), percent))
    };
    form.named("threshold:").map(read).collect()
}
