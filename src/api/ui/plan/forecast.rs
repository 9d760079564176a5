//! What would become of whom, by what power control and the nodes say now; and how long it takes by what is past.

use maud::{Markup, html};

use crate::{
    admit::Forecast,
    api::{
        bosun::plan::calls,
        ui::{part, words},
    },
    model::{
        plan::Plan,
        xname::{self, Xname},
    },
};

/// Longest folded list that is shown at once.
const OPEN_CHARS_MAX: usize = 120;

/// Who would be powered how. A sign for each, as the map has them.
pub(super) fn deeds(forecast: &Forecast) -> Markup {
    let deeds = [
        ("cycled", "off", "↻", "would be power-cycled", &forecast.power_cycled),
        ("on", "on", "↑", "would be powered on", &forecast.powered_on),
        ("off", "off", "↓", "would be powered off", &forecast.powered_off),
        ("untouched", "done", "✓", "would not be powered", &forecast.untouched),
        ("artifacts", "failed", "?", "run nobody knows what", &forecast.unknown_artifacts),
        ("power", "skipped", "?", "have no power state that is known", &forecast.unknown_power),
    ];
    html! {
        @for note in &forecast.notes { p.banner.tone-waiting { (part::icon("waiting")) span { (note) } } }
        ul.deeds {
            @for (id, kind, sign, says, who) in deeds.iter().filter(|(.., who)| !who.is_empty()) {
                li {
                    span class={ "sign map-" (kind) } aria-hidden="true" { (sign) }
                    span { strong { (words::nodes(who.len() as i64)) } " " (says) }
                    (names(&format!("deed-{id}"), who))
                }
            }
        }
    }
}

fn names(id: &str, who: &[Xname]) -> Markup {
    let folded = xname::fold(who);
    let list = html! { code.names id=(id) tabindex="0" { (folded) } };
    html! {
        div.names-line {
            @if folded.chars().count() <= OPEN_CHARS_MAX { (list) } @else {
                details id={ (id) "-more" } { summary { "Show the names" } (list) }
            }
            (part::copy(id, "the names"))
        }
    }
}

/// What each step calls, and how long it took before.
pub(super) fn times(plan: &Plan, forecast: &Forecast) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Table of steps" {
            table.list {
                thead {
                    tr {
                        th scope="col" { "Step" }
                        th.number scope="col" { "Calls at most" }
                        th.number scope="col" { "Half within" }
                        th.number scope="col" { "95 % within" }
                        th.number scope="col" { "By so many nodes" }
                        th.number scope="col" { "At most" }
                    }
                }
                tbody {
                    @for step in &plan.steps {
                        @let past = forecast.verb_times.iter().find(|time| time.verb == step.verb.name());
                        tr {
                            th.name scope="row" { (step.name) }
                            td.number { @match calls(plan, step) { Some(calls) => (words::number(calls as i64)), None => (part::dash()) } }
                            @match past {
                                Some(past) => {
                                    td.number { (words::seconds(past.p50_seconds)) }
                                    td.number { (words::seconds(past.p95_seconds)) }
                                    td.number { (words::number(past.components)) }
                                }
                                None => td.dim colspan="3" { "no session has done this yet" }
                            }
                            td.number { (humantime::format_duration(step.timeout).to_string()) }
                        }
                    }
                }
            }
        }
    }
}
