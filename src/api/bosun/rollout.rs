//! How a session goes over its components, as a request says it: waves, thresholds, gates.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::{
    api::{
        ApiError,
        schema::{Field, Shape, optional},
    },
    model::{
        Timestamp,
        gate::{Gates, Rollout, Share, Thresholds},
        pace::{PowerIntervals, Rate},
        wave::Waves,
    },
};

/// What a request may say of it.
pub(super) const FIELDS: &[Field] = &[
    optional("waves", &Shape::Nullable(&WAVES)),
    optional("threshold", &Shape::Nullable(&THRESHOLD)),
    optional("max_unavailable", &Shape::Nullable(&SHARE)),
    optional("halt_on_failures", &Shape::Nullable(&SHARE)),
    optional("approve_between_waves", &Shape::Boolean),
    optional("not_before", &Shape::Nullable(&WHEN)),
    optional("not_after", &Shape::Nullable(&WHEN)),
    optional("power_on_rate", &Shape::Nullable(&RATE)),
    optional("cabinet_power_on_rate", &Shape::Nullable(&RATE)),
    optional("power_interval", &Shape::Nullable(&INTERVAL)),
];
const WAVES: Shape = Shape::Grammar {
    max: 1_000,
    holds: |text| text.parse::<Waves>().is_ok(),
    pattern: r"^([1-9][0-9]{0,5}|[1-9][0-9]?%)(,([1-9][0-9]{0,5}|[1-9][0-9]?%)){0,20}(,rest)?$",
    what: "a list of waves: numbers of nodes or shares of them, as in 1,10,100,rest or 10%",
};
const THRESHOLD: Shape = Shape::Grammar {
    max: 10_000,
    holds: |text| text.parse::<Thresholds>().is_ok(),
    pattern: r"^[1-9]?[0-9]%$",
    what: "a threshold: a share from 0% to 100%, as in 75% or gateways=90%",
};
pub(super) const SHARE: Shape = Shape::Grammar {
    max: 20,
    holds: |text| text.parse::<Share>().is_ok(),
    pattern: r"^([1-9][0-9]{0,5}|[1-9][0-9]?%)$",
    what: "a number of nodes (1 or more) or a share of them (1% to 100%)",
};
pub(super) const WHEN: Shape = Shape::Grammar {
    max: 64,
    holds: |text| when(text, DateTime::UNIX_EPOCH).is_some(),
    pattern: r"^[1-9][0-9]{0,2}(m|h)$",
    what: "a moment (2026-03-01T02:00:00Z) or a time from now (90m)",
};

const RATE: Shape = Shape::Grammar {
    max: 64,
    holds: |text| text.parse::<Rate>().is_ok(),
    pattern: r"^[1-9][0-9]{0,5}/[1-9][0-9]{0,2}(s|m)$",
    what: "a rate: a number of nodes and a time, as in 50/10s",
};
const INTERVAL: Shape = Shape::Grammar {
    max: 1_000,
    holds: |text| text.parse::<PowerIntervals>().is_ok(),
    pattern: r"^[1-9][0-9]{0,2}(s|m)$",
    what: "a time, or one of a hardware class, as in 30s or River=30s",
};

/// As it is written in a body.
#[derive(Deserialize, Default)]
pub(super) struct RolloutBody {
    waves: Option<Waves>,
    threshold: Option<Thresholds>,
    max_unavailable: Option<Share>,
    halt_on_failures: Option<Share>,
    #[serde(default)]
    approve_between_waves: bool,
    not_before: Option<String>,
    not_after: Option<String>,
    power_on_rate: Option<Rate>,
    cabinet_power_on_rate: Option<Rate>,
    power_interval: Option<PowerIntervals>,
}

impl RolloutBody {
    /// As the session is to have it; times from now are moments then.
    pub(super) fn read(self) -> Result<Rollout, ApiError> {
        let now = Utc::now();
        let moment = |text: Option<String>| text.and_then(|text| when(&text, now));
        let (not_before, not_after) = (moment(self.not_before), moment(self.not_after));
        if not_after.is_some_and(|until| until <= now) {
            return Err(ApiError::bad_request("not_after has passed: nothing could be begun"));
        }
        if not_before.zip(not_after).is_some_and(|(from, until)| from >= until) {
            return Err(ApiError::bad_request("not_before is not before not_after: nothing could be begun"));
        }
        if self.approve_between_waves && self.waves.is_none() {
            return Err(ApiError::bad_request("approve_between_waves needs waves"));
        }
        Ok(Rollout {
            waves: self.waves,
            threshold: self.threshold.unwrap_or_default(),
            power_interval: self.power_interval.unwrap_or_default(),
            gates: Gates {
                max_unavailable: self.max_unavailable,
                halt_on_failures: self.halt_on_failures,
                wave_threshold_percent: None,
                approve_between_waves: self.approve_between_waves,
                not_before,
                not_after,
                power_on_rate: self.power_on_rate,
                cabinet_power_on_rate: self.cabinet_power_on_rate,
                power_intervals: Vec::new(),
            },
        })
    }
}

/// A moment, or a time from `now`; in whole seconds.
pub(super) fn when(text: &str, now: Timestamp) -> Option<Timestamp> {
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.with_timezone(&Utc),
        Err(_) => {
            let after = humantime::parse_duration(text).ok()?;
            now.checked_add_signed(TimeDelta::from_std(after).ok()?)?
        }
    };
    DateTime::from_timestamp(moment.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_given_or_counted_from_now() {
        let now = DateTime::from_timestamp(1_000, 7).unwrap();
        assert_eq!(when("90m", now), DateTime::from_timestamp(6_400, 0));
        assert_eq!(when("1970-01-01T01:00:00+01:00", now), DateTime::from_timestamp(0, 0));
        assert_eq!(when("tonight", now), None);
        assert_eq!(when("99999999999y", now), None);
    }
}
