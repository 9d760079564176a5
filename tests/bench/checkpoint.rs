//! A checkpoint of 1,000 results with their component rows, on the database alone, with the statistics that it has and
//! with some that are wrong; and what its disk can do.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use bosun::{
    db::{self, checkpoint::Saved, lease::Taken},
    model::{
        checkpoint::{Checkpoint, ProgressChange, ProgressUpdate, ResultBatch, StepCounters},
        event::{EventKind, NewEvent},
        plan::StepNo,
        result::FactKind,
        session::SessionId,
    },
};
use serde::Serialize;

use crate::{
    house::House,
    times::{Times, ms_since},
};

/// Results of one checkpoint.
const RESULTS: usize = 1_000;
const CHECKPOINTS: usize = 300;

/// The tables that a checkpoint touches.
const TABLES: &str = "array['component', 'component_progress', 'step_result_batch', 'effect', 'event', 'step', 'step_edge', \
                      'session', 'session_lease', 'boot_token', 'error_text', 'command']::regclass[]";

/// How long checkpoints took.
#[derive(Debug, Serialize)]
pub struct Checkpoints {
    /// Components of each.
    pub results: usize,
    /// With statistics as autovacuum keeps them.
    pub fresh: Times,
    /// With statistics that tell of tables with one row in a thousand pages.
    pub stale: Times,
}

/// Writes checkpoints of the session `reboot`, as a worker would.
pub async fn time(house: &House) -> Checkpoints {
    let id = house.count("select session_id from session where name = 'reboot'").await;
    sqlx::query("update session set state = 'running', outcome = null where session_id = $1")
        .bind(id)
        .execute(&house.pool)
        .await
        .unwrap();
    let components: Vec<i32> = sqlx::query_scalar(
        "select u.id from session_component_batch b cross join lateral unnest(b.component_ids) u (id)
          where b.session_id = $1 and b.skip_reason is null order by u.id",
    )
    .bind(id)
    .fetch_all(&house.pool)
    .await
    .unwrap();
    let parts: Vec<&[i32]> =
        components.chunks(RESULTS).filter(|part| part.len() == components.len().min(RESULTS)).collect();
    let fresh = write(house, SessionId(id), &parts).await;
    spoil_statistics(house).await;
    let stale = write(house, SessionId(id), &parts).await;
    Checkpoints { results: parts[0].len(), fresh, stale }
}

/// On a connection of its own, whose plans know the statistics of this moment.
async fn write(house: &House, session: SessionId, parts: &[&[i32]]) -> Times {
    let mut connection = db::open(&house.postgres.url(), "bosun bench").await.unwrap();
    let taken = db::lease::take(&mut connection, &session, "bench", Duration::from_secs(600)).await.unwrap();
    let Taken::Lease(lease) = taken else { panic!("the lease is free: {taken:?}") };
    let seq = db::event::last_seq(&mut connection, &session).await.unwrap();
    let mut times = Vec::with_capacity(CHECKPOINTS);
    for (n, part) in (1..=CHECKPOINTS as i64).zip(parts.iter().cycle()) {
        let checkpoint = checkpoint(seq + n, part.to_vec());
        let begun = Instant::now();
        let saved = db::checkpoint::save(&mut connection, &lease, &checkpoint).await.unwrap();
        times.push(ms_since(begun));
        assert!(matches!(saved, Saved::Written { .. }), "{saved:?}");
    }
    db::lease::release(&mut connection, &lease).await.unwrap();
    Times::of(times)
}

/// Makes the planner believe that nothing is there, and keeps autovacuum from finding out.
async fn spoil_statistics(house: &House) {
    let texts = [
        "do $$ declare t regclass; begin foreach t in array TABLES loop
           execute format('alter table %s set (autovacuum_enabled = false)', t); end loop; end $$",
        "delete from pg_statistic where starelid = any (TABLES::oid[])",
        "update pg_class set reltuples = 1, relpages = 1000, relallvisible = 0 where oid = any (TABLES::oid[])",
    ];
    for text in texts {
        sqlx::query(sqlx::AssertSqlSafe(text.replace("TABLES", TABLES))).execute(&house.pool).await.unwrap();
    }
}

fn checkpoint(seq: i64, components: Vec<i32>) -> Checkpoint {
    let data = serde_json::json!({"step": "compute/await_configuration", "succeeded": components.len()});
    let count = components.len() as i32;
    Checkpoint {
        seq,
        events: vec![NewEvent { kind: EventKind::Results, actor: None, data }],
        results: vec![ResultBatch {
            step: StepNo(0),
            run: 1,
            kind: FactKind::Succeeded,
            attempts: 1,
            error: None,
            decision: None,
            sent_to: None,
            components: components.clone(),
        }],
        steps: vec![StepCounters { step: 0, succeeded: count, ..StepCounters::default() }],
        progress: vec![ProgressUpdate { change: ProgressChange::Succeeded, components }],
        ..Checkpoint::default()
    }
}

/// What `pg_test_fsync` says of the disk: how long the commit of one page takes with `fdatasync`, Postgres' own choice.
pub fn disk() -> String {
    let bin = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/postgres")).output().unwrap();
    let bin = String::from_utf8_lossy(&bin.stdout).trim().to_owned();
    let file = format!("/var/tmp/bosun-bench-fsync-{}", std::process::id());
    let output = Command::new(format!("{bin}/pg_test_fsync")).args(["-s", "1", "-f", &file]).output();
    let _ = std::fs::remove_file(&file);
    let Ok(output) = output else { return "pg_test_fsync is not installed".to_owned() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with("fdatasync"));
    line.unwrap_or("pg_test_fsync said nothing of fdatasync").split_whitespace().collect::<Vec<_>>().join(" ")
}
