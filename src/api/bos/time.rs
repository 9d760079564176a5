//! BOS's times: UTC without saying so, whole seconds; ages as in `7d`; durations as Python writes them.

use chrono::TimeDelta;

use crate::{api::ApiError, model::Timestamp};

/// Beyond, no calendar reaches: BOS fails there too (about 1,900 years).
const AGE_MINUTES_MAX: i64 = 1_000_000_000;

/// `2026-01-31T12:00:00`
pub fn show(moment: Timestamp) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// `1 day, 2:03:04`, with microseconds where there are any.
pub fn duration(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let micros = span.subsec_micros().max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let micros = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{days}{}:{:02}:{:02}{micros}", rest / 3_600, rest % 3_600 / 60, rest % 60)
}

/// An age: `0`, or a number with m, h, d or w in either case.
///
/// # Errors
/// 400 when it is none, or reaches back before all calendars.
pub fn age(text: &str) -> Result<TimeDelta, ApiError> {
    let bad = || {
        ApiError::bad_request(format!(
            "Error parsing age field: '{text}' is no age, as in 30m, 12h, 7d or 2w"
        ))
    };
    if text == "0" {
        return Ok(TimeDelta::zero());
    }
    let unit = text.chars().next_back().ok_or_else(bad)?;
    let minutes = match unit.to_ascii_lowercase() {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        _ => return Err(bad()),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    let plain = digits == "0" || !digits.starts_with('0');
    if text.len() > 8 || digits.is_empty() || !plain || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(bad());
    }
    let number: i64 = digits.parse().map_err(|_| bad())?;
    let minutes =
        number.checked_mul(minutes).filter(|minutes| *minutes <= AGE_MINUTES_MAX).ok_or_else(bad)?;
    TimeDelta::try_minutes(minutes).ok_or_else(bad)
}

/// Whether it is an age, as `cleanup_completed_session_ttl` takes it.
pub fn is_age(text: &str) -> bool {
    age(text).is_ok()
}

/// Whether it is a time that is not nothing, of whole hours at least.
pub fn is_time_to_live(text: &str) -> bool {
    age(text).is_ok_and(|age| age > TimeDelta::zero()) && !text.ends_with(['m', 'M'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_pythons() {
        assert_eq!(duration(TimeDelta::seconds(3_723)), "1:02:03");
        assert_eq!(duration(TimeDelta::seconds(86_400 * 2 + 5)), "2 days, 0:00:05");
        assert_eq!(duration(TimeDelta::milliseconds(86_400_250)), "1 day, 0:00:00.250000");
    }

    #[test]
    fn ages_are_bounded() {
        assert_eq!(age("7d").expect("an age"), TimeDelta::days(7));
        assert_eq!(age("0W").expect("an age"), TimeDelta::zero());
        assert!(is_time_to_live("4h") && is_time_to_live("2W"));
        assert!(!is_time_to_live("30m") && !is_time_to_live("0h") && !is_time_to_live("0"));
        for wrong in ["", "7", "07d", "-1d", "1.5h", "d", "9999999999d", "7ä"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
