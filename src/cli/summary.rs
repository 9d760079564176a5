//! A session in words: where it is, what failed, and what to type next.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    output::{Column, table},
    view::{ErrorView, EventView, HandOverView, SessionView, StepView, WaveView},
};
use crate::model::session::SessionState;

/// Everything about a session; the command that retries what failed is the last line.
pub fn session(view: &SessionView) -> String {
    let mut text = headline(view);
    if let Some(reason) = &view.reason {
        let _ = writeln!(text, "reason: {reason}");
    }
    let _ = writeln!(text, "{}", counts(view));
    if !view.steps.is_empty() {
        let _ = write!(text, "\n{}", steps(&view.steps));
    }
    if !view.waves.is_empty() {
        let _ = write!(text, "\n{}", waves(&view.waves));
    }
    if !view.errors.is_empty() {
        let _ = write!(text, "\n{}", errors(&view.errors));
    }
    text.push_str(&hand_overs(view));
    let next = next_commands(view);
    if !next.is_empty() {
        let _ = write!(text, "\n{next}");
    }
    text
}

fn headline(view: &SessionView) -> String {
    let end = view.outcome.map_or(view.state.label(), |outcome| outcome.label()).replace('_', " ");
    let mut text = format!("session {} ({}, no. {}): {end}", view.name, view.operation, view.id);
    if let Some(seconds) = view.seconds {
        let _ = write!(text, ", {}", duration(seconds));
    }
    text.push('\n');
    text
}

