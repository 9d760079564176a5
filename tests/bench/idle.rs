//! What a server costs that has nothing to do.

use std::time::Duration;

use serde::Serialize;

use crate::{house::House, process};

/// How long it is watched.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Seconds of processor time, and their share of one core.
#[derive(Debug, Serialize)]
pub struct Idle {
    pub seconds: f64,
    pub serve_cpu_seconds: f64,
    pub postgres_cpu_seconds: f64,
    /// Of one core.
    pub percent: f64,
}

/// Watches a house in which nothing happens.
pub async fn measure(house: &House) -> Idle {
    // The components were all written a moment ago. Autovacuum's work on that is not what rest costs.
    sqlx::query("vacuum analyze").execute(&house.pool).await.unwrap();
    let server = house.server();
    let (serve, postgres) = (process::own_seconds(server), house.postgres_seconds().await);
    tokio::time::sleep(IDLE_TIME).await;
    let serve = process::own_seconds(server) - serve;
    let postgres = house.postgres_seconds().await - postgres;
    let seconds = IDLE_TIME.as_secs_f64();
    Idle {
        seconds,
        serve_cpu_seconds: serve,
        postgres_cpu_seconds: postgres,
        percent: 100.0 * (serve + postgres) / seconds,
    }
}
