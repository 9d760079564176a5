//! The page before a command: what it means, and whatever has to be said with it. The more it would cost to have meant
//! something else, the more has to be typed.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::{NAMES_MAX, command};
use crate::{
    api::{
        ApiState,
        bosun::view,
        query::Query,
        ui::{
            Failure,
            form::FormKey,
            page::{Page, Place, Theme},
            part, words,
        },
    },
    db::{self, result::FailureGroup, session::Session},
    model::{
        command::CommandKind,
        plan::Plan,
        session::{SessionId, SessionState},
    },
};

/// What is known where a command is to be confirmed.
struct About<'a> {
    session: &'a Session,
    /// What failed, as far as it concerns the step that was chosen.
    failures: Vec<FailureGroup>,
    step: Option<&'a str>,
    /// None for a session that was never admitted.
    plan: Option<Plan>,
    /// Shares of boot sets that operators have changed.
    thresholds: BTreeMap<String, u8>,
}

/// Whether it cannot be taken back: then the session's name is typed.
pub(super) fn wants_the_name(kind: CommandKind) -> bool {
    matches!(kind, CommandKind::Cancel | CommandKind::Skip)
}

/// The page.
pub(super) async fn page(
    State(state): State<ApiState>,
    Path((id, kind)): Path<(i64, String)>,
    theme: Theme,
    key: FormKey,
    query: Query,
) -> Result<Page, Failure> {
    let kind = command::kind_of(&kind)?;
    let step = query.text("step").filter(|step| !step.is_empty());
    let mut conn = db::acquire(&state.pool).await?;
    let session = db::session::get_by_id(&mut conn, &SessionId(id)).await?;
    let names = if kind == CommandKind::Pass { NAMES_MAX } else { 1 };
    let mut failures = db::result::failures(&mut conn, &session.id, names).await?;
    failures.retain(|group| step.is_none_or(|step| step == group.step));
    let plan = match db::plan::outline(&mut conn, &session.id).await {
        Ok(plan) => Some(plan),
        Err(db::DbError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let standing = db::command::standing(&mut conn, &session.id).await?;
    let about = About { session: &session, failures, step, plan, thresholds: standing.settings.thresholds };
    let title = title(kind);
    Ok(Page::new(format!("{title} {}", session.new.name))
        .theme(theme)
        .place(Place::Sessions)
        .form_key(&key)
        .body(about.body(kind, &key)))
}

fn title(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Cancel => "Cancel",
        CommandKind::Retry => "Retry",
        CommandKind::Resume => "Resume",
        CommandKind::Approve => "Approve the next wave of",
        CommandKind::Pass => "Let nodes pass in",
        CommandKind::Skip => "Skip nodes of",
        CommandKind::Set => "Change the plan of",
        _ => "Pause",
    }
}

impl About<'_> {
    fn failed(&self) -> i64 {
        self.failures.iter().map(|group| group.count).sum()
    }

    fn body(&self, kind: CommandKind, key: &FormKey) -> Markup {
        let (session, title) = (self.session, title(kind));
        let is_final = wants_the_name(kind);
        let button = match kind {
            CommandKind::Retry => format!("Retry {}", words::nodes(self.failed())),
            CommandKind::Approve => "Approve".to_owned(),
            CommandKind::Pass => "Let them pass".to_owned(),
            CommandKind::Skip => "Skip them".to_owned(),
            CommandKind::Set => "Change the plan".to_owned(),
            _ => title.to_owned(),
        };
        html! {
            nav.crumbs aria-label="Breadcrumb" {
                a href="/ui/sessions" { "Sessions" }
                a href=(format!("/ui/sessions/{}", session.id)) { (session.new.name) }
            }
            section.card.narrow {
                h1 { (title) " " (session.new.name) "?" }
                (self.means(kind))
                form.confirm action=(format!("/ui/sessions/{}/commands", session.id)) method="post" {
                    (key.field())
                    input type="hidden" name="kind" value=(command::name(kind));
                    (self.fields(kind))
                    div.field {
                        label for="reason" {
                            "Why (kept in the session's history" @if kind == CommandKind::Pass { "; it cannot be left out" } ")"
                        }
                        input #reason name="reason" maxlength="1000" autocomplete="off" required[kind == CommandKind::Pass];
                    }
                    @if is_final {
                        div.field {
                            label for="confirmed" { "To confirm, type the session's name: " code { (session.new.name) } }
                            input #confirmed name="confirmed" required autocomplete="off" spellcheck="false"
                                data-must-be=(session.new.name);
                        }
                    }
                    div.actions {
                        button type="submit" class=(if is_final { "danger solid" } else { "solid" }) { (button) }
                        a.button.quiet href=(format!("/ui/sessions/{}", session.id)) { "Back" }
                    }
                }
            }
        }
    }

    /// What it does, before it is done.
    fn means(&self, kind: CommandKind) -> Markup {
        match kind {
            CommandKind::Cancel => cancel_means(),
            CommandKind::Retry => retry_means(self.session, self.failed(), self.step),
            CommandKind::Resume => resume_means(self.session),
            CommandKind::Approve => html! {
                p { "The next wave passes its gate, and its nodes are disturbed as the plan says." }
                (self.waits_for())
                p { "If nodes failed before, they do not count against the session any more." }
            },
            CommandKind::Pass => html! {
                p { "They count as through this step, as if it had succeeded. " strong { "Nothing is done to them" } "; what comes behind the step is." }
                p { "The history keeps who decided so, and why." }
            },
            CommandKind::Skip => html! {
                p { "They go no further in this session. This cannot be taken back." }
                ul {
                    li { "A node that was switched off already " strong { "stays off" } "." }
                    li { "A new session can take them when this one has let them go." }
                }
            },
            CommandKind::Set => html! {
                p { "Of this session only; the template and the workflow stay as they are. What is left empty is not changed." }
            },
            _ => html! { p { "Nothing new is disturbed; nodes that are on their way are finished." } },
        }
    }

    fn waits_for(&self) -> Markup {
        html! {
            @if let Some(reason) = &self.session.reason {
                p.banner.tone-halted { (part::icon("halted")) span { (reason) } }
            }
        }
    }

    /// What has to be said with it.
    fn fields(&self, kind: CommandKind) -> Markup {
        match kind {
            CommandKind::Cancel => html! {
                div.field {
                    label {
                        input type="checkbox" name="now" value="yes";
                        " At once: bring nothing back. The end of the session names whom it leaves off."
                    }
                }
            },
            CommandKind::Pass => html! {
                (hidden_step(self.step))
                @if let Some(step) = self.step { p { "Step " code { (step) } } }
                (components("The nodes, as in a limit", &self.failed_names()))
            },
            CommandKind::Skip => html! {
                (components("The nodes, as in a limit", ""))
                @if let Some(plan) = &self.plan { (from_step(plan)) }
            },
            CommandKind::Set => {
                self.plan.as_ref().map(|plan| settings(plan, &self.thresholds)).unwrap_or_default()
            }
            _ => hidden_step(self.step),
        }
    }

    fn failed_names(&self) -> String {
        let names: Vec<String> =
            self.failures.iter().flat_map(|group| group.xnames.iter().cloned()).collect();
        view::fold(&names)
    }
}

