//! One session, whole: where it is, its steps, its machine, what went wrong, what was done, what may be asked of it.

use maud::{Markup, html};

use super::{command, record, timeline, trouble};
use crate::{
    api::{
        bosun::view,
        ui::{dag, form::FormKey, part, words},
    },
    db::{
        command::CommandRow,
        effect::EffectLine,
        lease::LeaseRow,
        result::{FailureGroup, Pace},
        session::Session,
        step::StepRow,
    },
    model::{
        event::Event,
        plan::{Plan, StepNo},
        session::SessionState,
    },
};

/// All that the page shows.
#[derive(Debug)]
pub struct Detail {
    /// The session.
    pub session: Session,
    /// Its components by where they are.
    pub counts: view::Counts,
    /// Its steps with their counters.
    pub steps: Vec<StepRow>,
    /// What is drawn; none for one that was not admitted.
    pub plan: Option<Plan>,
    /// The barriers that have opened.
    pub opened: Vec<(StepNo, StepNo)>,
    /// How fast steps were.
    pub paces: Vec<Pace>,
    /// What failed, by step and reason.
    pub failures: Vec<FailureGroup>,
    /// Who was left out at admission.
    pub left_out: Vec<trouble::LeftOut>,
    /// The last effects, newest first.
    pub effects: Vec<EffectLine>,
    /// The last events, newest first.
    pub events: Vec<Event>,
    /// What was asked of it, newest first.
    pub commands: Vec<CommandRow>,
    /// Who may write it.
    pub lease: Option<LeaseRow>,
    /// Whether only its history is left.
    pub is_deleted: bool,
    /// What was just done, for people.
    pub said: Option<&'static str>,
}

