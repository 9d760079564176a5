//! What the next worker of a session loads before it goes on: the plan, the past, and the flow made of them.

use std::time::Instant;

use bosun::{
    db,
    engine::memory,
    model::session::SessionId,
    plan::flow::{Flow, Pace},
};

use crate::{
    house::House,
    times::{Times, ms_since},
};

/// How often it is loaded.
const LOADS: usize = 5;

/// Loads a session that is over: nobody ever has to load more of it. Each time on a new connection, as a worker does.
pub async fn time(house: &House, session: &'static str) -> Times {
    let id: i64 = sqlx::query_scalar("select session_id from session where name = $1")
        .bind(session)
        .fetch_one(&house.pool)
        .await
        .unwrap();
    let mut times = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        let mut connection = db::open(&house.postgres.url(), "bosun bench").await.unwrap();
        let begun = Instant::now();
        let memory = memory::load(&mut connection, &SessionId(id)).await.unwrap();
        let flow = Flow::new(memory.plan, &memory.past, Pace::default());
        times.push(ms_since(begun));
        assert!(!flow.counters().is_empty(), "something was loaded");
    }
    Times::of(times)
}
