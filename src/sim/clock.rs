//! The simulator's time: moments since its start, and the queue of what is to happen.
//!
//! There is one queue for the whole machine and no timer per node: 100,000 nodes that boot are 100,000 entries of a
//! heap. Whoever touches the world first lets everything happen that is due, so nobody ever sees a late world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A moment, in microseconds since the simulator's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The simulator's start.
    pub const START: Self = Self(0);
    /// Later than any moment that comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` until this moment; zero if it lies before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Ties moments to the monotonic clock and to the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    calendar: DateTime<Utc>,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now(), calendar: Utc::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::default().after(self.start.elapsed())
    }

    /// A moment on the monotonic clock.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since(Moment::default())
    }

    /// A moment on the calendar.
    pub fn calendar(&self, moment: Moment) -> DateTime<Utc> {
        let micros = i64::try_from(moment.0).unwrap_or(i64::MAX);
        self.calendar.checked_add_signed(TimeDelta::microseconds(micros)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// RFC 3339 with milliseconds.
    pub fn millis(&self, moment: Moment) -> String {
        self.calendar(moment).to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// RFC 3339 with whole seconds.
    pub fn seconds(&self, moment: Moment) -> String {
        self.calendar(moment).to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// Things to come, in order of time; equal times in the order they were put in.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: (Moment, u64),
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), count: 0 }
    }

    /// Puts something in.
    pub fn push(&mut self, at: Moment, what: T) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at: (at, self.count), what }));
    }

    /// When the next thing is due.
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(entry)| entry.at.0)
    }

    /// Takes out the next thing if it is due.
    pub fn pop_due(&mut self, now: Moment) -> Option<(Moment, T)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at.0, entry.what))
    }
}

/// A number that looks random and follows from `seed` and `salt` alone.
pub fn scatter(seed: u64, salt: u64) -> u64 {
    let mut z =
        seed.wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_of_time_then_of_arrival() {
        let mut queue = Queue::new();
        let at = |ms| Moment::default().after(Duration::from_millis(ms));
        queue.push(at(20), "c");
        queue.push(at(10), "a");
        queue.push(at(10), "b");
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(queue.pop_due(at(15)), Some((at(10), "a")));
        assert_eq!(queue.pop_due(at(15)), Some((at(10), "b")));
        assert_eq!(queue.pop_due(at(15)), None);
        assert_eq!(queue.next(), Some(at(20)));
    }

    #[test]
    fn chance_is_repeatable() {
        assert_eq!(scatter(1, 2), scatter(1, 2));
        assert_ne!(scatter(1, 2), scatter(1, 3));
        assert_ne!(scatter(1, 2), scatter(2, 2));
    }
}