impl Detail {
    /// The page.
    pub fn page(&self, key: &FormKey) -> Markup {
        let session = &self.session;
        let failed = self.failures.iter().map(|group| group.count).sum::<i64>();
        html! {
            nav.crumbs aria-label="Breadcrumb" { a href="/ui/sessions" { "Sessions" } }
            div #head .head data-live="head" {
                h1 { (session.new.name) " " (part::status(session.state, session.outcome)) }
                (command::buttons(self, key))
            }
            @if let Some(said) = self.said { p.banner.tone-running role="status" { (part::icon("running")) span { (said) } } }
            div #summary data-live="summary" { (self.banners()) (self.summary()) }
            nav.sections aria-label="On this page" {
                a href="#graph" { "Graph" }
                a href="#machine" { "Machine" }
                a href="#steps" { "Timeline" }
                a href="#failures" { "Failures" }
                a href="#effects" { "Effects" }
                a href="#events" { "Events" }
            }
            @if let Some(plan) = &self.plan {
                section #graph .card data-live="graph" {
                    h2 { "Graph" }
                    (dag::draw(plan, Some(&self.steps), &self.opened, session.state))
                }
                (self.machine())
            }
            @if !self.steps.is_empty() {
                section #steps .card data-live="steps" {
                    h2 { "Timeline" }
                    (timeline::table(session, &self.steps, &self.paces))
                }
            }
            section #failures .card data-live="failures" {
                h2 { "Failures" @if failed > 0 { " " span.count.bad { (words::number(failed)) } } }
                (trouble::failures(session, &self.failures, !self.is_deleted))
                (trouble::left_out(&self.left_out))
            }
            section #effects .card data-live="effects" { h2 { "Effects" } (record::effects(&self.effects)) }
            section #events .card data-live="events" {
                h2 { "Events" }
                (record::commands(&self.commands))
                (record::events(session, &self.events))
            }
        }
    }

    fn banners(&self) -> Markup {
        let session = &self.session;
        let pending: Vec<&CommandRow> = self.commands.iter().filter(|row| row.obeyed_at.is_none()).collect();
        html! {
            @if self.is_deleted {
                p.banner.tone-skipped { (part::icon("skipped")) span { "Deleted from the API; this is its history." } }
            }
            @if let Some(reason) = session.error.as_ref().or(session.reason.as_ref()) {
                @let tone = session.outcome.map_or(session.state.label(), |outcome| outcome.label());
                p class={ "banner tone-" (tone) } { (part::icon(tone)) span { (reason) } }
            }
            @for row in pending {
                p.banner.tone-waiting {
                    (part::icon("waiting"))
                    span {
                        "Asked by " (row.command.actor) " at " (words::clock(row.created_at)) ": "
                        (command::name(row.command.request.kind)) ". It is obeyed as soon as a worker sees it."
                    }
                }
            }
        }
    }

    fn summary(&self) -> Markup {
        let Self { session, counts, .. } = self;
        let share = |count: i32| words::share(count, counts.targeted);
        let legend = [
            ("done", "through", counts.succeeded),
            ("flight", "under way", counts.in_flight),
            ("bed", "not reached", counts.not_reached),
            ("failed", "failed", counts.failed),
            ("skipped", "left out", counts.skipped),
        ];
        html! {
            section.card.summary aria-label="Summary" {
                (part::bar(&[
                    ("done", share(counts.succeeded)), ("failed", share(counts.failed)),
                    ("skipped", share(counts.skipped)), ("flight", share(counts.in_flight)),
                ]))
                ul.counts {
                    @for (class, label, count) in legend {
                        li {
                            span class={ "swatch fill-" (class) } {}
                            strong { (words::number(count)) } " " (label)
                        }
                    }
                    li.total { "of " strong { (words::nodes(counts.targeted)) } }
                }
                dl.facts { (self.facts()) }
                @if let Some(command) = &session.retry_command {
                    div.shell {
                        code #retry-command tabindex="0" { (command) }
                        (part::copy("retry-command", "the command that does it again for what failed"))
                    }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let session = &self.session;
        let end = session.ended_at.unwrap_or(session.now);
        let took = session.started_at.map(|start| words::seconds(words::between(start, end)));
        let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
        html! {
            (fact("Operation", html! { (session.new.operation) }))
            (fact("Template", html! { (session.new.template_name) }))
            @if !session.new.limit.is_empty() {
                (fact("Limit", html! { span.clip title=(session.new.limit) { (session.new.limit) } }))
            }
            (fact("Asked by", html! { (session.new.actor) }))
            (fact("Duration", html! { (took.as_deref().unwrap_or("–")) }))
            (fact("Created", part::time(session.created_at)))
            (fact("Started", part::time_or_dash(session.started_at)))
            (fact("Ended", part::time_or_dash(session.ended_at)))
            @if let Some(lease) = &self.lease { (fact("Worker", self.worker(lease))) }
            @if let Some(hash) = &session.plan_hash {
                (fact("Plan", html! { code title=(hash) { (hash.chars().take(12).collect::<String>()) } }))
            }
            (fact("Number", html! { (session.id) }))
        }
    }

    fn worker(&self, lease: &LeaseRow) -> Markup {
        let is_over = self.session.state == SessionState::Ended;
        html! {
            @match (&lease.worker, lease.alive) {
                (Some(worker), true) => { (worker) },
                _ if is_over => span.dim { "done" },
                _ if self.session.state.waits_for_operator() => span.dim { "none: it waits for you" },
                _ => span.bad { "none now; one is started" },
            }
            " " span.dim { "epoch " (lease.epoch) }
        }
    }

    /// The map: the script draws it. Without it there is still the list of who failed.
    fn machine(&self) -> Markup {
        html! {
            section #machine .card data-map=(format!("/ui/sessions/{}/map", self.session.id)) {
                div.head {
                    h2 { "Machine" }
                    div.map-tools {
                        label for="map-find" { "Node" }
                        input #map-find type="search" size="16" autocomplete="off" spellcheck="false"
                            placeholder="x1000c0s0b0n0";
                    }
                }
                noscript { p.dim { "The map is drawn by a script, which is switched off." } }
                div #map-legend .map-legend role="group" aria-label="Show only" {}
                div.map-frame {
                    canvas #map-canvas tabindex="0" role="application" aria-describedby="map-help"
                        aria-label="Map of the machine: a cell per node" {}
                }
                p #map-help .dim {
                    "Arrow keys move from node to node, Enter opens its history; or point and click."
                }
                p #map-says .map-says role="status" aria-live="polite" {}
            }
        }
    }
}
