//! The list of sessions: what is going on, newest first. The filter is in the URL.

use maud::{Markup, html};

use crate::{
    api::{
        ApiError,
        query::Query,
        ui::{part, words},
    },
    db::session::SessionProgress,
    model::{
        Timestamp,
        session::{Outcome, SessionId, SessionState},
    },
};

const OUTCOMES: [Outcome; 6] = [
    Outcome::Succeeded,
    Outcome::Partial,
    Outcome::Failed,
    Outcome::Cancelled,
    Outcome::NothingToDo,
    Outcome::Rejected,
];
const STATES: [SessionState; 6] = [
    SessionState::Waiting,
    SessionState::Running,
    SessionState::Paused,
    SessionState::Halted,
    SessionState::Stuck,
    SessionState::Cancelling,
];

/// Which sessions somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// In this state.
    state: Option<SessionState>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Only those that want a person's attention.
    attention: bool,
    /// Of this operation.
    pub operation: Option<String>,
    /// Of this template.
    pub template: Option<String>,
    /// Asked for by this actor.
    pub actor: Option<String>,
    /// With this in their names.
    pub name: Option<String>,
    /// Older than this one.
    pub before: Option<SessionId>,
}

impl Wanted {
    /// As the URL says.
    ///
    /// # Errors
    /// 400 for a state or number that is none.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let text = |name| query.text(name).map(str::trim).filter(|text| !text.is_empty());
        let mut wanted = Self {
            operation: text("operation").map(str::to_owned),
            template: text("template").map(str::to_owned),
            actor: text("actor").map(str::to_owned),
            name: text("name").map(str::to_owned),
            before: query.number("before", 1, i64::MAX)?.map(SessionId),
            ..Self::default()
        };
        if let Some(label) = text("state") {
            wanted.state = STATES.into_iter().find(|state| state.label() == label);
            wanted.outcome = OUTCOMES.into_iter().find(|outcome| outcome.label() == label);
            wanted.attention = label == "attention";
            if wanted.state.is_none() && wanted.outcome.is_none() && !wanted.attention {
                return Err(ApiError::bad_request(format!("'{label}' is no state of a session")));
            }
        }
        Ok(wanted)
    }

    /// In one of these states; empty: in any.
    pub fn states(&self) -> Vec<SessionState> {
        match self.state {
            Some(state) => vec![state],
            None if self.attention => STATES.into_iter().filter(|state| state.waits_for_operator()).collect(),
            None => Vec::new(),
        }
    }

    fn state_label(&self) -> &'static str {
        let attention = if self.attention { "attention" } else { "" };
        self.state.map(SessionState::label).or(self.outcome.map(Outcome::label)).unwrap_or(attention)
    }

    /// The URL of a page of the same filter.
    fn url(&self, before: Option<SessionId>) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let fields = [
            ("state", self.state_label().to_owned()),
            ("name", text(&self.name)),
            ("operation", text(&self.operation)),
            ("template", text(&self.template)),
            ("actor", text(&self.actor)),
            ("before", before.map(|id| id.to_string()).unwrap_or_default()),
        ];
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            pairs.append_pair(name, value);
        }
        format!("/ui/sessions?{}", pairs.finish())
    }

    fn is_everything(&self) -> bool {
        self.url(self.before) == "/ui/sessions?"
    }
}

/// The page.
pub fn page(
    wanted: &Wanted,
    operations: &[&str],
    lines: &[SessionProgress],
    has_more: bool,
    parked: Option<Timestamp>,
) -> Markup {
    html! {
        div.head { h1 { "Sessions" } a.button href="/ui/plan" { "Plan a session" } }
        (filter(wanted, operations))
        div #list data-live="list" {
            @if let Some(since) = parked {
                p.banner.tone-halted role="alert" {
                    (part::icon("halted"))
                    span {
                        "Nothing is admitted since " (part::time(since)) ": this database may be a restored or copied \
                         one. If it is the one to trust, type " code { "bosun session resume --all" } "."
                    }
                }
            }
            @if lines.is_empty() { (nobody(wanted)) } @else { (table(lines)) }
            nav.pages aria-label="Pages" {
                @if wanted.before.is_some() { a.button.quiet href=(wanted.url(None)) { "Newest" } }
                @if let (true, Some(last)) = (has_more, lines.last()) {
                    a.button.quiet href=(wanted.url(Some(last.id))) rel="next" { "Older" }
                }
            }
        }
    }
}

fn nobody(wanted: &Wanted) -> Markup {
    html! {
        div.empty {
            @if wanted.is_everything() {
                p { "There is no session yet." }
                p.dim {
                    "Start one with " code { "bosun session create --template NAME --operation reboot" }
                    ", or look at what one would do: " a href="/ui/plan" { "plan a session" } "."
                }
            } @else {
                p { "No session is like that." }
                p { a href="/ui/sessions" { "Show all" } }
            }
        }
    }
}

