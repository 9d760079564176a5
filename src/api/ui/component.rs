//! One component: what is being done with it, and what was, session by session.

use axum::{
    Router,
    extract::{Path, State},
    response::Redirect,
    routing::get,
};
use maud::{Markup, html};

use super::{
    Failure, live,
    page::{Page, Theme},
    part, words,
};
use crate::{
    api::{ApiError, ApiState, query::Query},
    db::{
        self,
        component::{Component, HistoryLine},
    },
    model::{session::SessionId, xname},
};

/// Most sessions of one page.
const SESSIONS_MAX: i64 = 50;

/// The paths of components.
pub fn router() -> Router<ApiState> {
    Router::new().route("/ui/components", get(find)).route("/ui/components/{name}", get(one))
}

/// From a name that somebody typed to its page.
async fn find(query: Query) -> Result<Redirect, Failure> {
    let name = query.text("name").map(str::trim).filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| ApiError::bad_request("which component? Type its name, as x1000c0s0b0n0"))?;
    Ok(Redirect::to(&path_of(&xname::canonical(name))))
}

fn path_of(name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/ui/components/{}", name.replace('+', "%20"))
}

async fn one(State(state): State<ApiState>, Path(name): Path<String>, theme: Theme) -> Result<Page, Failure> {
    let mut conn = db::acquire(&state.pool).await?;
    let component = db::component::get(&mut conn, &name).await?;
    let lines = db::component::component_history(&mut conn, None, &name, SESSIONS_MAX).await?;
    let holder = match component.claimed_by {
        Some(id) => Some((id, db::session::get_by_id(&mut conn, &id).await?.new.name.as_str().to_owned())),
        None => None,
    };
    let stream = component.claimed_by.map_or_else(|| live::PATH_OF_ALL.to_owned(), live::path_of);
    Ok(Page::new(component.xname.as_str()).theme(theme).live(stream).body(page(&component, holder, &lines)))
}

fn page(component: &Component, holder: Option<(SessionId, String)>, lines: &[HistoryLine]) -> Markup {
    let sessions: Vec<&[HistoryLine]> =
        lines.chunk_by(|one, other| one.session_id == other.session_id).collect();
    html! {
        nav.crumbs aria-label="Breadcrumb" { span { "Components" } }
        div.head { h1 { (component.xname) } }
        section #now .card data-live="now" {
            h2.unseen { "Now" }
            dl.facts { (facts(component, holder)) }
            @if let Some(error) = component.error.as_deref().filter(|error| !error.is_empty()) {
                p.banner.tone-failed { (part::icon("failed")) span { (error) } }
            }
        }
        section #history .card data-live="history" {
            h2 { "History" }
            @if sessions.is_empty() { p.dim { "No session has had it." } }
            @for session in sessions.iter().rev() { (of_session(session)) }
            @if sessions.len() as i64 == SESSIONS_MAX { p.dim { "Older sessions: ask the view component_history." } }
        }
    }
}

fn facts(component: &Component, holder: Option<(SessionId, String)>) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let text = |text: Option<&str>| {
        html! {
            @match text.filter(|text| !text.is_empty()) { Some(text) => { (text) }, None => { (part::dash()) } }
        }
    };
    let kernel = component.actual.artifacts.as_ref().map(|artifacts| artifacts.kernel.as_str());
    let enabled = match component.enabled {
        Some(true) => "yes",
        Some(false) => "no",
        None => "never set",
    };
    html! {
        (fact("Status", html! { strong { (words::plain(&component.status)) } }))
        (fact("Held by", match &holder {
            Some((id, name)) => html! { a href=(format!("/ui/sessions/{id}")) { (name) } },
            None => html! { span.dim { "nobody" } },
        }))
        (fact("Enabled", html! { (enabled) }))
        (fact("Phase", text(component.phase.as_deref().map(words::plain).as_deref())))
        (fact("Last action", text(component.last_action.action.as_deref().map(words::plain).as_deref())))
        (fact("Last session", text(component.session.as_deref())))
        (fact("Configuration", text(component.desired.configuration.as_deref())))
        (fact("Runs", html! { @match kernel.filter(|kernel| !kernel.is_empty()) {
            Some(kernel) => code.clip title=(kernel) { (kernel) },
            None => span.dim { "not reported since its last power action" },
        } }))
    }
}

fn of_session(lines: &[HistoryLine]) -> Markup {
    let Some(first) = lines.first() else { return html! {} };
    let told = lines.iter().filter(|line| line.result != "noticed");
    html! {
        article.past id=(format!("in-{}", first.session_id)) {
            header {
                h3 { a href=(format!("/ui/sessions/{}", first.session_id)) { (first.session) } }
                span.dim { (first.operation) }
                @if let Some(at) = first.at { (part::time(at)) }
            }
            ol.steps {
                @for line in told {
                    li class={ "is-" (line.result) } {
                        (part::icon(sign(&line.result)))
                        span.what { (line.step) }
                        span.dim {
                            (words::plain(&line.result))
                            @if line.attempts > 1 { ", " (line.attempts) " calls" }
                            @if line.run > 1 { ", run " (line.run) }
                            @if let Some(at) = line.at { " at " (words::clock(at)) }
                        }
                        @if let Some(reason) = &line.reason {
                            span.why {
                                (words::plain(reason))
                                @if let Some(error) = line.error.as_deref().filter(|error| !error.is_empty()) { ": " (error) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sign(result: &str) -> &'static str {
    match result {
        "succeeded" => "succeeded",
        "failed" => "failed",
        "skipped" => "skipped",
        "sent_back" => "running",
        _ => "passed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_leads_to_a_path() {
        assert_eq!(path_of("x1000c0s0b0n0"), "/ui/components/x1000c0s0b0n0");
        assert_eq!(path_of("a/b ?<"), "/ui/components/a%2Fb%20%3F%3C");
    }
}