fn hidden_step(step: Option<&str>) -> Markup {
    html! { @if let Some(step) = step { input type="hidden" name="step" value=(step); } }
}

fn components(label: &str, names: &str) -> Markup {
    html! {
        div.field {
            label for="components" { (label) }
            textarea #components name="components" rows="3" required spellcheck="false" autocomplete="off"
                placeholder="x1000c0s0b0n[0-1],x1000c1" { (names) }
        }
    }
}

fn from_step(plan: &Plan) -> Markup {
    html! {
        div.field {
            label for="step" { "From which step on" }
            select #step name="step" {
                option value="" { "wherever they are" }
                @for step in &plan.steps { option value=(step.name) { (step.name) } }
            }
        }
    }
}

/// The steps by their names; where there are several boot sets or waves, by what all of them call them.
fn timed(plan: &Plan) -> Vec<(&str, String)> {
    let mut timed: Vec<(&str, String)> = Vec::new();
    for step in &plan.steps {
        let stem = step.name.rsplit_once('/').map_or(step.name.as_str(), |(_, stem)| stem);
        let name = if plan.slices.len() > 1 { stem } else { &step.name };
        if !timed.iter().any(|(known, _)| *known == name) {
            timed.push((name, humantime::format_duration(step.timeout).to_string()));
        }
    }
    timed
}

/// Thresholds where something waits for a share of a boot set, and every step's time.
fn settings(plan: &Plan, thresholds: &BTreeMap<String, u8>) -> Markup {
    let shares = plan.shares(thresholds);
    html! {
        @if !shares.is_empty() {
            fieldset {
                legend { "Share that has to succeed before what waits for it begins, in per cent" }
                @for (boot_set, percent) in shares {
                    div.field.pair {
                        label for={ "threshold:" (boot_set) } { (boot_set) }
                        input id={ "threshold:" (boot_set) } name={ "threshold:" (boot_set) } type="number" min="0" max="100"
                            placeholder=(percent);
                    }
                }
            }
        }
        fieldset {
            legend { "How long a node may be in a step, as in 90s or 30m" }
            @for (name, timeout) in timed(plan) {
                div.field.pair {
                    label for={ "timeout:" (name) } { (name) }
                    input id={ "timeout:" (name) } name={ "timeout:" (name) } size="12" autocomplete="off"
                        spellcheck="false" placeholder=(timeout);
                }
            }
        }
    }
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
