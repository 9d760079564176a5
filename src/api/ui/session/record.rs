//! What a session did and what it tells of itself: effects, events, commands.

use maud::{Markup, html};
use serde_json::Value;

use super::command;
use crate::{
    api::ui::{part, words},
    db::{command::CommandRow, effect::EffectLine, session::Session},
    model::event::{Event, EventKind},
};

/// Longest text of one event.
const TEXT_CHARS_MAX: usize = 400;

/// Calls that changed the world, newest first.
pub fn effects(lines: &[EffectLine]) -> Markup {
    if lines.is_empty() {
        return html! { p.dim { "Nothing was changed anywhere yet." } };
    }
    html! {
        div.scroll.tall tabindex="0" role="group" aria-label="Table of effects" {
            table.list {
                thead {
                    tr {
                        th.number scope="col" { "No." }
                        th scope="col" { "Step" }
                        th scope="col" { "Call" }
                        th scope="col" { "State" }
                        th.number scope="col" { "Nodes" }
                        th scope="col" { "Service's reference" }
                        th scope="col" { "Asked" }
                        th.number scope="col" { "Answered" }
                        th.number scope="col" { "Settled" }
                        th scope="col" { "Error" }
                    }
                }
                tbody {
                    @for line in lines {
                        tr id={ "e" (line.no) } {
                            td.number { (line.no) }
                            td { (line.step) }
                            td { (line.rung) }
                            td { span class={ "word effect-" (line.state) } { (words::plain(&line.state)) } }
                            td.number { (words::number(line.components)) }
                            td {
                                @match &line.reference {
                                    Some(reference) => code { (reference) },
                                    None => { (part::dash()) },
                                }
                            }
                            td { (part::time(line.intended_at)) }
                            td.number { (after(line, line.answered_at)) }
                            td.number { (after(line, line.settled_at)) }
                            td { @match &line.error { Some(error) => span.bad { (error) }, None => { (part::dash()) } } }
                        }
                    }
                }
            }
        }
    }
}

fn after(line: &EffectLine, at: Option<crate::model::Timestamp>) -> Markup {
    html! {
        @match at {
            Some(at) => { "+" (words::seconds(words::between(line.intended_at, at))) },
            None => { (part::dash()) },
        }
    }
}

/// What was asked of it, newest first.
pub fn commands(rows: &[CommandRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h3.sub { "Commands" }
            ul.commands {
                @for row in rows {
                    li {
                        (part::time(row.created_at)) " " strong { (command::name(row.command.request.kind)) }
                        @if let Some(step) = &row.command.request.step { " of " (step) }
                        " by " (row.command.actor)
                        @if let Some(reason) = &row.command.request.reason { ": “" (reason) "”" }
                        @match (&row.answer, row.obeyed_at) {
                            (Some(answer), _) => span.dim { " → " (answer) },
                            (None, Some(_)) => span.dim { " → obeyed" },
                            (None, None) => span.dim { " → not seen yet" },
                        }
                    }
                }
            }
        }
    }
}

/// The narrative, newest first.
pub fn events(session: &Session, events: &[Event]) -> Markup {
    let start = session.started_at.unwrap_or(session.created_at);
    html! {
        @if events.is_empty() { p.dim { "Nothing has happened yet." } } @else {
            div.scroll.tall tabindex="0" role="group" aria-label="Table of events" {
                table.list {
                    thead {
                        tr {
                            th.number scope="col" { "No." }
                            th scope="col" { "At" }
                            th.number scope="col" { "Since start" }
                            th scope="col" { "What" }
                            th.wide scope="col" { "Particulars" }
                        }
                    }
                    tbody {
                        @for event in events {
                            tr id={ "v" (event.seq) } {
                                td.number { (event.seq) }
                                td { (part::time(event.at)) }
                                td.number { (words::seconds(words::between(start, event.at))) }
                                td { span class={ "word event-" (event.kind.label()) } { (words::plain(event.kind.label())) } }
                                td.wide { (text(event)) @if let Some(actor) = &event.actor { span.dim { " by " (actor) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An event's particulars in words; what has none of its own is told key by key.
fn text(event: &Event) -> String {
    let data = &event.data;
    let text = match event.kind {
        EventKind::Results => data["steps"].as_object().map(|steps| {
            let step = |(name, numbers): (&String, &Value)| format!("{name}: {}", counts(numbers));
            steps.iter().map(step).collect::<Vec<_>>().join("; ")
        }),
        EventKind::Intents => data["calls"].as_array().map(|calls| {
            let call = |call: &Value| {
                let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
                let nodes = words::nodes(call["components"].as_i64().unwrap_or_default());
                format!("call {} {} {} for {nodes}", call["effect"], text("step"), text("rung"))
            };
            calls.iter().map(call).collect::<Vec<_>>().join("; ")
        }),
        EventKind::Note => data["calls"].as_object().map(|_| format!("calls: {}", counts(&data["calls"]))),
        _ => None,
    };
    let text = text.unwrap_or_else(|| pairs(data));
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `3 failed, 10 succeeded`
fn counts(value: &Value) -> String {
    let count = |(key, value): (&String, &Value)| format!("{value} {}", words::plain(key));
    value
        .as_object()
        .map(|counts| counts.iter().map(count).collect::<Vec<_>>().join(", "))
        .unwrap_or_default()
}

/// `service: pcs, attempts: 3`; what is empty is not told.
fn pairs(value: &Value) -> String {
    let pair = |(key, value): (&String, &Value)| {
        let told = pairs(value);
        (!told.is_empty()).then(|| format!("{}: {told}", words::plain(key)))
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(pairs).collect::<Vec<_>>().join(", "),
        Value::Object(object) => object.iter().filter_map(pair).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: EventKind, data: Value) -> String {
        let at = crate::model::Timestamp::UNIX_EPOCH;
        text(&Event { seq: 1, at, epoch: 1, kind, actor: None, data })
    }

    #[test]
    fn events_are_told_in_words() {
        let results = json!({"steps": {"compute/power_off": {"failed": 3, "succeeded": 10}}});
        assert_eq!(told(EventKind::Results, results), "compute/power_off: 3 failed, 10 succeeded");
        let calls = json!({"calls": [{"effect": 4, "step": "c/power_on", "rung": "On", "components": 1800}]});
        assert_eq!(told(EventKind::Intents, calls), "call 4 c/power_on On for 1,800 nodes");
        assert_eq!(told(EventKind::Note, json!({"calls": {"accepted": 1}})), "calls: 1 accepted");
        let admitted =
            json!({"limit": "", "members": 7, "notes": [], "skipped": {"locked": 2}, "take_over": null});
        assert_eq!(told(EventKind::Admitted, admitted), "members: 7, skipped: locked: 2");
        assert!(told(EventKind::Note, json!("é".repeat(1_000))).chars().count() <= TEXT_CHARS_MAX + 1);
    }
}
