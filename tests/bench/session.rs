//! One reboot, measured; and one whose worker is killed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::Value;

use crate::{
    house::{House, TEMPLATE, kill},
    path::{self, Path},
    process::{self, Peaks, Watch},
};

/// Longer than any of them takes.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(900);
/// Between two looks whether a session is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A session, measured.
#[derive(Debug, Serialize)]
pub struct Reboot {
    pub outcome: String,
    pub seconds: Path,
    /// By service, then by method and route.
    pub requests: Value,
    pub wal: Wal,
    pub cpu_seconds: ByProcess,
    pub peak_rss_mib: ByProcess,
}

/// Write-ahead log from the session's admission to its end.
#[derive(Debug, Serialize)]
pub struct Wal {
    pub bytes: i64,
    /// Pages written whole, because it was their first change since Postgres' own checkpoint.
    pub full_page_images: i64,
    /// Results of components in steps.
    pub transitions: i64,
    pub bytes_per_transition: f64,
}

/// By process. For memory: the largest one.
#[derive(Debug, Serialize)]
pub struct ByProcess {
    pub serve: f64,
    pub worker: f64,
    pub postgres: f64,
}

/// From a worker's SIGKILL, in seconds.
#[derive(Debug, Serialize)]
pub struct Resume {
    /// Until the next worker had the lease.
    pub to_lease: f64,
    /// Until the next worker, with everything loaded, had written the intent of its first call.
    pub to_intent: f64,
}

/// Reboots all components.
pub async fn reboot(house: &mut House) -> Reboot {
    house.sim_post("reset-counters", Value::Null).await;
    let server = house.server();
    let watch = Watch::start(server, house.postgres.pid());
    let cpu = async || ByProcess {
        serve: process::own_seconds(server),
        worker: process::worker_seconds(server),
        postgres: house.postgres_seconds().await,
    };
    let before = cpu().await;
    house.create("reboot", TEMPLATE).await;
    let (wal, images) = written(house).await;
    let outcome = ended(house, "reboot").await;
    let (wal_after, images_after) = written(house).await;
    // The time of a process counts when it was waited for.
    house.until(SESSION_TIMEOUT, async || process::children(server).is_empty()).await;
    let after = cpu().await;
    let Peaks { worker, postgres: backend } = watch.stop();
    let requests = house.sim("counters").await;
    let transitions = house
        .count("select coalesce(sum(cardinality(component_ids)), 0)::bigint from step_result_batch")
        .await;
    Reboot {
        outcome,
        seconds: path::of(house, "reboot").await,
        requests,
        wal: Wal {
            bytes: wal_after - wal,
            full_page_images: images_after - images,
            transitions,
            bytes_per_transition: (wal_after - wal) as f64 / transitions as f64,
        },
        cpu_seconds: ByProcess {
            serve: after.serve - before.serve,
            worker: after.worker - before.worker,
            postgres: after.postgres - before.postgres,
        },
        peak_rss_mib: ByProcess { serve: process::peak_mib(server), worker, postgres: backend },
    }
}

/// Reboots all components, and kills the worker when the nodes are off and it is about to switch them on. The session
/// is left in the middle: that it ends well is for tests to see.
pub async fn killed(house: &mut House) -> Resume {
    house.create("killed", TEMPLATE).await;
    let half_way = "select count(*) from effects where session = 'killed' and verb = 'set_boot_parameters'";
    house.until(SESSION_TIMEOUT, async || house.count(half_way).await > 0).await;
    let worker = *process::workers(house.server()).first().expect("a worker drives the session");
    let at = Utc::now();
    kill(worker, Signal::KILL);
    let acted = "select count(*) from effects where session = 'killed' and epoch = 2";
    house.until(SESSION_TIMEOUT, async || house.count(acted).await > 0).await;
    let (lease, intent): (DateTime<Utc>, DateTime<Utc>) = sqlx::query_as(
        "select (select min(at) from event e where e.session_id = s.session_id and e.epoch = 2),
                (select min(intended_at) from effect f where f.session_id = s.session_id and f.epoch = 2)
           from session s where s.name = 'killed'",
    )
    .fetch_one(&house.pool)
    .await
    .unwrap();
    let since = |moment: DateTime<Utc>| (moment - at).as_seconds_f64();
    Resume { to_lease: since(lease), to_intent: since(intent) }
}

/// Waits until a session is over; its outcome. Looks rarely: what is measured is in the database.
pub async fn ended(house: &House, name: &str) -> String {
    let wait = async {
        loop {
            let outcome: Option<String> = sqlx::query_scalar("select outcome from session where name = $1")
                .bind(name)
                .fetch_one(&house.pool)
                .await
                .unwrap();
            if let Some(outcome) = outcome {
                return outcome;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(SESSION_TIMEOUT, wait).await.expect("the session ends in time")
}

/// Bytes of write-ahead log so far, and whole pages among them.
async fn written(house: &House) -> (i64, i64) {
    sqlx::query_as(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, (select wal_fpi from pg_stat_wal)",
    )
    .fetch_one(&house.pool)
    .await
    .unwrap()
}
