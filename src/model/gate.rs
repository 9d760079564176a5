//! Gates: what a component passes before its first disturbing effect, as far as a session's request decides it; and the
//! pace of power calls behind them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    pace::{PowerInterval, PowerIntervals, Rate},
    wave::Waves,
};

/// How a session goes over its components: what a request says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// Who is begun with first; none: everybody at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<Waves>,
    /// Which share of a boot set has to succeed before the next one's turn.
    #[serde(skip_serializing_if = "Thresholds::is_empty")]
    pub threshold: Thresholds,
    /// Shortest intervals between two power actions on one component, by hardware class.
    #[serde(skip_serializing_if = "PowerIntervals::is_empty")]
    pub power_interval: PowerIntervals,
    /// What the gates know.
    #[serde(flatten)]
    pub gates: Gates,
}

/// What the gates of a session know beside its state. By default nothing: they are open while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gates {
    /// How many components may be inside at once: past their gate, and not through. A share is one of all the session's
    /// components, rounded down, but at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Share>,
    /// The session halts when so many have failed, or this share of a wave (rounded up).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt_on_failures: Option<Share>,
    /// Which share of a wave (per cent) must not have failed before the next one's turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_threshold_percent: Option<u8>,
    /// Whether each wave but the first has to be approved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approve_between_waves: bool,
    /// Nothing is begun before then, not even looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Whoever is outside then is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// How many may be powered on in any span of some length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_on_rate: Option<Rate>,
    /// The same for each cabinet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cabinet_power_on_rate: Option<Rate>,
    /// Shortest intervals between two power actions on one component.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub power_intervals: Vec<PowerInterval>,
}

impl Gates {
    /// Whether they know nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// So many, or a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Share {
    /// So many; at least 1.
    Count(u32),
    /// Per cent, 1 to 100.
    Percent(u8),
}

/// A text that is no number and no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither a number of nodes (1 or more) nor a share of them (1% to 100%)")]
pub struct InvalidShare(pub String);

impl Share {
    /// The most that is within this share: rounded down, but at least 1.
    pub fn at_most(self, of: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => (of * usize::from(percent) / 100).max(1),
        }
    }

    /// The least that reaches this share: rounded up, and at least 1.
    pub fn at_least(self, of: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => (of * usize::from(percent)).div_ceil(100).max(1),
        }
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = match text.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|share| (1..=100).contains(share)).map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        read.ok_or_else(|| InvalidShare(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl TryFrom<String> for Share {
    type Error = InvalidShare;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

/// Which share of an earlier boot set (or wave) has to succeed before the next one's turn: `75%`, `gateways=90%`, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thresholds {
    /// Of every boot set that has none of its own, and of waves; per cent.
    pub session: Option<u8>,
    /// Of boot sets; per cent.
    pub boot_sets: BTreeMap<String, u8>,
}

/// A text that says no thresholds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no threshold: a share from 0% to 100%, as in 75% or gateways=90%")]
pub struct InvalidThreshold(pub String);

impl Thresholds {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.session.is_none() && self.boot_sets.is_empty()
    }

    /// What is said of a boot set.
    pub fn of(&self, boot_set: &str) -> Option<u8> {
        self.boot_sets.get(boot_set).copied().or(self.session)
    }
}

impl FromStr for Thresholds {
    type Err = InvalidThreshold;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut thresholds = Self::default();
        for word in text.split(',').map(str::trim) {
            let (boot_set, share) =
                word.rsplit_once('=').map_or((None, word), |(name, share)| (Some(name), share));
            let share = share.strip_suffix('%').unwrap_or(share).parse().ok().filter(|share| *share <= 100);
            let share = share.ok_or_else(|| InvalidThreshold(word.to_owned()))?;
            let before = match boot_set {
                Some(name) => thresholds.boot_sets.insert(name.to_owned(), share),
                None => thresholds.session.replace(share),
            };
            if before.is_some() {
                return Err(InvalidThreshold(word.to_owned()));
            }
        }
        Ok(thresholds)
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.session.map(|share| format!("{share}%"));
        let boot_sets = self.boot_sets.iter().map(|(name, share)| format!("{name}={share}%"));
        f.write_str(&session.into_iter().chain(boot_sets).collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<String> for Thresholds {
    type Error = InvalidThreshold;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Thresholds> for String {
    fn from(thresholds: Thresholds) -> Self {
        thresholds.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_to_the_safe_side() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        assert_eq!((share("64").at_most(10), share("64").at_least(10)), (64, 64));
        assert_eq!((share("10%").at_most(15), share("10%").at_least(15)), (1, 2));
        assert_eq!((share("1%").at_most(15), share("1%").at_least(15)), (1, 1));
        for text in ["0", "0%", "101%", "%", "-1", "1.5%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn thresholds_are_of_all_or_of_one() {
        let thresholds: Thresholds = "75%,gateways=90".parse().unwrap();
        assert_eq!((thresholds.of("gateways"), thresholds.of("compute")), (Some(90), Some(75)));
        assert_eq!(thresholds.to_string(), "75%,gateways=90%");
        for text in ["", "75%,80%", "gateways=", "a=1,a=2", "101%"] {
            assert!(text.parse::<Thresholds>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_kept() {
        assert_eq!(serde_json::to_string(&Rollout::default()).unwrap(), "{}");
        let kept = r#"{"waves":"1,rest","threshold":"75%","max_unavailable":"10%"}"#;
        let rollout: Rollout = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&rollout).unwrap(), kept);
    }
}
