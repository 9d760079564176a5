//! What is counted and measured, for those who watch the service: the families of metrics, and a tally of one process.
//!
//! No label names a component or a session: there are too many of them, and the history has them.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use serde::Serialize;

/// What belongs to a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// How often something took how long; upper bounds in seconds.
    Histogram(&'static [f64]),
}

/// A family of metrics that grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// As Prometheus has it, without `_total`.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// Answers of services, and checkpoints: milliseconds to the longest timeout.
const SHORT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Steps and sessions: a node's power takes seconds, a boot half an hour.
const LONG: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0];

/// From the facts: what became of components, by verb, outcome and reason.
pub const COMPONENT_RESULTS: Family = Family {
    name: "bosun_component_results",
    help: "What became of components in steps, by verb, outcome and reason",
    kind: Kind::Counter,
};
/// From the facts: components sent back.
pub const RETRIES: Family = Family {
    name: "bosun_retries",
    help: "Components sent back to an earlier step or to the same one, by verb and reason",
    kind: Kind::Counter,
};
/// From the facts: calls that change the world.
pub const EFFECTS: Family = Family {
    name: "bosun_effects",
    help: "Calls that change the world, by verb and rung",
    kind: Kind::Counter,
};
/// From the facts: lines of the narratives.
pub const EVENTS: Family = Family {
    name: "bosun_session_events",
    help: "Lines of the sessions' narratives, by kind (effect_lost, service_down, …)",
    kind: Kind::Counter,
};
/// From the facts: take-overs.
pub const TAKEOVERS: Family = Family {
    name: "bosun_takeovers",
    help: "Sessions that another worker took over because theirs died",
    kind: Kind::Counter,
};
/// From the facts: sessions that ended.
pub const SESSIONS_ENDED: Family = Family {
    name: "bosun_sessions_ended",
    help: "Sessions that ended, by operation and outcome",
    kind: Kind::Counter,
};
/// From the facts: how long sessions took.
pub const SESSION_SECONDS: Family = Family {
    name: "bosun_session_duration_seconds",
    help: "How long sessions took from their start, by operation",
    kind: Kind::Histogram(LONG),
};
/// From the facts: how long steps took.
pub const STEP_SECONDS: Family = Family {
    name: "bosun_step_duration_seconds",
    help: "How long steps took, from the first component to the last, by verb",
    kind: Kind::Histogram(LONG),
};
/// Of every process: how long services took to answer.
pub const SERVICE_REQUEST_SECONDS: Family = Family {
    name: "bosun_service_request_duration_seconds",
    help: "How long services took to answer, by service, method and status (unreachable, broken: no answer)",
    kind: Kind::Histogram(SHORT),
};
/// Of every process: reads that were repeated.
pub const SERVICE_REPEATS: Family = Family {
    name: "bosun_service_repeats",
    help: "Questions that were asked again because a service did not answer, by service",
    kind: Kind::Counter,
};
/// Of servers: how long requests to them took until the answer began.
pub const API_REQUEST_SECONDS: Family = Family {
    name: "bosun_api_request_duration_seconds",
    help: "How long requests to bosun took until their answer began, by route, method and status",
    kind: Kind::Histogram(SHORT),
};
/// Of workers: how long checkpoints took.
pub const CHECKPOINT_SECONDS: Family = Family {
    name: "bosun_checkpoint_duration_seconds",
    help: "How long workers waited for a checkpoint to be durable",
    kind: Kind::Histogram(SHORT),
};

/// All families.
pub const FAMILIES: [Family; 12] = [
    COMPONENT_RESULTS,
    RETRIES,
    EFFECTS,
    EVENTS,
    TAKEOVERS,
    SESSIONS_ENDED,
    SESSION_SECONDS,
    STEP_SECONDS,
    SERVICE_REQUEST_SECONDS,
    SERVICE_REPEATS,
    API_REQUEST_SECONDS,
    CHECKPOINT_SECONDS,
];

/// The part of a histogram that is the sum of all that was measured.
pub const SUM: &str = "sum";
/// The part of a histogram above its last bound.
pub const ABOVE: &str = "+Inf";

impl Family {
    /// The upper bounds of its buckets; none for a counter.
    pub fn bounds(&self) -> &'static [f64] {
        match self.kind {
            Kind::Counter => &[],
            Kind::Histogram(bounds) => bounds,
        }
    }

    /// The names of its buckets, the one above the last bound included.
    pub fn parts(&self) -> Vec<String> {
        self.bounds().iter().map(f64::to_string).chain([ABOVE.to_owned()]).collect()
    }

    /// The bucket that something which took so long belongs to.
    fn part(&self, seconds: f64) -> String {
        self.bounds().iter().find(|bound| seconds <= **bound).map_or_else(|| ABOVE.to_owned(), f64::to_string)
    }
}

/// Names and values, in order.
pub type Labels = BTreeMap<&'static str, String>;

/// So much of something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// The family's name.
    pub family: &'static str,
    /// What kind of it.
    pub labels: Labels,
    /// Which part of a histogram; empty for a counter.
    pub part: String,
    /// How much more.
    pub value: f64,
}

/// What a process counts until it reports it.
#[derive(Debug, Default)]
pub struct Tally {
    more: Mutex<BTreeMap<(&'static str, Labels, String), f64>>,
}

impl Tally {
    /// One more.
    pub fn count(&self, family: Family, labels: &[(&'static str, &str)]) {
        self.add(family, labels, [(String::new(), 1.0)]);
    }

    /// It took so long.
    pub fn measure(&self, family: Family, labels: &[(&'static str, &str)], took: Duration) {
        let seconds = took.as_secs_f64();
        self.add(family, labels, [(family.part(seconds), 1.0), (SUM.to_owned(), seconds)]);
    }

    /// Everything since the last time.
    pub fn take(&self) -> Vec<Sample> {
        let taken = std::mem::take(&mut *self.lock());
        taken
            .into_iter()
            .map(|((family, labels, part), value)| Sample { family, labels, part, value })
            .collect()
    }

    fn add(
        &self,
        family: Family,
        labels: &[(&'static str, &str)],
        parts: impl IntoIterator<Item = (String, f64)>,
    ) {
        let labels: Labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut more = self.lock();
        for (part, value) in parts {
            *more.entry((family.name, labels.clone(), part)).or_default() += value;
        }
    }

    /// Counts are good even if somebody panicked beside them.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(&'static str, Labels, String), f64>> {
        self.more.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_each_thing_once() {
        let tally = Tally::default();
        let labels = [("service", "pcs")];
        tally.count(SERVICE_REPEATS, &labels);
        tally.count(SERVICE_REPEATS, &labels);
        tally.measure(CHECKPOINT_SECONDS, &[], Duration::from_millis(10));
        tally.measure(CHECKPOINT_SECONDS, &[], Duration::from_secs(90));
        let told: Vec<(&str, String, f64)> =
            tally.take().into_iter().map(|sample| (sample.family, sample.part, sample.value)).collect();
        let checkpoints = CHECKPOINT_SECONDS.name;
        assert_eq!(
            told,
            [
                (checkpoints, "+Inf".to_owned(), 1.0),
                (checkpoints, "0.01".to_owned(), 1.0),
                (checkpoints, "sum".to_owned(), 90.01),
                (SERVICE_REPEATS.name, String::new(), 2.0),
            ]
        );
        assert_eq!(tally.take(), []);
    }

    #[test]
    fn bounds_rise_and_names_are_unique() {
        let mut names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len());
        assert!(FAMILIES.iter().all(|family| family.bounds().is_sorted()));
    }
}
