//! Sessions in waves, with barriers between boot sets or a limit of how many may be inside: a worker dies before and after
//! every call to its store, and the gates hold for the next one as they did for it.

use bosun::model::{
    gate::{Gates, Rollout, Share},
    session::SessionId,
};
use chrono::Utc;

use super::{NODES, SPREAD, assert_most_were_hit, judge, outlive, proxy, through};
use crate::support::{
    app::{App, Wish},
    lane::{self, Verdict},
    proxy::Cut,
};

/// Most of a session's calls are those of any other: every so many of them.
const STRIDE: usize = 3;
/// How many may be inside at once, where that is limited.
const MOST: u32 = 12;

fn in_waves() -> Wish {
    let waves = Some("2,40%,rest".parse().unwrap());
    Wish { rollout: Rollout { waves, ..Rollout::default() }, ordered: true, ..Wish::default() }
}

fn a_few_at_a_time() -> Wish {
    let gates = Gates { max_unavailable: Some(Share::Count(MOST)), ..Gates::default() };
    let waves = Some("50%".parse().unwrap());
    Wish { rollout: Rollout { waves, gates, ..Rollout::default() }, ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_waves_with_barriers_may_die_at_every_write() {
    every_write(in_waves).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_a_few_at_a_time_may_die_at_every_write() {
    every_write(a_few_at_a_time).await;
}

async fn every_write(wish: fn() -> Wish) {
    let machine = lane::settings(NODES);
    let app = lane::app(&machine).await;
    let (verdict, calls) = run(&app, None, "dry-run", &wish()).await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    let points = (1..=calls + SPREAD).step_by(STRIDE).flat_map(|n| [Cut::Before(n), Cut::After(n)]);
    let count = points.clone().count();
    let survive = async |app: &App, cut: Cut, name: &str| run(app, Some(cut), name, &wish()).await.0;
    let unhit = lane::run_all(&machine, points, survive).await;
    assert_most_were_hit(count, &unhit);
}

async fn run(app: &App, cut: Option<Cut>, name: &str, wish: &Wish) -> (Verdict, u64) {
    let since = Utc::now();
    let session = app.admit_as("reboot", name, wish).await;
    let proxy = proxy(app, session, cut);
    let worker = app.spawn_worker(through(app, &proxy), session);
    let mut verdict = outlive(app, session, &proxy, worker).await;
    verdict.violations.extend(judge(app, session, since).await);
    verdict.violations.extend(gates(app, session).await);
    (verdict, proxy.calls())
}

/// Where components passed that had to wait.
async fn gates(app: &App, session: SessionId) -> Vec<String> {
    let span = "
      with span as (
        select u.c, l.wave, min(f.intended_at) as from_at,
               (select max(r.at) from step_result_batch r
                 where r.session_id = f.session_id and u.c = any (r.component_ids)) as to_at
          from effect f cross join lateral unnest(f.component_ids) u (c)
          join session_component_batch b on b.session_id = f.session_id and u.c = any (b.component_ids)
          join slice l on l.session_id = b.session_id and l.slice_no = b.slice_no
         where f.session_id = $1 and f.verb in ('power_off', 'power_on') and f.state <> 'not_taken'
         group by u.c, l.wave, f.session_id)";
    let early = format!(
        "{span} select format('%s of wave %s passed before %s of wave %s had ended', s.c, s.wave, e.c, e.wave)
           from span s join span e on e.wave < s.wave and e.to_at > s.from_at limit 5"
    );
    let crowd = format!(
        "{span} select format('%s were inside at %s', n, from_at) from (
           select s.from_at, (select count(*) from span o where o.from_at <= s.from_at and o.to_at > s.from_at) as n
             from span s) c
          where n > (select (gates->>'max_unavailable')::int4 from session where session_id = $1) limit 5"
    );
    let mut found = Vec::new();
    for question in [early, crowd] {
        let answers = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(question)).bind(session.0);
        found.extend(answers.fetch_all(&app.database.pool).await.unwrap());
    }
    found
}
