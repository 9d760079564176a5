//! How long readers wait, on a session of this size.

use std::time::Instant;

use crate::{
    house::House,
    times::{Times, ms_since},
};

/// What operators ask, a page at a time.
const QUERIES: [(&str, &str); 11] = [
    ("session_progress", "select * from session_progress order by created_at desc limit 100"),
    ("step_progress", "select * from step_progress where session = 'reboot' order by step_no"),
    ("step_result", "select * from step_result where session = 'reboot' limit 1000"),
    ("step_history", "select * from step_history where session = 'reboot' and xname = 'x1000c0s0b0n0'"),
    ("failed_components", "select * from failed_components where session = 'reboot' limit 1000"),
    (
        "component_history",
        "select * from component_history where xname = 'x1000c0s0b0n0' order by session_id desc, seq desc limit 100",
    ),
    ("effects", "select * from effects where session = 'reboot' order by effect_no limit 1000"),
    ("timeline", "select * from timeline where session = 'reboot' order by seq limit 1000"),
    ("stuck_sessions", "select * from stuck_sessions"),
    ("wave_progress", "select * from wave_progress where session = 'reboot'"),
    ("overdue_components", "select * from overdue_components where session = 'reboot' limit 1000"),
];
/// The median of so many.
const TIMES: usize = 5;

/// Milliseconds by query.
pub async fn time(house: &House) -> Vec<(&'static str, f64)> {
    let mut all = Vec::new();
    for (name, query) in QUERIES {
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let begun = Instant::now();
            sqlx::query(query).fetch_all(&house.pool).await.unwrap();
            times.push(ms_since(begun));
        }
        all.push((name, Times::of(times).p50_ms));
    }
    all
}