/// The counts of a session in one line.
pub fn counts(view: &SessionView) -> String {
    let mut text = format!("{} targeted", view.targeted);
    let parts = [
        (view.not_reached, "not reached"),
        (view.in_flight, "in flight"),
        (view.succeeded, "succeeded"),
        (view.failed, "failed"),
        (view.skipped, "skipped"),
    ];
    for (count, what) in parts {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

/// A table of steps.
pub fn steps(steps: &[StepView]) -> String {
    use Column::{Number, Text};
    let columns = [
        Text("STEP"),
        Text("STATE"),
        Number("TARGETED"),
        Number("WAITING"),
        Number("IN FLIGHT"),
        Number("SUCCEEDED"),
        Number("FAILED"),
        Number("SKIPPED"),
        Number("CALLED"),
        Number("SECONDS"),
    ];
    let row = |step: &StepView| {
        let seconds = step.started_at.zip(step.ended_at).map(|(from, to)| (to - from).num_milliseconds());
        vec![
            step.name.clone(),
            step.state.clone(),
            step.targeted.to_string(),
            step.not_reached.to_string(),
            step.in_flight.to_string(),
            step.succeeded.to_string(),
            step.failed.to_string(),
            step.skipped.to_string(),
            step.attempts.to_string(),
            seconds.map_or_else(String::new, |millis| format!("{}.{}", millis / 1000, millis % 1000 / 100)),
        ]
    };
    table(&columns, steps.iter().map(row))
}

/// Who waits before which gate, and why.
fn waves(waves: &[WaveView]) -> String {
    use Column::{Number, Text};
    let columns = [
        Number("WAVE"),
        Number("NODES"),
        Number("WAITING"),
        Number("INSIDE"),
        Number("FAILED"),
        Text("GATE"),
    ];
    let row = |wave: &WaveView| {
        let counts = [wave.wave, wave.components, wave.waiting, wave.inside, wave.failed];
        let mut row: Vec<String> = counts.iter().map(ToString::to_string).collect();
        row.push(wave.gate.clone().unwrap_or_default());
        row
    };
    table(&columns, waves.iter().map(row))
}

fn errors(errors: &[ErrorView]) -> String {
    let columns =
        [Column::Text("STEP"), Column::Number("COUNT"), Column::Text("ERROR"), Column::Text("COMPONENTS")];
    let row = |error: &ErrorView| {
        vec![error.step.clone(), error.count.to_string(), error.error.clone(), error.components.clone()]
    };
    table(&columns, errors.iter().map(row))
}

/// What it waits for, and what others wait for.
fn hand_overs(view: &SessionView) -> String {
    let line = |hand_over: &HandOverView| {
        let HandOverView { from, to, count, components } = hand_over;
        if *to == view.name {
            format!("waits for {count} that session {from} holds: {components}\n")
        } else {
            format!(
                "gives {count} to session {to}, as soon as the calls that cover them have ended: {components}\n"
            )
        }
    };
    view.hand_overs.iter().map(line).collect()
}

/// What the operator may type next: nothing where all is well.
pub fn next_commands(view: &SessionView) -> String {
    let name = &view.name;
    match view.state {
        // Its reason names the commands that help, each with what it does.
        SessionState::Halted
            if view.reason.as_ref().is_some_and(|reason| reason.contains("'bosun session ")) =>
        {
            String::new()
        }
        SessionState::Paused | SessionState::Stuck | SessionState::Halted => {
            format!("go on:  bosun session resume {name}\nend it: bosun session cancel {name}\n")
        }
        SessionState::Ended => match &view.retry_command {
            Some(command) if command.starts_with("bosun session retry ") => {
                format!("retry the {} that failed, from the step that failed:\n{command}\n", view.failed)
            }
            Some(command) if view.failed == 0 => {
                format!("what was not begun, in a new session:\n{command}\n")
            }
            Some(command) => format!(
                "retry the {} that failed, from the step that failed:\nbosun session retry {name}\n\
                 or in a new session:\n{command}\n",
                view.failed
            ),
            None => String::new(),
        },
        _ => String::new(),
    }
}

/// A line of the narrative.
pub fn event(event: &EventView) -> String {
    let mut line = format!("{:>5}  {}  {}", event.seq, event.at.format("%H:%M:%S%.3f"), event.kind);
    if let Some(actor) = &event.actor {
        let _ = write!(line, " by {actor}");
    }
    for (key, value) in event.data.as_object().into_iter().flatten() {
        let words = words(value);
        if !words.is_empty() {
            let _ = write!(line, " {key}={words}");
        }
    }
    line.push('\n');
    line
}

/// Particulars without JSON's punctuation; what is empty is not worth a word.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| match value {
                Value::Object(_) => format!("{key} ({})", words(value)),
                _ => format!("{key} {}", words(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.round());
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn partial() -> SessionView {
        serde_json::from_value(json!({
            "id": 7, "name": "r1", "operation": "reboot", "state": "ended", "outcome": "partial",
            "targeted": 6000, "not_reached": 0, "in_flight": 0, "succeeded": 5997, "failed": 3, "skipped": 0,
            "retry_command": "bosun session create --template demo --operation reboot --limit x1,x2,x3",
            "plan_hash": "ab", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:41.5Z",
            "seconds": 41.5,
            "steps": [{
                "name": "compute/power_off", "verb": "power_off", "state": "settled", "targeted": 6000,
                "not_reached": 0, "in_flight": 0, "succeeded": 5997, "failed": 3, "skipped": 0, "attempts": 8,
                "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:08.25Z",
            }],
            "errors": [{
                "step": "compute/power_off", "error": "power_off_timeout", "count": 3,
                "components": "x1000c0s[0-2]b0n0",
            }],
        }))
        .expect("the session reads")
    }

    #[test]
    fn the_retry_command_is_the_last_line() {
        let text = session(&partial());
        assert!(text.starts_with("session r1 (reboot, no. 7): partial, 41.5 s\n"), "{text}");
        assert!(text.contains("6000 targeted, 5997 succeeded, 3 failed\n"), "{text}");
        assert_eq!(
            text.lines().last(),
            Some("bosun session create --template demo --operation reboot --limit x1,x2,x3")
        );
    }

    #[test]
    fn a_session_that_waits_says_what_to_type() {
        let waiting = SessionView { state: SessionState::Halted, outcome: None, ..partial() };
        assert!(next_commands(&waiting).contains("bosun session resume r1"));
    }

    #[test]
    fn events_are_told_without_punctuation() {
        let told = |data: Value| {
            let event = json!({"seq": 7, "at": "2026-01-01T03:04:05.678Z", "kind": "results", "actor": null, "data": data});
            event_line(event)
        };
        assert_eq!(
            told(json!({"steps": {"c/power_off": {"failed": 3, "succeeded": 4}}})),
            "    7  03:04:05.678  results steps=c/power_off (failed 3, succeeded 4)\n"
        );
        assert_eq!(
            told(json!({"limit": "", "notes": [], "skipped": {}, "previous": null, "members": 4})),
            "    7  03:04:05.678  results members=4\n"
        );
    }

    fn event_line(value: Value) -> String {
        event(&serde_json::from_value(value).expect("the event reads"))
    }

    #[test]
    fn long_times_are_in_minutes() {
        assert_eq!(duration(59.94), "59.9 s");
        assert_eq!(duration(61.4), "1m 1s");
    }
}
