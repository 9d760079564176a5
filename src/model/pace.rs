//! Pacing: how fast power may be asked for.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// So many in any span of so long: `50/10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In any span of this length.
    pub per: Duration,
}

/// The longest span of a rate, and the longest interval.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no rate: a number of nodes and a time (1ms to 1day), as in 50/10s")]
pub struct InvalidRate(pub String);

fn span(text: &str) -> Option<Duration> {
    let span = humantime::parse_duration(text.trim()).ok()?;
    (Duration::from_millis(1)..=LONGEST).contains(&span).then_some(span)
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = text.split_once('/').and_then(|(count, per)| {
            let count = count.trim().parse().ok().filter(|count| *count > 0)?;
            Some(Self { count, per: span(per)? })
        });
        read.ok_or_else(|| InvalidRate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = humantime::format_duration(self.per).to_string();
        write!(f, "{}/{}", self.count, per.replace(' ', ""))
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// The shortest intervals between two power actions on one component, by hardware class: `30s`, `River=30s,Mountain=10s`.
/// A class that is named has its own, whatever is said of all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PowerIntervals(Vec<(Option<String>, Duration)>);

/// A text that says no intervals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no interval: a time (1ms to 1day), or one of a hardware class, as in 30s or River=30s")]
pub struct InvalidInterval(pub String);

impl PowerIntervals {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hardware classes that are named.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(class, _)| class.as_deref())
    }

    /// What holds for a component of this class.
    pub fn of(&self, class: Option<&str>) -> Option<Duration> {
        let named = self.0.iter().find(|(named, _)| match (named.as_deref(), class) {
            (Some(named), Some(class)) => named.eq_ignore_ascii_case(class),
            _ => false,
        });
        named.or_else(|| self.0.iter().find(|(named, _)| named.is_none())).map(|(_, interval)| *interval)
    }
}

impl FromStr for PowerIntervals {
    type Err = InvalidInterval;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut intervals: Vec<(Option<String>, Duration)> = Vec::new();
        for word in text.split(',').map(str::trim) {
            let (class, interval) = word
                .split_once('=')
                .map_or((None, word), |(class, interval)| (Some(class.to_owned()), interval));
            let known = |other: &Option<String>| match (other, &class) {
                (Some(other), Some(class)) => other.eq_ignore_ascii_case(class),
                (None, None) => true,
                _ => false,
            };
            let twice = intervals.iter().any(|(other, _)| known(other));
            let nameless = class.as_deref().is_some_and(|class| class.trim().is_empty());
            let interval = span(interval).filter(|_| !twice && !nameless);
            intervals.push((class, interval.ok_or_else(|| InvalidInterval(word.to_owned()))?));
        }
        Ok(Self(intervals))
    }
}

impl fmt::Display for PowerIntervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |(class, interval): &(Option<String>, Duration)| {
            let interval = humantime::format_duration(*interval).to_string().replace(' ', "");
            class.as_ref().map_or(interval.clone(), |class| format!("{class}={interval}"))
        };
        f.write_str(&self.0.iter().map(word).collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<String> for PowerIntervals {
    type Error = InvalidInterval;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PowerIntervals> for String {
    fn from(intervals: PowerIntervals) -> Self {
        intervals.to_string()
    }
}

/// The shortest interval between two power actions on each of these components, as frozen in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerInterval {
    /// At least so long.
    #[serde(with = "super::workflow::duration")]
    pub at_least: Duration,
    /// Their names, folded; empty: everybody who is in no other list.
    pub of: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_so_many_in_so_long() {
        let rate: Rate = "50/1m 30s".parse().unwrap();
        assert_eq!(
            (rate.count, rate.per, rate.to_string()),
            (50, Duration::from_secs(90), "50/1m30s".to_owned())
        );
        for text in ["50", "0/1s", "50/0s", "50/", "/1s", "1/2days", "-1/1s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_class_has_its_own_interval() {
        let intervals: PowerIntervals = "30s,River=1m".parse().unwrap();
        let of = |class| intervals.of(class).map(|interval| interval.as_secs());
        assert_eq!((of(Some("river")), of(Some("Hill")), of(None)), (Some(60), Some(30), Some(30)));
        assert_eq!(intervals.to_string(), "30s,River=1m");
        let river: PowerIntervals = "River=30s".parse().unwrap();
        assert_eq!((river.of(None), river.of(Some("Hill"))), (None, None));
        for text in ["", "1s,2s", "River=", "=1s", "River=1s,river=2s", "soon"] {
            assert!(text.parse::<PowerIntervals>().is_err(), "{text}");
        }
    }
}
