//! Three sessions of 100,000 components and two hundred small ones: what operators and servers ask must not scan a large
//! table, whatever the statistics say.

use super::*;

use bosun::db::claim::ClaimFilter;

/// The large tables, and those that tell which rows are wanted.
const LARGE: [&str; 5] = ["component", "component_progress", "step_result_batch", "effect", "event"];

/// Three large sessions (two are over, one is at work) and two hundred small ones, in arrays as the engine writes them.
const ROWS: &[&str] = &[
    "insert into component (xname) select 'x' || 1000 + n / 512 || 'c' || n / 64 % 8 || 's' || n / 2 % 32 || 'b0n' || n % 2
       from generate_series(0, 99999) n",
    "insert into component_progress (component_id, session_id, claimed_by) select component_id, 3, 3 from component",
    "insert into session (name, operation, template_name, api, state, outcome, members, admitted_at, started_at, ended_at,
                          timed_at)
     select case when n <= 3 then 'large-' || n else 'small-' || n end, 'reboot', 'all', 'bosun',
            case when n = 3 then 'running' else 'ended' end, case when n <> 3 then 'succeeded' end,
            case when n <= 3 then 100000 else 8 end, now() - interval '1 h', now() - interval '1 h',
            case when n <> 3 then now() end, case when n <> 3 then now() end
       from generate_series(1, 203) n",
    "insert into session_lease (session_id) select session_id from session",
    "insert into slice (session_id, slice_no, boot_set) select session_id, 0, 'compute' from session",
    "insert into session_component_batch (session_id, batch_no, slice_no, lowest, highest, component_ids)
     select s.session_id, b, 0, b * 1000 + 1, b * 1000 + 1000, array(select generate_series(b * 1000 + 1, b * 1000 + 1000))
       from session s cross join generate_series(0, 99) b where s.session_id <= 3
     union all
     select s.session_id, 0, 0, s.session_id * 400, s.session_id * 400 + 7,
            array(select generate_series(s.session_id * 400, s.session_id * 400 + 7)::int4)
       from session s where s.session_id > 3",
    "insert into step (session_id, step_no, name, slice_no, verb, verb_version, definition, succeeded, in_flight, started_at)
     select s.session_id, v.n, 'compute/' || v.verb, 0, v.verb, 1, '{}', s.members, case when v.n = 4 then 1 else 0 end,
            now() - interval '1 h'
       from session s cross join (values (0, 'inspect'), (1, 'power_off'), (2, 'set_boot_parameters'), (3, 'power_on'),
                                         (4, 'await_boot'), (5, 'await_configuration')) v(n, verb)",
    "insert into step_edge (session_id, from_no, to_no, kind)
     select session_id, n, n + 1, 'per_component' from session cross join generate_series(0, 4) n",
    "insert into error_text (session_id, error_no, code, text) select session_id, 1, 'boot_timeout', '' from session",
    "insert into step_result_batch (session_id, seq, part, at, step_no, run, kind, attempts, error_no, component_ids)
     select b.session_id, 10 + v * 100 + b.batch_no, 0, now() - interval '40 min', v, 1,
            case when v = 5 and b.batch_no = 7 then 'failed' else 'succeeded' end, 1, case when v = 5 and b.batch_no = 7 then 1 end,
            b.component_ids
       from session_component_batch b cross join generate_series(0, 5) v where b.session_id <> 3 or v < 4",
    "insert into event (session_id, seq, at, epoch, kind)
     select s.session_id, n, now(), 1, 'results' from session s
      cross join lateral generate_series(1, case when s.session_id <= 3 then 5000 else 20 end) n",
    "insert into effect (session_id, effect_no, seq, step_no, rung, rung_name, verb, component_ids, state, epoch, intended_at, dead_at)
     select b.session_id, v * 100 + b.batch_no, v, v, 0, 'On', 'power_on', b.component_ids, 'settled', 1, now() - interval '50 min',
            now()
       from session_component_batch b cross join (values (1), (3)) w(v)",
    "insert into verb_time (session_id, verb, bucket, components)
     select s.session_id, v, 100, s.members from session s cross join unnest('{power_on,power_off,await_boot}'::text[]) v
      where s.session_id <> 3",
];

