//! What went wrong in a session, by step and reason; and who was left out, and why.

use maud::{Markup, html};

use crate::{
    api::{
        bosun::view,
        ui::{document, part, words},
    },
    db::{result::FailureGroup, session::Session},
    model::{reason::Reason, session::SessionState},
};

/// Longest folded list that is shown at once.
const OPEN_CHARS_MAX: usize = 160;

/// Components left out at admission for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Why.
    pub reason: Reason,
    /// Who.
    pub names: Vec<String>,
}

/// The failures, most frequent first.
pub fn failures(session: &Session, groups: &[FailureGroup], may_retry: bool) -> Markup {
    let may_retry = may_retry && !matches!(session.state, SessionState::Waiting | SessionState::Cancelling);
    html! {
        @if groups.is_empty() {
            p.dim { (if session.state == SessionState::Ended { "Nothing failed." } else { "Nothing has failed so far." }) }
        }
        @for (number, group) in groups.iter().enumerate() {
            article.failure {
                header {
                    (part::icon("failed"))
                    h3 { (document::reason(&group.reason)) " " span.dim { "in " (group.step) } }
                    span.count.bad { (words::nodes(group.count)) }
                    @if may_retry {
                        a.button.quiet href=(step_url(session, "retry", &group.step)) { "Retry this step…" }
                        a.button.quiet href=(step_url(session, "pass", &group.step)) { "Let pass…" }
                    }
                }
                @if !group.error.is_empty() { p.said { (group.error) } }
                (names(&format!("failed-{number}"), &group.xnames, group.count))
            }
        }
    }
}

fn step_url(session: &Session, command: &str, step: &str) -> String {
    let step: String = url::form_urlencoded::byte_serialize(step.as_bytes()).collect();
    format!("/ui/sessions/{}/confirm/{command}?step={step}", session.id)
}

/// Those who were left out before anything began.
pub fn left_out(groups: &[LeftOut]) -> Markup {
    html! {
        @if !groups.is_empty() {
            h3.sub { "Left out at admission" }
            @for (number, group) in groups.iter().enumerate() {
                article.failure.mild {
                    header {
                        (part::icon("skipped"))
                        h4 { (document::reason(group.reason.code.label())) }
                        span.count { (words::nodes(group.names.len() as i64)) }
                    }
                    @if !group.reason.text.is_empty() { p.said { (group.reason.text) } }
                    (names(&format!("left-out-{number}"), &group.names, group.names.len() as i64))
                }
            }
        }
    }
}

/// Names, folded; a long list is behind a click. What is copied can be pasted as a limit.
fn names(id: &str, names: &[String], count: i64) -> Markup {
    let folded = view::fold(names);
    let missing = count - names.len() as i64;
    let list = html! { code.names id=(id) tabindex="0" { (folded) } };
    html! {
        div.names-line {
            @if folded.chars().count() <= OPEN_CHARS_MAX { (list) } @else {
                details id={ (id) "-more" } { summary { "Show the " (words::number(names.len() as i64)) " names" } (list) }
            }
            (part::copy(id, "the names"))
        }
        @if missing > 0 { p.dim { "and " (words::number(missing)) " more" } }
    }
}
