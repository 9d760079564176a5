//! Parts that several pages have: badges, bars, times, buttons that copy.

use maud::{Markup, html};

use super::words;
use crate::{
    api::ApiError,
    model::{
        Timestamp,
        session::{Outcome, SessionState},
    },
};

/// A sign that is told by its shape as well as by its colour.
pub fn icon(name: &str) -> Markup {
    let path = match name {
        "succeeded" | "done" => "M4.5 8.4l2.4 2.4 4.7-5.3",
        "failed" | "rejected" => "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6",
        "partial" => "M8 4.5v4.3M8 11v.6",
        "running" => "M6.6 5.1l4.6 2.9-4.6 2.9z",
        "paused" => "M6.4 5.3v5.4M9.6 5.3v5.4",
        "halted" | "stuck" => "M8 4.5v4.3M8 11v.6",
        "cancelling" | "cancelled" => "M4.6 11.4l6.8-6.8",
        "skipped" => "M5 5.3l3 2.7-3 2.7M9 5.3l3 2.7-3 2.7",
        "passed" | "nothing_to_do" => "M5 8h6",
        _ => "M5 8h.1M8 8h.1M11 8h.1",
    };
    html! {
        svg class={ "icon icon-" (name) } viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            @if name == "halted" || name == "stuck" || name == "partial" {
                path.shape d="M8 1.3l7 12.9H1z" {}
            } @else if name == "waiting" {
                circle.shape cx="8" cy="8" r="6.5" stroke-dasharray="2 2" {}
            } @else {
                circle.shape cx="8" cy="8" r="6.5" {}
            }
            path.sign d=(path) {}
        }
    }
}

/// A word with its sign.
pub fn badge(label: &str) -> Markup {
    html! { span class={ "badge tone-" (label) } { (icon(label)) (words::plain(label)) } }
}

/// Where a session is, or how it ended.
pub fn status(state: SessionState, outcome: Option<Outcome>) -> Markup {
    badge(outcome.map_or(state.label(), Outcome::label))
}

/// A part of a bar: its class and its share in per cent.
pub type Segment = (&'static str, f64);

/// A bar of several parts. What it says is said in words beside it.
pub fn bar(segments: &[Segment]) -> Markup {
    let mut x = 0.0;
    let placed: Vec<(&str, f64, f64)> = segments
        .iter()
        .filter(|(_, share)| *share > 0.0)
        .map(|(class, share)| {
            let left = x;
            x += share;
            (*class, left, *share)
        })
        .collect();
    html! {
        svg.bar width="100%" height="8" aria-hidden="true" {
            rect.bar-bed width="100%" height="8" rx="4" {}
            @for (class, x, share) in placed {
                rect class={ "fill-" (class) } x=(percent(x)) width=(percent(share)) height="8" rx="2" {}
            }
        }
    }
}

/// A length in a drawing.
pub fn percent(share: f64) -> String {
    format!("{share:.2}%")
}

/// A moment.
pub fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (words::moment(at)) } }
}

/// A moment, or a dash.
pub fn time_or_dash(at: Option<Timestamp>) -> Markup {
    html! { @match at { Some(at) => { (time(at)) }, None => { (dash()) } } }
}

/// Nothing to be shown.
pub fn dash() -> Markup {
    html! { span.dim { "–" } }
}

/// A button that copies what the element `id` holds.
pub fn copy(id: &str, what: &str) -> Markup {
    html! {
        button.copy.quiet type="button" hidden data-copy=(id) aria-label={ "Copy " (what) } { "Copy" }
    }
}

/// An error as a page shows it.
pub fn failure(error: &ApiError) -> Markup {
    html! {
        section.card.narrow {
            h1 { (error.title()) }
            p.reason role="alert" { (error.to_string()) }
            p { a href="/ui/sessions" { "All sessions" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_no_markup() {
        let error = ApiError::bad_request("</p><img src=x onerror=alert(1)>");
        let page = failure(&error).into_string();
        assert!(page.contains("&lt;/p&gt;&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    }

    #[test]
    fn segments_stand_side_by_side() {
        let drawn = bar(&[("done", 25.0), ("failed", 0.0), ("flight", 50.0)]).into_string();
        assert!(drawn.contains(r#"class="fill-flight" x="25.00%" width="50.00%""#), "{drawn}");
        assert!(!drawn.contains("fill-failed"), "{drawn}");
    }
}
