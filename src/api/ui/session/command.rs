//! What may be asked of a session: at once where that harms nobody, after a page that says what it means where it
//! touches nodes, and only with the session's name typed where it cannot be taken back.

use axum::{
    Router,
    extract::{Path, State},
    response::Redirect,
    routing::{get, post},
};
use maud::{Markup, html};

use super::detail::Detail;
use crate::{
    api::{
        ApiError, ApiState,
        actor::Actor,
        bosun::command::{CommandBody, give},
        query::Query,
        ui::{
            Failure,
            form::{FormKey, Submitted},
            page::{Page, Place, Theme},
            part, words,
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
        .route("/ui/sessions/{id}/confirm/{kind}", get(confirm))
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
fn kind_of(text: &str) -> Result<CommandKind, ApiError> {
    let known = [CommandKind::Pause, CommandKind::Resume, CommandKind::Cancel, CommandKind::Retry];
    let found = known.into_iter().find(|kind| name(*kind) == text);
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
    let confirm = |kind| format!("/ui/sessions/{}/confirm/{}", session.id, name(kind));
    html! {
        @if !detail.is_deleted {
            div.actions {
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
                @if moves { a.button.danger href=(confirm(CommandKind::Cancel)) { "Cancel…" } }
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

async fn confirm(
    State(state): State<ApiState>,
    Path((id, kind)): Path<(i64, String)>,
    theme: Theme,
    key: FormKey,
    query: Query,
) -> Result<Page, Failure> {
    let kind = kind_of(&kind)?;
    let step = query.text("step").filter(|step| !step.is_empty());
    let mut conn = db::acquire(&state.pool).await?;
    let session = db::session::get_by_id(&mut conn, &SessionId(id)).await?;
    let failures = db::result::failures(&mut conn, &session.id, 1).await?;
    let of_step = |name: &str| step.is_none_or(|step| step == name);
    let failed: i64 = failures.iter().filter(|group| of_step(&group.step)).map(|group| group.count).sum();
    let (title, meaning) = match kind {
        CommandKind::Cancel => ("Cancel", cancel_means()),
        CommandKind::Retry => ("Retry", retry_means(&session, failed, step)),
        CommandKind::Resume => ("Resume", resume_means(&session)),
        _ => ("Pause", html! { p { "Nothing new is disturbed; nodes that are on their way are finished." } }),
    };
    let is_final = kind == CommandKind::Cancel;
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" {
            a href="/ui/sessions" { "Sessions" } a href=(format!("/ui/sessions/{id}")) { (session.new.name) }
        }
        section.card.narrow {
            h1 { (title) " " (session.new.name) "?" }
            (meaning)
            form.confirm action=(format!("/ui/sessions/{id}/commands")) method="post" {
                (key.field())
                input type="hidden" name="kind" value=(name(kind));
                @if let Some(step) = step { input type="hidden" name="step" value=(step); }
                div.field {
                    label for="reason" { "Why (kept in the session's history)" }
                    input #reason name="reason" maxlength="1000" autocomplete="off";
                }
                @if is_final {
                    div.field {
                        label {
                            input type="checkbox" name="now" value="yes";
                            " At once: bring nothing back. The end of the session names whom it leaves off."
                        }
                    }
                    div.field {
                        label for="confirmed" { "To confirm, type the session's name: " code { (session.new.name) } }
                        input #confirmed name="confirmed" required autocomplete="off" spellcheck="false"
                            data-must-be=(session.new.name);
                    }
                }
                div.actions {
                    button type="submit" class=(if is_final { "danger solid" } else { "solid" }) {
                        (title) @if kind == CommandKind::Retry { " " (words::nodes(failed)) }
                    }
                    a.button.quiet href=(format!("/ui/sessions/{id}")) { "Back" }
                }
            }
        }
    };
    Ok(Page::new(format!("{title} {}", session.new.name))
        .theme(theme)
        .place(Place::Sessions)
        .form_key(&key)
        .body(body))
}

fn cancel_means() -> Markup {
    html! {
        p { "This cannot be taken back." }
        ul {
            li { "Nodes that have not been disturbed stay as they are, and are left out." }
            li { "Nodes that were switched off are brought to the end of power on; no node is left dark." }
            li { "What has failed stays failed; it can be retried later." }
        }
    }
}

fn retry_means(session: &Session, failed: i64, step: Option<&str>) -> Markup {
    html! {
        p { strong { (words::nodes(failed)) } " go on their way again, in this session." }
        ul {
            @match step {
                Some(step) => li { "They start again at " code { (step) } "." },
                None => li { "Each starts at the step that failed, or at the one before it that the workflow names." },
            }
            li { "A node whose way leads through power off " strong { "is power-cycled" } "." }
            @if session.state == SessionState::Ended { li { "The session has ended; it is opened again." } }
        }
    }
}

fn resume_means(session: &Session) -> Markup {
    html! {
        p { "It stopped by itself, and waits for somebody to look:" }
        p.banner.tone-halted {
            (part::icon("halted")) span { (session.reason.as_deref().unwrap_or("no reason is known")) }
        }
        p { "If that is mended, or does not matter, it goes on where it stands." }
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
    if kind == CommandKind::Cancel && form.text("confirmed") != Some(session.new.name.as_str()) {
        return Err(
            ApiError::bad_request("the name that was typed is not the session's; nothing was done").into()
        );
    }
    let body = CommandBody {
        step: form.text("step").map(str::to_owned),
        reason: form.text("reason").map(|reason| reason.chars().take(1_000).collect()),
        now: kind == CommandKind::Cancel && form.text("now").is_some(),
        ..CommandBody::plain(kind)
    };
    give(&state, &session, body, actor).await?;
    Ok(Redirect::to(&format!("/ui/sessions/{id}?said={}", name(kind))))
}