/// What people ask.
const QUESTIONS: [&str; 15] = [
    "select * from session_progress order by created_at desc limit 100",
    "select * from step_progress where session = 'large-1' order by step_no",
    "select * from step_result where session = 'large-1' limit 1000",
    "select * from step_history where session = 'small-40' and xname = 'x1031c2s0b0n0'",
    "select * from failed_components where session = 'small-40'",
    "select * from component_history where xname = 'x1031c2s0b0n0' order by session_id desc, seq desc limit 100",
    "select * from effects where session = 'large-2' order by effect_no limit 1000",
    "select * from timeline where session = 'large-2' order by seq limit 1000",
    "select * from stuck_sessions",
    "select * from wave_progress where session = 'large-3'",
    "select * from wave_progress where session = 'small-40'",
    "select * from overdue_components where session = 'large-3' limit 1000",
    "select * from verb_times",
    "select * from freezes",
    "select * from quarantined_components",
];

#[tokio::test]
async fn no_question_scans_a_large_table() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    for table in LARGE.iter().chain(&["session", "session_component_batch", "step", "verb_time"]) {
        let text = format!("alter table {table} set (autovacuum_enabled = false)");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *conn).await.unwrap();
    }
    for rows in ROWS {
        sqlx::query(*rows).execute(&mut *conn).await.unwrap_or_else(|error| panic!("{error}: {rows}"));
    }
    // Never analysed, then analysed, then as if the tables had been empty when they were.
    for statistics in [
        "select 1",
        "analyze",
        "update pg_class set reltuples = 0, relpages = 1 where relname in ('component', 'component_progress',
           'step_result_batch', 'effect', 'event')",
    ] {
        sqlx::query(statistics).execute(&mut *conn).await.unwrap();
        for question in QUESTIONS {
            let scanned = scanned(&mut conn, async |conn| {
                let begun = std::time::Instant::now();
                let rows = sqlx::query(question).fetch_all(conn).await;
                let rows = rows.unwrap_or_else(|error| panic!("after '{statistics}': {error}: {question}"));
                println!("{:>5} ms, {} rows: {question}", begun.elapsed().as_millis(), rows.len());
            });
            assert_eq!(scanned.await, Vec::<String>::new(), "after '{statistics}': {question}");
        }
        // More often than Postgres plans anew for what it is given.
        for round in 0..7 {
            let session = if round % 2 == 0 { "large-1" } else { "large-3" };
            let scanned = scanned(&mut conn, async |conn| {
                let filter = ClaimFilter { session: Some(session), limit: 1_000, ..ClaimFilter::default() };
                let held = db::claim::page(conn, filter).await.unwrap().len();
                assert_eq!(held, if round % 2 == 0 { 0 } else { 1_000 });
                let filter = ClaimFilter { limit: 1_000, ..ClaimFilter::default() };
                assert_eq!(db::claim::page(conn, filter).await.unwrap().len(), 1_000);
                let stuck = db::session::stuck(conn, None).await.unwrap();
                assert_eq!(stuck.len(), 1, "who waits for boot waits too long: {stuck:?}");
                let lines = db::component::component_history(conn, None, "x1031c2s0b0n0", 10).await.unwrap();
                assert!(lines.len() >= 16, "{lines:?}");
            })
            .await;
            assert_eq!(scanned, Vec::<String>::new(), "after '{statistics}', {session}");
        }
    }
}

/// Which large tables something scans. It has the time that readers have.
async fn scanned(conn: &mut Connection, ask: impl AsyncFnOnce(&mut Connection)) -> Vec<String> {
    let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
    sqlx::query("set local statement_timeout = '30 s'").execute(&mut *tx).await.unwrap();
    let before = scans(&mut tx).await;
    ask(&mut tx).await;
    let after = scans(&mut tx).await;
    tx.rollback().await.unwrap();
    let more = after.into_iter().zip(before).filter(|(after, before)| after.1 > before.1);
    more.map(|(after, _)| after.0).collect()
}

async fn scans(conn: &mut Connection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select relname::text, seq_scan from pg_stat_xact_user_tables where relname = any ($1) order by relname",
    )
    .bind(LARGE.as_slice())
    .fetch_all(conn)
    .await
    .unwrap()
}
