//! Sessions that go on because of somebody's word, or of the clock: a worker dies before or after calls to its store,
//! wherever the session stands. Approved between waves, resumed after too many failures, restarted at a step, sent back by
//! themselves, frozen and freed, overtaken by the end of their window: they come to the same end as if nobody had died.

use std::time::Duration;

use bosun::{
    db::{self, freeze::NewFreeze},
    engine::Exit,
    model::{
        command::{CommandKind, CommandRequest},
        gate::{Gates, Rollout, Share},
        options::Options,
        session::{Outcome, SessionId, SessionState},
    },
    plan::workflow::EMBEDDED,
    sim,
};
use chrono::{DateTime, Utc};

use super::{
    RUN_MAX, assert_most_were_hit,
    command::{change, give},
    outlive, proxy, through,
};
use crate::support::{
    app::{App, Wish},
    eventually, invariants,
    lane::{self, Verdict},
    proxy::{Cut, Proxy},
};

/// Few nodes: what matters here are the gates, and there are many runs.
const NODES: usize = 12;
/// Of the calls to the store every so many, in turn before and after.
const STRIDE: usize = 7;
/// How long a window is open.
const WINDOW: Duration = Duration::from_millis(2_500);

/// What the session goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each of two waves is approved by hand.
    Approved,
    /// One fails in the first wave, which halts it; it is resumed.
    Resumed,
    /// One does not go off; it is mended, and the step restarted.
    Restarted,
    /// Some hang in their first boot.
    SentBack,
    /// Half of them are frozen until the others are through.
    Frozen,
    /// Its time is up before all have had their turn.
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    way: Way,
    cut: Option<Cut>,
}

