//! What tests stand on: a real Postgres, a simulated machine over real HTTP, bosun's own API, real workers.

use std::time::{Duration, Instant};

pub mod app;
pub mod dev;
pub mod document;
pub mod invariants;
pub mod lane;
pub mod machine;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod server;
pub mod webhook;
pub mod worker;

/// Between two looks at whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `look` finds what it looks for.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
