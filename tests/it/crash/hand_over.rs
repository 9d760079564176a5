//! Two sessions, two workers, and a claim that goes from one to the other: either worker dies before and after every call to
//! its store. Each component has one holder all the time, and what was begun with it comes to its end first.

use std::time::Duration;

use bosun::{
    db,
    model::session::{OnConflict, Outcome, SessionId},
    sim,
};
use chrono::Utc;

use super::{NODES, RUN_MAX, assert_most_were_hit, outlive, proxy, through};
use crate::support::{
    app::{App, Wish},
    eventually, invariants,
    lane::{self, Verdict},
    proxy::{Cut, Proxy},
};

/// Whom the newer session takes; the older one keeps the others.
const TAKEN: usize = NODES - 10;

/// Calls beyond those of the dry run that are tried as well.
const SPREAD: u64 = 2;
/// Of the taker's calls every so many: most are those of any session.
const STRIDE: usize = 3;

/// Whose worker dies.
#[derive(Debug, Clone, Copy)]
enum Dies {
    /// The older session's, at a call to its store counted from the moment it was asked.
    Giver(Cut),
    /// The newer one's, at a call counted from its beginning.
    Taker(Cut),
    Nobody,
}

/// What was counted in a run.
struct Calls {
    giver: u64,
    taker: u64,
}

fn machine() -> sim::Settings {
    // Off takes long enough for the other session to come in the middle of it.
    sim::Settings { soft_off: Duration::from_millis(300), ..lane::settings(NODES) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_giver_may_die_at_every_write_of_a_hand_over() {
    let calls = dry_run().await.giver;
    assert!(calls > 5, "the proxy saw only {calls} calls of the giver");
    let points = (1..=calls + SPREAD).flat_map(|n| [Cut::Before(n), Cut::After(n)]).map(Dies::Giver);
    let unhit = lane::run_all(&machine(), points, survive).await;
    assert_most_were_hit(2 * (calls + SPREAD) as usize, &unhit);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_taker_may_die_at_every_write_of_a_hand_over() {
    let calls = dry_run().await.taker;
    assert!(calls > 10, "the proxy saw only {calls} calls of the taker");
    let points = (1..=calls).step_by(STRIDE).flat_map(|n| [Cut::Before(n), Cut::After(n)]);
    let count = points.clone().count();
    let unhit = lane::run_all(&machine(), points.map(Dies::Taker), survive).await;
    assert_most_were_hit(count, &unhit);
}

async fn dry_run() -> Calls {
    let app = lane::app(&machine()).await;
    let (verdict, calls) = run(&app, Dies::Nobody, "dry-run").await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    calls
}

async fn survive(app: &App, dies: Dies, name: &str) -> Verdict {
    run(app, dies, name).await.0
}

async fn run(app: &App, dies: Dies, name: &str) -> (Verdict, Calls) {
    let since = Utc::now();
    log_claims(app).await;
    let old = app.admit("reboot", &format!("{name}-old")).await;
    let giver = proxy(app, old, None);
    let old_worker = app.spawn_worker(through(app, &giver), old);
    eventually("an Off under way", RUN_MAX, async || is_going_off(app, old).await.then_some(())).await;
    let before = giver.calls();
    if let Dies::Giver(cut) = dies {
        giver.cut_from_now(cut);
    }
    let wish = Wish { on_conflict: OnConflict::Preempt, nodes: Some(TAKEN), ..Wish::default() };
    let new = app.admit_as("reboot", &format!("{name}-new"), &wish).await;
    let taker: Proxy = proxy(app, new, if let Dies::Taker(cut) = dies { Some(cut) } else { None });
    let new_worker = app.spawn_worker(through(app, &taker), new);
    let (gave, took) =
        tokio::join!(outlive(app, old, &giver, old_worker), outlive(app, new, &taker, new_worker));
    let mut violations = [gave.violations, took.violations].concat();
    violations.extend(invariants::violations_of(app, &[old, new], since).await);
    violations.extend(judge(app, old, new, since).await);
    let calls = Calls { giver: giver.calls() - before, taker: taker.calls() };
    (Verdict { hit: gave.hit || took.hit, violations }, calls)
}

async fn is_going_off(app: &App, session: SessionId) -> bool {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let accepted = "select exists (select from effect where session_id = $1 and verb = 'power_off' and state <> 'intended')";
    sqlx::query_scalar(accepted).bind(session.0).fetch_one(&mut *connection).await.unwrap()
}

/// From now on the database itself keeps who held what.
async fn log_claims(app: &App) {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    for statement in [
        "create table if not exists claim_log (component_id int4, before int8, after int8)",
        "truncate claim_log",
        "create or replace function log_claim() returns trigger language plpgsql as $$
         begin insert into claim_log values (new.component_id, old.claimed_by, new.claimed_by); return null; end $$",
        "create or replace trigger log_claim after update of claimed_by on component_progress for each row
         when (old.claimed_by is distinct from new.claimed_by) execute function log_claim()",
    ] {
        sqlx::query(statement).execute(&mut *connection).await.unwrap();
    }
}

async fn judge(app: &App, old: SessionId, new: SessionId, since: chrono::DateTime<Utc>) -> Vec<String> {
    let mut violations = Vec::new();
    let (all, taken) = (NODES as i64, TAKEN as i64);
    for (session, members) in [(old, all), (new, taken)] {
        let row = app.session(session).await;
        let ended = i64::from(row.succeeded + row.skipped);
        if row.outcome != Some(Outcome::Succeeded) || row.failed > 0 || ended != members {
            violations.push(format!("{} is {:?}, {:?}, {ended}", row.new.name, row.state, row.outcome));
        }
    }
    if app.session(new).await.skipped > 0 {
        violations.push("the newer session left somebody out".to_owned());
    }
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let moves: Vec<(i64, Option<i64>, Option<i64>)> = sqlx::query_as(
        "select count(*), before, after from claim_log group by before, after order by before nulls first, after",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let (o, n) = (Some(old.0), Some(new.0));
    let count =
        |before, after| moves.iter().find(|row| (row.1, row.2) == (before, after)).map_or(0, |row| row.0);
    // On a slow host the older session may be through with some, or all, before it is asked. What it is asked for goes to
    // the newer one without a moment between.
    let given = count(o, n);
    let expected =
        [(None, o, all), (o, None, all - given), (None, n, taken - given), (n, None, taken), (n, o, 0)];
    for (before, after, expected) in expected {
        if count(before, after) != expected {
            violations.push(format!("claims went {moves:?}: {before:?} to {after:?} is not {expected}"));
        }
    }
    for (xname, edges) in invariants::edges(app, since) {
        // What was up again before the new session was admitted is cycled by that one as well.
        if edges != ["off", "on"] && edges != ["off", "on", "off", "on"] {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    violations
}
