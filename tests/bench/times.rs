//! Many measurements of one thing.

use std::time::Instant;

use serde::Serialize;

/// What became of them, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    /// How many.
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Times {
    /// Of these milliseconds; at least one.
    pub fn of(mut all: Vec<f64>) -> Self {
        assert!(!all.is_empty(), "something was measured");
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
        Self { count: all.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// Milliseconds since.
pub fn ms_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}
