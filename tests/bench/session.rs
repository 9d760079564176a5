//! One reboot, measured; and one whose worker is killed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::Value;

use crate::{
    house::{House, kill},
    path::{self, Path},
    process::{self, Peaks, Watch},
};

/// Longer than any of them takes.
const SESSION_TIMEOUT: Duration = Duration::from_secs(900);

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
    pub outcome: String,
    /// Until the next worker had the lease.
    pub to_lease: f64,
    /// Until the next worker, with everything loaded, had written the intent of its first call.
    pub to_intent: f64,
}

/// Reboots all components.
pub async fn reboot(house: &mut House) -> Reboot {
    house.sim_post("reset-counters", Value::Null).await;
    let (server, postgres) = (house.server(), house.postgres.pid());
    let watch = Watch::start(server, postgres);
    let cpu = || ByProcess {
        serve: process::own_seconds(server),
        worker: process::worker_seconds(server),
        postgres: process::tree_seconds(postgres),
    };
    let before = cpu();
    house.create("reboot").await;
    let (wal, images) = written(house).await;
    let outcome = ended(house, "reboot").await;
    let (wal_after, images_after) = written(house).await;
    // The time of a process counts when it was waited for.
    house.until(SESSION_TIMEOUT, async || process::children(server).is_empty()).await;
    let after = cpu();
    let Peaks { worker, postgres: backend } = watch.stop();
    let requests = house.sim("counters").await;
    let (created, over): (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select created_at, ended_at from session where name = 'reboot'")
            .fetch_one(&house.pool)
            .await
            .unwrap();
    let transitions = house
        .count("select coalesce(sum(cardinality(component_ids)), 0)::bigint from step_result_batch")
        .await;
    Reboot {
        outcome,
        seconds: path::of(house, created, over).await,
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

/// Reboots all components, and kills the worker when the nodes are off and it is about to switch them on.
pub async fn killed(house: &mut House) -> Resume {
    house.create("killed").await;
    let half_way = "select count(*) from effects where session = 'killed' and verb = 'set_boot_parameters'";
    house.until(SESSION_TIMEOUT, async || house.count(half_way).await > 0).await;
    let worker = *process::workers(house.server()).first().expect("a worker drives the session");
    let at = Utc::now();
    kill(worker, Signal::KILL);
    let outcome = ended(house, "killed").await;
    let (lease, intent): (DateTime<Utc>, Option<DateTime<Utc>>) = sqlx::query_as(
        "select (select min(at) from event e where e.session_id = s.session_id and e.epoch = 2),
                (select min(intended_at) from effect f where f.session_id = s.session_id and f.epoch = 2)
           from session s where s.name = 'killed'",
    )
    .fetch_one(&house.pool)
    .await
    .unwrap();
    let since = |moment: DateTime<Utc>| (moment - at).as_seconds_f64();
    Resume { outcome, to_lease: since(lease), to_intent: intent.map_or(f64::NAN, since) }
}

async fn ended(house: &House, name: &'static str) -> String {
    let outcome = || {
        sqlx::query_scalar::<_, Option<String>>("select outcome from session where name = $1")
            .bind(name)
            .fetch_one(&house.pool)
    };
    house.until(SESSION_TIMEOUT, async || outcome().await.unwrap().is_some()).await;
    outcome().await.unwrap().unwrap_or_default()
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
