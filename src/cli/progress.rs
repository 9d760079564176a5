//! A session's progress on stderr: a bar per step on a terminal, plain lines otherwise.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{IsTerminal, Write as _},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{
    summary,
    view::{SessionView, StepView},
};

/// How often plain lines are written while only counts change.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What a step's pace is judged by.
const PACE_WINDOW: Duration = Duration::from_secs(20);

/// Shows one session's progress.
#[derive(Debug)]
pub enum Progress {
    /// Says nothing.
    Silent,
    /// Bars that move.
    Bars(Bars),
    /// Lines, one per change worth a line.
    Lines(Lines),
}

/// A bar per step.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    steps: BTreeMap<String, (ProgressBar, Pace)>,
}

/// How fast a step goes: what was seen of it lately.
#[derive(Debug, Default)]
pub struct Pace {
    seen: VecDeque<(Instant, i64)>,
}

/// What was last said.
#[derive(Debug, Default)]
pub struct Lines {
    state: Option<String>,
    steps: BTreeMap<String, String>,
    counted_at: Option<Instant>,
    counts: String,
}

impl Progress {
    /// Bars where stderr is a terminal that can show them, else lines.
    pub fn for_stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !dumb {
            Self::Bars(Bars::default())
        } else {
            Self::Lines(Lines::default())
        }
    }

    /// Shows where the session is now.
    pub fn show(&mut self, view: &SessionView) {
        match self {
            Self::Silent => {}
            Self::Bars(bars) => bars.show(view),
            Self::Lines(lines) => say(&lines.news(view, Instant::now())),
        }
    }

    /// Says something in between.
    pub fn note(&mut self, text: &str) {
        match self {
            Self::Bars(bars) => {
                let _ = bars.all.println(text);
            }
            Self::Silent | Self::Lines(_) => say(&format!("{text}\n")),
        }
    }

    /// Another hand that says something in between, while this one shows progress.
    pub fn notes(&self) -> Self {
        match self {
            Self::Silent => Self::Silent,
            Self::Lines(_) => Self::Lines(Lines::default()),
            Self::Bars(bars) => Self::Bars(Bars { all: bars.all.clone(), steps: BTreeMap::new() }),
        }
    }

    /// Leaves the bars as they are: what is said from now on comes below them.
    pub fn finish(&mut self) {
        if let Self::Bars(bars) = self {
            for (bar, _) in bars.steps.values() {
                bar.abandon();
            }
            *bars = Bars::default();
        }
    }
}

impl Bars {
    fn show(&mut self, view: &SessionView) {
        for step in &view.steps {
            let (bar, pace) = self.steps.entry(step.name.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(0).with_prefix(step.name.clone()));
                bar.set_style(style());
                (bar, Pace::default())
            });
            bar.set_length(step.targeted.unsigned_abs());
            bar.set_position(step.settled().unsigned_abs());
            let pace = pace.of(step, Instant::now()).unwrap_or_default();
            let parts = [particulars(step), pace].into_iter().filter(|part| !part.is_empty());
            bar.set_message(parts.collect::<Vec<_>>().join(", "));
        }
    }
}

impl Pace {
    /// Components per second, and how long the rest will take at that pace; nothing where nothing moves.
    fn of(&mut self, step: &StepView, now: Instant) -> Option<String> {
        let settled = step.settled();
        self.seen.push_back((now, settled));
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > PACE_WINDOW) {
            self.seen.pop_front();
        }
        let (since, before) = *self.seen.front()?;
        let (seconds, more) = (now.duration_since(since).as_secs_f64(), settled - before);
        let left = step.targeted - settled;
        if more <= 0 || seconds < 1.0 || left <= 0 {
            return None;
        }
        let rate = more as f64 / seconds;
        let left = Duration::from_secs((left as f64 / rate).ceil() as u64);
        Some(format!("{rate:.1}/s, {} left", humantime::format_duration(left)))
    }
}

/// The template is a constant, so it cannot be malformed.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>32!} {bar:30} {pos:>6}/{len:<6} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌ ")
}

fn particulars(step: &StepView) -> String {
    let parts = [(step.in_flight, "in flight"), (step.failed, "failed"), (step.skipped, "skipped")];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    parts.join(", ")
}

impl Lines {
    /// What is worth saying: a new state of the session or of a step; counts now and then.
    fn news(&mut self, view: &SessionView, now: Instant) -> String {
        let mut text = String::new();
        let state = view.state.label().to_owned();
        if self.state.as_ref() != Some(&state) {
            text += &format!("{}: {state}\n", view.name);
            self.state = Some(state);
        }
        for step in &view.steps {
            if self.steps.get(&step.name) != Some(&step.state) {
                if self.steps.contains_key(&step.name) || step.in_flight + step.settled() > 0 {
                    text += &format!("{}: {}: {}\n", view.name, step.name, step.state);
                }
                self.steps.insert(step.name.clone(), step.state.clone());
            }
        }
        let counts = summary::counts(view);
        let due = self.counted_at.is_none_or(|at| now.duration_since(at) >= LINE_INTERVAL);
        if due && counts != self.counts {
            text += &format!("{}: {counts}\n", view.name);
            self.counts = counts;
            self.counted_at = Some(now);
        }
        text
    }
}

/// Talk that cannot be written is no reason to stop.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pace_tells_how_long_the_rest_takes() {
        let step = |succeeded: i64| -> StepView {
            serde_json::from_value(json!({
                "name": "c/power_on", "verb": "power_on", "state": "running", "targeted": 100, "not_reached": 0,
                "in_flight": 100 - succeeded, "succeeded": succeeded, "failed": 0, "skipped": 0, "attempts": 0,
            }))
            .expect("the step reads")
        };
        let (start, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.of(&step(0), start), None);
        assert_eq!(pace.of(&step(20), start + Duration::from_secs(4)).as_deref(), Some("5.0/s, 16s left"));
        // What is long past counts no more.
        assert_eq!(pace.of(&step(40), start + Duration::from_secs(24)).as_deref(), Some("1.0/s, 1m left"));
        assert_eq!(pace.of(&step(100), start + Duration::from_secs(25)), None);
    }

    #[test]
    fn lines_tell_changes_only() {
        let view = |in_flight: i64, state: &str| -> SessionView {
            serde_json::from_value(json!({
                "id": 1, "name": "s", "operation": "boot", "state": "running", "outcome": null, "targeted": 2,
                "not_reached": 2 - in_flight, "in_flight": in_flight, "succeeded": 0, "failed": 0, "skipped": 0,
                "steps": [{
                    "name": "c/power_on", "verb": "power_on", "state": state, "targeted": 2,
                    "not_reached": 2 - in_flight, "in_flight": in_flight, "succeeded": 0, "failed": 0,
                    "skipped": 0, "attempts": 0,
                }],
            }))
            .expect("the session reads")
        };
        let start = Instant::now();
        let mut lines = Lines::default();
        assert_eq!(lines.news(&view(0, "waiting"), start), "s: running\ns: 2 targeted, 2 not reached\n");
        assert_eq!(lines.news(&view(1, "running"), start), "s: c/power_on: running\n");
        assert_eq!(lines.news(&view(1, "running"), start), "");
        assert_eq!(
            lines.news(&view(1, "running"), start + LINE_INTERVAL),
            "s: 2 targeted, 1 not reached, 1 in flight\n"
        );
    }
}