fn machine() -> sim::Settings {
    lane::settings(NODES)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_around_an_approval() {
    survive_all(Way::Approved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_before_and_after_a_halt() {
    survive_all(Way::Resumed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_around_the_restart_of_a_step() {
    survive_all(Way::Restarted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_while_components_are_sent_back() {
    survive_all(Way::SentBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_around_a_freeze() {
    survive_all(Way::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_write_around_the_end_of_a_window() {
    survive_all(Way::Closed).await;
}

async fn survive_all(way: Way) {
    let app = lane::app(&machine()).await;
    let (verdict, calls) = run(&app, Point { way, cut: None }, "dry-run").await;
    assert!(verdict.violations.is_empty(), "undisturbed: {}", verdict.violations.join("\n"));
    assert!(calls > 10, "the proxy saw only {calls} calls");
    let cuts = (1..=calls).step_by(STRIDE).enumerate();
    let cuts = cuts.map(|(turn, n)| if turn % 2 == 0 { Cut::Before(n) } else { Cut::After(n) });
    let points: Vec<Point> = cuts.map(|cut| Point { way, cut: Some(cut) }).collect();
    let count = points.len();
    let survive = async |app: &App, point, name: &str| run(app, point, name).await.0;
    let unhit = lane::run_all(&machine(), points, survive).await;
    assert_most_were_hit(count, &unhit);
}

impl Way {
    fn wish(self) -> Wish {
        let gates = match self {
            Self::Approved => Gates { approve_between_waves: true, ..Gates::default() },
            Self::Resumed => Gates { halt_on_failures: Some(Share::Count(1)), ..Gates::default() },
            Self::Closed => Gates {
                max_unavailable: Some(Share::Count(3)),
                not_after: Some(Utc::now() + WINDOW),
                ..Gates::default()
            },
            Self::Restarted | Self::SentBack | Self::Frozen => Gates::default(),
        };
        let waves = matches!(self, Self::Approved | Self::Resumed).then(|| "50%".parse().unwrap());
        let waits = match self {
            // PCS' minutes are short here: what does not go off is given up after a second.
            Self::Restarted => {
                Some(("    verb: power_off\n", "    soft_off_within: 120s\n    force_off_within: 120s\n"))
            }
            Self::SentBack => Some(("    verb: await_boot\n", "    timeout: 4s\n")),
            _ => None,
        };
        let text = EMBEDDED.iter().find(|(operation, _)| *operation == "reboot").map(|(_, text)| *text);
        let workflow =
            waits.zip(text).map(|((verb, waits), text)| text.replace(verb, &format!("{verb}{waits}")));
        let default_retry_policy = if self == Self::Restarted { 1 } else { 3 };
        Wish {
            rollout: Rollout { waves, gates, ..Rollout::default() },
            options: Options { default_retry_policy, ..Options::default() },
            workflow,
            ..Wish::default()
        }
    }

    /// What is wrong with which nodes at the beginning.
    fn faults(self) -> (&'static str, usize) {
        match self {
            Self::Resumed => ("fail_configuration", 1),
            Self::Restarted => ("fail_power_off", 1),
            Self::SentBack => ("hangs_once", 2),
            Self::Approved | Self::Frozen | Self::Closed => ("", 0),
        }
    }
}

async fn run(app: &App, Point { way, cut }: Point, name: &str) -> (Verdict, u64) {
    let since = Utc::now();
    let (fault, count) = way.faults();
    let broken: Vec<String> = app.machine.xnames().into_iter().take(count).collect();
    for xname in &broken {
        change(app, xname, serde_json::json!({"faults": [fault]})).await;
    }
    let session = app.admit_as("reboot", name, &way.wish()).await;
    let proxy = proxy(app, session, cut);
    let mut verdict = Verdict::default();
    if way == Way::Frozen {
        let freeze = freeze(app, session).await;
        let (outlived, ()) = tokio::join!(lead(app, session, &proxy), free(app, session, freeze));
        add(&mut verdict, outlived);
    } else {
        add(&mut verdict, lead(app, session, &proxy).await);
    }
    match way {
        Way::Approved => speak(app, session, CommandKind::Approve).await,
        Way::Resumed => speak(app, session, CommandKind::Resume).await,
        Way::Restarted => restart(app, session, &broken).await,
        Way::SentBack | Way::Frozen | Way::Closed => {}
    }
    if matches!(way, Way::Approved | Way::Resumed | Way::Restarted) {
        let rest = if verdict.hit { follow(app, session).await } else { lead(app, session, &proxy).await };
        add(&mut verdict, rest);
    }
    verdict.violations.extend(invariants::violations(app, session, since).await);
    verdict.violations.extend(judge(app, session, way, &broken, since).await);
    for xname in &broken {
        change(app, xname, serde_json::json!({"faults": []})).await;
    }
    (verdict, proxy.calls())
}

fn add(verdict: &mut Verdict, more: Verdict) {
    verdict.hit |= more.hit;
    verdict.violations.extend(more.violations);
}

/// A worker that may be struck, until the session ends or waits for somebody.
async fn lead(app: &App, session: SessionId, proxy: &Proxy) -> Verdict {
    outlive(app, session, proxy, app.spawn_worker(through(app, proxy), session)).await
}

/// One that is not struck any more.
async fn follow(app: &App, session: SessionId) -> Verdict {
    let violations = match tokio::time::timeout(RUN_MAX, app.drive(session, "third")).await {
        Ok(Ok(Exit::Done)) => Vec::new(),
        other => vec![format!("the third worker ended as {other:?}")],
    };
    Verdict { hit: false, violations }
}

/// An operator's word to a session that has halted.
async fn speak(app: &App, session: SessionId, kind: CommandKind) {
    assert_eq!(app.session(session).await.state, SessionState::Halted, "before {kind:?}");
    give(app, session, CommandRequest::plain(kind)).await;
}

/// The step in which these failed starts again with them, now that they are mended.
async fn restart(app: &App, session: SessionId, broken: &[String]) {
    for xname in broken {
        change(app, xname, serde_json::json!({"faults": []})).await;
    }
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let failed = db::result::failed(&mut connection, &session).await.unwrap();
    drop(connection);
    let components: Vec<i32> = failed.into_iter().map(|failed| failed.component).collect();
    assert_eq!(components.len(), broken.len());
    let request = CommandRequest {
        step: Some("compute/power_off".to_owned()),
        components: components.clone(),
        ..CommandRequest::plain(CommandKind::Restart)
    };
    let (pool, actor) = (&app.database.pool, "somebody".to_owned());
    db::admission::readmit_failed(pool, session, components, request, actor, None).await.unwrap();
}

/// Freezes half of the machine; whom, and the freeze's number.
async fn freeze(app: &App, session: SessionId) -> i64 {
    let mut components: Vec<i32> = sqlx::query_scalar(
        "select u.id from session_component_batch b cross join lateral unnest(b.component_ids) u(id)
          where b.session_id = $1 order by 1",
    )
    .bind(session.0)
    .fetch_all(&app.database.pool)
    .await
    .unwrap();
    components.drain(..NODES / 2);
    let new = NewFreeze {
        reason: "pump".to_owned(),
        actor: "somebody".to_owned(),
        scope: Some(("half".to_owned(), components)),
        exempt: (String::new(), Vec::new()),
        except_actors: Vec::new(),
        until: None,
    };
    db::freeze::insert(&app.database.pool, new).await.unwrap()
}

/// Lifts the freeze when the others are through.
async fn free(app: &App, session: SessionId, freeze: i64) {
    let through = async || {
        let ended = "select count(*) from component_progress where session_id = $1 and claimed_by is null";
        let ended: i64 =
            sqlx::query_scalar(ended).bind(session.0).fetch_one(&app.database.pool).await.unwrap();
        (ended as usize >= NODES / 2).then_some(())
    };
    eventually("half of them are through", RUN_MAX, through).await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    db::freeze::lift(&mut connection, Some(freeze), "somebody").await.unwrap();
}

/// What does not hold at its end.
async fn judge(
    app: &App,
    session: SessionId,
    way: Way,
    broken: &[String],
    since: DateTime<Utc>,
) -> Vec<String> {
    let mut violations = Vec::new();
    let all = NODES as i32;
    let row = app.session(session).await;
    let counts = (row.succeeded, row.failed, row.skipped);
    let well = match way {
        Way::Resumed => row.outcome == Some(Outcome::Partial) && counts == (all - 1, 1, 0),
        // On a slow host nobody may have had a turn; on a fast one everybody.
        Way::Closed => counts.1 == 0 && counts.0 + counts.2 == all,
        _ => row.outcome == Some(Outcome::Succeeded) && counts == (all, 0, 0),
    };
    if !well {
        violations.push(format!("it is {:?}, {:?}, {counts:?}", row.state, row.outcome));
    }
    let edges = invariants::edges(app, since);
    let cycled = edges.values().filter(|edges| !edges.is_empty()).count();
    for (xname, edges) in edges.into_iter().filter(|(_, edges)| way != Way::Closed || !edges.is_empty()) {
        let again = way == Way::SentBack && broken.contains(&xname);
        // One that was slow to boot is sent back as well: what matters is that nobody is left dark.
        let cycles = if way == Way::SentBack { (edges.len() / 2).max(1 + usize::from(again)) } else { 1 };
        if edges != ["off", "on"].repeat(cycles) {
            violations.push(format!("the power of {xname} went {edges:?}"));
        }
    }
    let untouched = if way == Way::Closed { counts.2 as usize } else { 0 };
    if cycled + untouched != NODES {
        violations.push(format!("{cycled} were power-cycled, and {untouched} left as they were"));
    }
    for question in questions(way) {
        let answers = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(question)).bind(session.0);
        violations.extend(answers.fetch_all(&app.database.pool).await.unwrap());
    }
    violations
}

/// Questions whose every answer is a violation.
fn questions(way: Way) -> Vec<String> {
    let first = "
      with first as (
        select u.c, l.wave, min(f.intended_at) as at
          from effect f cross join lateral unnest(f.component_ids) u (c)
          join session_component_batch b on b.session_id = f.session_id and u.c = any (b.component_ids)
          join slice l on l.session_id = b.session_id and l.slice_no = b.slice_no
         where f.session_id = $1 and f.verb = 'power_off' and f.state <> 'not_taken' group by u.c, l.wave)";
    let commands = "select format('%s was not obeyed', data->>'kind') from command
                     where session_id = $1 and obeyed_at is null"
        .to_owned();
    let spoken = |accepts: bool| {
        format!(
            "{first} select format('%s of the second wave went off before anybody had spoken', first.c) from first
              where first.wave = 1 and not exists (
                select from event e where e.session_id = $1 and e.kind = 'approved' and e.at <= first.at
                   and (e.data->>'accepts_failures')::bool = {accepts}) limit 3"
        )
    };
    let once = "select format('%s lines tell of one word', count(*)) from event
                 where session_id = $1 and kind = 'approved' having count(*) <> 1"
        .to_owned();
    match way {
        Way::Approved => vec![commands, spoken(false), once],
        Way::Resumed => vec![commands, spoken(true), once],
        Way::Closed => vec![format!(
            "{first} select format('%s went off %s after the window had closed', first.c, first.at - not_after)
               from first, (select (gates->>'not_after')::timestamptz as not_after from session where session_id = $1) s
              where first.at > not_after limit 3"
        )],
        Way::Frozen => vec![format!(
            "{first} select format('%s went off while it was frozen', first.c) from first, machine_freeze m
              where first.c = any (m.component_ids) and first.at between m.created_at and m.lifted_at limit 3"
        )],
        Way::Restarted | Way::SentBack => vec![commands],
    }
}