fn filter(wanted: &Wanted, operations: &[&str]) -> Markup {
    let label = wanted.state_label();
    let states = STATES.iter().map(|state| state.label());
    let outcomes = OUTCOMES.iter().map(|outcome| outcome.label());
    let field = |name: &str, title: &str, value: &Option<String>| {
        html! {
            div.field {
                label for=(name) { (title) }
                input id=(name) name=(name) value=(value.as_deref().unwrap_or_default()) size="14" autocomplete="off";
            }
        }
    };
    html! {
        form.filter action="/ui/sessions" method="get" aria-label="Filter" {
            div.field {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "any" }
                    option value="attention" selected[wanted.attention] { "waits for an operator" }
                    optgroup label="Going on" {
                        @for state in states {
                            option value=(state) selected[state == label] { (words::plain(state)) }
                        }
                    }
                    optgroup label="Ended" {
                        @for outcome in outcomes {
                            option value=(outcome) selected[outcome == label] { (words::plain(outcome)) }
                        }
                    }
                }
            }
            div.field {
                label for="operation" { "Operation" }
                select #operation name="operation" {
                    option value="" { "any" }
                    @for operation in operations {
                        option value=(operation) selected[wanted.operation.as_deref() == Some(operation)] { (operation) }
                    }
                }
            }
            (field("name", "Name contains", &wanted.name))
            (field("template", "Template", &wanted.template))
            (field("actor", "Asked by", &wanted.actor))
            div.field.actions {
                button type="submit" { "Filter" }
                @if !wanted.is_everything() { a.button.quiet href="/ui/sessions" { "Clear" } }
            }
        }
    }
}

fn table(lines: &[SessionProgress]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Table of sessions" {
            table.list {
                thead {
                    tr {
                        th scope="col" { "State" }
                        th scope="col" { "Session" }
                        th scope="col" { "Operation" }
                        th scope="col" { "Template" }
                        th.wide scope="col" { "Progress" }
                        th.number scope="col" { "Nodes" }
                        th.number scope="col" { "Failed" }
                        th.number scope="col" { "Duration" }
                        th scope="col" { "Asked by" }
                        th scope="col" { "Created" }
                    }
                }
                tbody { @for line in lines { (row(line)) } }
            }
        }
    }
}

fn row(line: &SessionProgress) -> Markup {
    let class = match line.outcome {
        Some(Outcome::Succeeded | Outcome::NothingToDo) => "done",
        Some(Outcome::Partial | Outcome::Failed | Outcome::Rejected) => "ended",
        Some(Outcome::Cancelled) => "skipped",
        None => "flight",
    };
    let failed = if line.state == SessionState::Ended {
        words::share(i32::try_from(line.failed).unwrap_or(i32::MAX), line.members)
    } else {
        0.0
    };
    let rest = if line.outcome == Some(Outcome::Rejected) { 0.0 } else { line.percent - failed };
    let is_lost = !line.has_worker && matches!(line.state, SessionState::Running | SessionState::Cancelling);
    html! {
        tr id=(format!("s{}", line.id)) {
            td {
                (part::status(line.state, line.outcome))
                @if is_lost { span.note title="The launcher starts one" { "no worker" } }
            }
            th.name scope="row" {
                a href=(format!("/ui/sessions/{}", line.id)) { (line.name) }
                @if !line.tenant.is_empty() { span.note { (line.tenant) } }
                @if let Some(reason) = &line.reason { span.why title=(reason) { (reason) } }
            }
            td { (line.operation) }
            td { (line.template) }
            td.wide {
                div.progress {
                    (part::bar(&[(class, rest), ("failed", failed)]))
                    span.share { (format!("{:.0} %", line.percent)) }
                }
            }
            td.number { (words::number(line.members)) }
            td.number {
                @if line.failed > 0 { strong.bad { (words::number(line.failed)) } } @else { span.dim { "0" } }
            }
            td.number { @match line.elapsed_s { Some(s) => { (words::seconds(s)) }, None => { (part::dash()) } } }
            td { (line.actor) }
            td { (part::time(line.created_at)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stays_in_the_url() {
        let wanted = Wanted {
            state: Some(SessionState::Halted),
            name: Some("a&b=<c>".to_owned()),
            ..Wanted::default()
        };
        let next = wanted.url(Some(SessionId(7)));
        assert_eq!(next, "/ui/sessions?state=halted&name=a%26b%3D%3Cc%3E&before=7");
        assert!(Wanted::default().is_everything() && !wanted.is_everything());
    }

    #[test]
    fn hostile_names_stay_text() {
        let line = SessionProgress {
            id: SessionId(1),
            name: "n".to_owned(),
            tenant: "\"><script>t</script>".to_owned(),
            operation: "reboot".to_owned(),
            template: "<script>alert(1)</script>".to_owned(),
            state: SessionState::Halted,
            outcome: None,
            reason: Some("\" onmouseover=\"alert(1)".to_owned()),
            members: 3,
            percent: 50.0,
            failed: 1,
            has_worker: false,
            actor: "<b>".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            elapsed_s: None,
        };
        let page = page(&Wanted::default(), &[], &[line], false, None).into_string();
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("title=\"&quot; onmouseover=&quot;alert(1)\""), "{page}");
    }
}
