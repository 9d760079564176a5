//! 100,000 components, with statistics that say there are none: plans must not turn into scans.

use std::time::Instant;

use sqlx::Connection as _;

use super::*;

use bosun::{
    db::checkpoint::Saved,
    model::checkpoint::{ProgressChange, ProgressUpdate},
};

const COMPONENTS: usize = 100_000;
const BATCH: usize = 1_000;

#[tokio::test]
async fn admission_and_checkpoints_do_not_scan() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let tables = [
        "component",
        "component_progress",
        "step_result_batch",
        "effect",
        "event",
        "session_component_batch",
    ];
    for table in tables {
        let text = format!("alter table {table} set (autovacuum_enabled = false)");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *conn).await.unwrap();
    }
    let members = components(&mut conn, COMPONENTS).await;
    sqlx::query("update pg_class set reltuples = 0, relpages = 1000 where relname = any ($1)")
        .bind(tables)
        .execute(&mut *conn)
        .await
        .unwrap();

    let begun = Instant::now();
    let session = admit(&db.pool, "large", &members).await;
    let admitted = begun.elapsed();
    let begun = Instant::now();
    let plan = db::plan::load(&mut conn, &session).await.unwrap();
    let loaded = begun.elapsed();
    assert_eq!(plan.members.len(), COMPONENTS);

    let mut writer = db::open(&db.url, "bosun test").await.unwrap();
    let lease = take(&mut writer, &session, "a").await;
    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let mut slowest = Duration::ZERO;
    // More than five: from then on Postgres may use a plan that knows nothing of the arrays.
    for (n, batch) in ids.chunks(BATCH).take(20).enumerate() {
        let no = i32::try_from(n).unwrap();
        let change = match n % 5 {
            0 => ProgressChange::PoweringOffGracefully,
            1 => ProgressChange::PoweringOn,
            2 => ProgressChange::Configuring,
            3 => ProgressChange::Failed { error: 1 },
            _ => ProgressChange::Succeeded,
        };
        let intent = Intent {
            effect: EffectNo(no),
            step: StepNo(1),
            verb: "power_off",
            rung_name: "Soft-Off",
            rung: 0,
            alive_for: TTL,
            components: batch.to_vec(),
        };
        let error = ErrorText { id: no, code: ReasonCode::BootTimeout, text: String::new() };
        let next = Checkpoint {
            results: vec![result(0, FactKind::Succeeded, batch)],
            errors: vec![error],
            steps: vec![StepCounters { step: 0, in_flight: no, ..Default::default() }],
            intents: vec![intent],
            progress: vec![ProgressUpdate { change, components: batch.to_vec() }],
            ..checkpoint(2 + i64::from(no))
        };
        let mut tx = writer.begin().await.unwrap();
        let before = scans(&mut tx).await;
        let begun = Instant::now();
        let saved = db::checkpoint::save(&mut tx, &lease, &next).await.unwrap();
        slowest = slowest.max(begun.elapsed());
        assert!(matches!(saved, Saved::Written { .. }));
        assert_eq!(scans(&mut tx).await, before, "checkpoint {n} ({change:?}) scanned a large table");
        tx.commit().await.unwrap();
    }
    let begun = Instant::now();
    assert_eq!(db::result::list(&mut conn, &session).await.unwrap().len(), 20);
    assert_eq!(db::component_progress::last_power(&mut conn, &ids).await.unwrap().len(), COMPONENTS);
    assert_eq!(db::component::reports(&mut conn, &ids).await.unwrap(), []);
    let resumed = begun.elapsed();
    println!("admission {admitted:?}, plan {loaded:?}, past {resumed:?}, slowest checkpoint {slowest:?}");
    assert!(admitted < Duration::from_secs(30), "admission took {admitted:?}");
    assert!(loaded + resumed < Duration::from_secs(10), "loading took {loaded:?} and {resumed:?}");
    assert!(slowest < Duration::from_secs(1), "a checkpoint took {slowest:?}");
}

/// Sequential scans of large tables so far, by this connection's unreported and present transactions.
async fn scans(conn: &mut Connection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select relname::text, seq_scan from pg_stat_xact_user_tables
          where relname in ('component', 'component_progress', 'step_result_batch', 'effect', 'event') order by relname",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}
