//! The documents for operators, as they are in the repository beside this file, as pages.

use std::sync::LazyLock;

use axum::{Router, extract::Path, routing::get};
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

use super::{
    Failure,
    page::{Page, Place, Theme},
    words,
};
use crate::api::{ApiError, ApiState};

const FAILURES: &str = include_str!("document/failures.md");
const BOS: &str = include_str!("document/bos.md");

/// Name in the URL, title, text.
const DOCUMENTS: [(&str, &str, &str); 8] = [
    ("guide", "Operator's guide", include_str!("document/guide.md")),
    ("failures", "Failure catalogue", FAILURES),
    ("sql", "SQL cookbook", include_str!("document/sql.md")),
    ("workflow", "Workflows", include_str!("document/workflow.md")),
    ("architecture", "How it is built", include_str!("document/architecture.md")),
    ("comparison", "BOS 1, BOS 2, bosun", include_str!("document/comparison.md")),
    ("bos", "From BOS", BOS),
    ("migration", "Moving from BOS", include_str!("document/migration.md")),
];

static PAGES: LazyLock<[String; 8]> = LazyLock::new(|| DOCUMENTS.map(|(_, _, text)| to_html(text)));

/// The paths of documents.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/ui/documents", get(async |theme: Theme| page("guide", theme)))
        .route("/ui/documents/{name}", get(async |Path(name): Path<String>, theme: Theme| page(&name, theme)))
}

fn page(name: &str, theme: Theme) -> Result<Page, Failure> {
    let found = DOCUMENTS.iter().zip(PAGES.iter()).find(|((known, _, _), _)| *known == name);
    let ((_, title, source), text) = found.ok_or(ApiError::UnknownPath)?;
    let body = html! {
        nav.sections aria-label="Documents" {
            @for (other, title, _) in DOCUMENTS {
                a href=(format!("/ui/documents/{other}")) aria-current=[(other == name).then_some("page")] { (title) }
            }
        }
        div.documents {
            article.card.document { (PreEscaped(text)) }
            @let titles: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            @if titles.len() > 1 {
                nav.contents aria-label="On this page" {
                    h2 { "On this page" }
                    ol { @for title in titles { li { a href=(format!("#{}", slug(title))) { (title) } } } }
                }
            }
        }
    };
    Ok(Page::new(*title).theme(theme).place(Place::Documents).body(body))
}

/// A reason's name as people read it, leading to what the catalogue says of it.
pub fn reason(code: &str) -> Markup {
    html! { a href=(format!("/ui/documents/failures#{}", slug(code))) { (words::plain(code)) } }
}

/// Our own text: its markup is ours. Headings can be linked to, and what scrolls can be reached with the keyboard.
fn to_html(text: &str) -> String {
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    for at in 1..events.len() {
        // What begins with a bold word in a line of its own is shown so: meaning, cause, next step, console.
        if matches!(&events[at], Event::Start(Tag::Strong)) && matches!(&events[at - 1], Event::SoftBreak) {
            events[at - 1] = Event::HardBreak;
        }
        let title = match &events[at] {
            Event::Text(title) => slug(title),
            _ => continue,
        };
        match &mut events[at - 1] {
            Event::Start(Tag::Heading { id, .. }) => *id = Some(title.into()),
            Event::Start(Tag::CodeBlock(kind)) => *kind = CodeBlockKind::Indented,
            _ => {}
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html.replace("<pre>", "<pre tabindex=\"0\">")
}

/// `What failed, and why?` is `what-failed-and-why`; `boot_timeout` stays.
fn slug(title: &str) -> String {
    let mut slug = String::with_capacity(title.len());
    for c in title.chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => slug.push(c),
            'A'..='Z' => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::reason::ReasonCode;

    #[test]
    fn every_reason_is_in_the_catalogue() {
        let catalogue = FAILURES;
        let told: BTreeSet<&str> = catalogue.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        // The labels as they are declared: a new one without an entry here is a mistake.
        let declared: BTreeSet<&str> = include_str!("../../model/reason.rs")
            .lines()
            .filter(|line| line.trim_start().starts_with("Self::"))
            .filter_map(|line| line.split("=> \"").nth(1)?.split('"').next())
            .collect();
        assert!(declared.len() > 20, "{declared:?}");
        assert_eq!(told, declared);
        for label in told {
            assert!(ReasonCode::from_label(label).is_some(), "{label}");
            let entry = catalogue.split(&format!("### {label}\n")).nth(1).unwrap();
            let entry = entry.split("\n#").next().unwrap();
            for part in ["**Means:** ", "**Likely:** ", "**Next:** ", "**Console:** "] {
                assert!(entry.contains(part), "{label} lacks {part}");
            }
        }
    }

    #[test]
    fn every_option_of_boss_is_explained() {
        let options = serde_json::json!(crate::model::options::Options::default());
        for option in options.as_object().unwrap().keys() {
            assert!(BOS.contains(&format!("`{option}`")), "{option}");
        }
    }

    #[test]
    fn headings_can_be_linked_to() {
        let html = to_html("# A title, with marks!\n\ntext\n\n### boot_timeout\n");
        assert!(
            html.contains("<h1 id=\"a-title-with-marks\">") && html.contains("<h3 id=\"boot_timeout\">"),
            "{html}"
        );
    }

    #[test]
    fn links_between_documents_lead_somewhere() {
        for (name, _, text) in DOCUMENTS {
            for link in text.split("](").skip(1) {
                let path = link.split(')').next().unwrap();
                let known = path.strip_prefix("/ui/documents/").unwrap_or_default();
                assert!(DOCUMENTS.iter().any(|(other, _, _)| *other == known), "{name}: {path}");
            }
        }
    }
}
