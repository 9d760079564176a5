//! Postgres' time, kept between heartbeats on the monotonic clock.

use std::{sync::Arc, sync::Mutex, time::Instant};

use chrono::TimeDelta;

use crate::model::Timestamp;

/// The database's clock as last heard, and how long ago that was.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<(Timestamp, Instant)>>);

impl Clock {
    /// A clock that was heard just now.
    pub fn new(at: Timestamp) -> Self {
        Self(Arc::new(Mutex::new((at, Instant::now()))))
    }

    /// The database spoke: `at` was its time at `heard`. Time never runs backwards.
    pub fn heard(&self, at: Timestamp, heard: Instant) {
        let mut known = self.lock();
        let expected = known.0 + elapsed(known.1, heard);
        *known = (at.max(expected), heard);
    }

    /// The database's time now.
    pub fn now(&self) -> Timestamp {
        let known = self.lock();
        known.0 + elapsed(known.1, Instant::now())
    }

    /// The instant at which the database's clock will show `at`.
    pub fn instant(&self, at: Timestamp) -> Instant {
        let ahead = (at - self.now()).to_std().unwrap_or_default();
        Instant::now() + ahead
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Instant)> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn elapsed(from: Instant, to: Instant) -> TimeDelta {
    TimeDelta::from_std(to.saturating_duration_since(from)).unwrap_or(TimeDelta::MAX)
}
