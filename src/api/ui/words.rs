//! Numbers and times as people read them. Pure.

use crate::model::Timestamp;

/// `12,345`
pub fn number(number: impl Into<i64>) -> String {
    let number: i64 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 node`, `12,345 nodes`
pub fn nodes(count: impl Into<i64>) -> String {
    match count.into() {
        1 => "1 node".to_owned(),
        count => format!("{} nodes", number(count)),
    }
}

/// `0.4 s`, `12 s`, `4 min 05 s`, `2 h 07 min`, `3 d 4 h`
pub fn seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// Seconds from one moment to another.
pub fn between(from: Timestamp, to: Timestamp) -> f64 {
    (to - from).num_milliseconds() as f64 / 1_000.0
}

/// `2026-11-22 14:33:55`
pub fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `14:33:55`
pub fn clock(at: Timestamp) -> String {
    at.format("%H:%M:%S").to_string()
}

/// A label of SQL or JSON as a word: `nothing_to_do` is `nothing to do`.
pub fn plain(label: &str) -> String {
    label.replace('_', " ")
}

/// How much of a whole, in per cent; of nothing, nothing.
pub fn share(part: impl Into<f64>, whole: impl Into<f64>) -> f64 {
    let whole = whole.into();
    if whole <= 0.0 { 0.0 } else { (100.0 * part.into() / whole).clamp(0.0, 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 7, 999, 1_000, 50_000, 1_234_567, -4_321].map(number);
        assert_eq!(texts, ["0", "7", "999", "1,000", "50,000", "1,234,567", "-4,321"]);
        assert_eq!((nodes(1), nodes(2_000)), ("1 node".to_owned(), "2,000 nodes".to_owned()));
    }

    #[test]
    fn times_have_two_units_at_most() {
        let texts = [-1.0, 0.44, 9.96, 59.6, 245.0, 7_620.0, 273_600.0].map(seconds);
        assert_eq!(texts, ["0.0 s", "0.4 s", "10 s", "1 min 00 s", "4 min 05 s", "2 h 07 min", "3 d 4 h"]);
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!((share(1, 4), share(1, 0), share(9, 3)), (25.0, 0.0, 100.0));
    }
}
