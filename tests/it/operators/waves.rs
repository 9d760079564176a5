//! Waves, gates and pacing, from the command line to the simulated machine.

use serde_json::Value;

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

/// Creates a session of the template `demo` and comes back.
async fn create(dev: &Dev, name: &str, operation: &str, more: &[&str]) {
    let line = ["session", "create", "--template", "demo", "--operation", operation, "--name", name];
    dev.bosun(&[&line[..], more].concat()).await.expect(0);
}

/// Waits until the session is in this state; as it is then.
async fn in_state(dev: &Dev, name: &str, state: &str) -> Value {
    let look = || async {
        let session = dev.show(name).await;
        (session["state"] == state).then_some(session)
    };
    until(&format!("{name} is {state}"), look).await
}

/// Who was ordered off so far, in natural order.
async fn begun(dev: &Dev) -> Vec<String> {
    let orders = dev.machine.orders().await;
    let mut off: Vec<bosun::model::xname::Xname> = orders
        .iter()
        .filter(|order| order.action == "off")
        .map(|order| order.xname.parse().unwrap())
        .collect();
    off.sort_unstable();
    off.dedup();
    off.iter().map(ToString::to_string).collect()
}

fn wave(session: &Value, number: usize) -> &Value {
    &session["waves"][number - 1]
}

/// A rolling upgrade with a canary: a bad wave halts it before the rest is touched; who looks at it lets it go on, and then
/// stops it. Nobody who was not begun with is disturbed, and nobody stays dark.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_reboot_halts_at_a_bad_wave_and_is_cancelled_in_the_next() {
    let bad = ["x1000c0s0b0n1", "x1000c0s0b1n0"];
    let dev = Dev::start(&["--nodes=40", "--fail-power-off=x1000c0s0b0n1,x1000c0s0b1n0"], &[]).await;
    let rolling = ["--waves", "1,9,rest", "--max-unavailable", "6", "--halt-on-failures", "20%"];
    let plan =
        dev.bosun(&[&["plan", "--template", "demo", "--operation", "reboot"], &rolling[..]].concat()).await;
    let plan = plan.expect(0);
    for said in
        ["3 waves", "at most 6 are inside", "halts when 20% of a wave have failed", "wave 3, compute: 30"]
    {
        assert!(plan.out.contains(said), "{said} in {}", plan.out);
    }
    create(&dev, "rolling", "reboot", &rolling).await;
    let halted = in_state(&dev, "rolling", "halted").await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.starts_with("2 of 9 of wave 2 failed, and 20% are too many to go on"), "{reason}");
    assert!(reason.contains("'bosun session resume rolling' goes on without them"), "{reason}");
    // What is inside is finished; the third wave is not touched, and the claims are kept.
    until("nothing is on the way", || async {
        let session = dev.show("rolling").await;
        (count(wave(&session, 2), "inside") == 0).then_some(())
    })
    .await;
    let session = dev.show("rolling").await;
    assert_eq!(count(wave(&session, 3), "waiting"), 30, "{session:#}");
    let gate = wave(&session, 3)["gate"].as_str().unwrap();
    assert!(["waits for wave 2", "closed: the session is halted"].contains(&gate), "{gate}");
    assert_eq!(begun(&dev).await.len(), 10 - count(wave(&session, 2), "waiting") as usize);
    let shown = dev.bosun(&["session", "show", "rolling"]).await.expect(0);
    assert!(shown.out.contains("WAVE") && shown.out.contains(gate), "{}", shown.out);
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert!(held >= 30, "{held}");
    dev.bosun(&["session", "wait", "rolling"]).await.expect(7);

    // An operator has looked, and goes on without the two; then it is stopped in the third wave.
    dev.bosun(&["session", "resume", "rolling", "--reason", "two bad nodes"]).await.expect(0);
    let begun_with = |step: &Value| step["attempts"].as_i64() > Some(0);
    dev.step("rolling", "wave3/compute/power_off", begun_with).await;
    dev.bosun(&["session", "cancel", "rolling"]).await.expect(0);
    let cancelled = in_state(&dev, "rolling", "ended").await;
    assert_eq!(cancelled["outcome"], "cancelled");
    assert_eq!(ended(&cancelled).1, 2);
    let begun = begun(&dev).await;
    assert!(begun.len() < 40, "{begun:?}");
    until("no node is left off", || async {
        let nodes = dev.machine.nodes().await;
        nodes
            .iter()
            .all(|node| node["powered"] == true || bad.contains(&node["xname"].as_str().unwrap()))
            .then_some(())
    })
    .await;
    // Never more inside than there may be, as the history tells it.
    let most = dev.most_inside("rolling").await;
    assert!(most <= 6, "{most} were inside at once");
    let approvals: Vec<(String, bool, Option<String>)> =
        sqlx::query_as("select actor, accepts_failures, reason from approvals where session = 'rolling'")
            .fetch_all(&dev.pool)
            .await
            .unwrap();
    assert_eq!(approvals.len(), 1);
    assert_eq!((approvals[0].1, approvals[0].2.as_deref()), (true, Some("two bad nodes")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wave_waits_for_an_approval() {
    let dev = Dev::start(&["--nodes=8"], &[]).await;
    let no = ["session", "create", "--template", "demo", "--operation", "reboot", "--approve-between-waves"];
    assert!(dev.bosun(&no).await.expect(2).err.contains("--waves"));
    create(&dev, "night", "shutdown", &["--waves=2,3,rest", "--approve-between-waves"]).await;
    let halted = in_state(&dev, "night", "halted").await;
    let reason = halted["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("wave 2 of 3 waits for approval: 'bosun session approve night'"), "{reason}");
    assert_eq!(begun(&dev).await.len(), 2);
    // To resume is not to approve.
    dev.bosun(&["session", "resume", "night"]).await.expect(0);
    dev.bosun(&["session", "approve", "night", "--reason", "looks good"]).await.expect(0);
    until("the third wave waits", || async {
        let session = dev.show("night").await;
        session["reason"].as_str().is_some_and(|reason| reason.contains("wave 3 of 3")).then_some(())
    })
    .await;
    assert_eq!(begun(&dev).await.len(), 5);
    dev.bosun(&["session", "approve", "night"]).await.expect(0);
    let done = in_state(&dev, "night", "ended").await;
    assert_eq!(ended(&done), (8, 0, 0));
    let late = dev.bosun(&["session", "approve", "night"]).await.expect(1);
    assert_eq!(late.complaint(), "bosun: session 'night' has ended");
    let approved: Vec<(Option<i32>, Option<String>)> =
        sqlx::query_as("select wave, reason from approvals where session = 'night' order by seq")
            .fetch_all(&dev.pool)
            .await
            .unwrap();
    assert_eq!(approved, [(Some(2), Some("looks good".to_owned())), (Some(3), None)]);
    dev.bosun(&["session", "create", "--template", "demo", "--operation", "boot", "--name", "running"])
        .await
        .expect(0);
    let running = dev.bosun(&["session", "approve", "running"]).await.expect(1);
    assert!(running.err.contains("nothing of it waits for approval") || running.err.contains("has ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_window_opens_and_closes() {
    let dev = Dev::start(&["--nodes=8"], &[]).await;
    for wrong in ["--not-after=2001-01-01T00:00:00Z", "--not-before=tonight"] {
        let line = ["session", "create", "--template", "demo", "--operation", "reboot", wrong];
        let refused = dev.bosun(&line).await.expect(1);
        assert!(refused.err.contains("not_"), "{}", refused.err);
    }
    let line = ["--not-before=3s", "--not-after=7s", "--max-unavailable=1"];
    create(&dev, "window", "reboot", &line).await;
    let session = dev.show("window").await;
    assert_eq!(session["state"], "waiting", "{session:#}");
    assert!(session["reason"].as_str().unwrap().starts_with("begins at 2"), "{session:#}");
    // Until then it holds nothing, and no worker; nobody waits for it, and nothing is looked at.
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);
    create(&dev, "later", "shutdown", &["--not-before=1h"]).await;
    dev.bosun(&["session", "cancel", "later"]).await.expect(0);
    let leases: i64 =
        sqlx::query_scalar("select count(*) from session_lease").fetch_one(&dev.pool).await.unwrap();
    assert!(leases == 0 || dev.show("window").await["state"] != "waiting", "{leases} leases");
    assert_eq!(in_state(&dev, "later", "ended").await["outcome"], "cancelled");
    let done = dev.bosun(&["session", "wait", "window", "-o", "json"]).await.expect(3).json();
    let (succeeded, failed, skipped) = ended(&done);
    assert!(succeeded > 0 && failed == 0 && skipped > 0, "{done:#}");
    let (early, late): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where f.intended_at < (s.gates->>'not_before')::timestamptz),
                count(*) filter (where f.intended_at > (s.gates->>'not_after')::timestamptz and f.verb = 'power_off')
           from effect f join session s using (session_id) where s.name = 'window'",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap();
    assert_eq!((early, late), (0, 0));
    assert!(dev.machine.nodes().await.iter().all(|node| node["powered"] == true));
    // The retry command names those that were not begun with.
    let retry = done["retry_command"].as_str().unwrap();
    let limit = retry.rsplit_once("--limit ").unwrap().1;
    assert_eq!(limit.split(',').count() as i64, skipped, "{retry}");
    let reasons: Vec<String> = sqlx::query_scalar(
        "select distinct reason from step_history where session = 'window' and result = 'skipped'",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    assert_eq!(reasons, ["window_closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn power_is_asked_for_at_the_pace_that_was_given() {
    let dev = Dev::start(&["--nodes=12", "--chassis=1", "--slots=2"], &[]).await;
    let pace = ["--power-on-rate=4/900ms", "--cabinet-power-on-rate=3/900ms", "--power-interval=400ms"];
    create(&dev, "ramp", "reboot", &pace).await;
    // Also while a worker dies in the middle of it.
    dev.step("ramp", "compute/power_on", |step| step["attempts"].as_i64() > Some(0)).await;
    dev.kill_worker("ramp").await;
    let done = dev.bosun(&["session", "wait", "ramp", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (12, 0, 0));
    // The database's clock is read a moment after the worker's.
    let (all, cabinet): (i64, i64) = sqlx::query_as(
        "with power_on as (
           select f.intended_at as at, c.xname, substring(c.xname from '^x[0-9]+') as cabinet
             from effect f join session s on s.session_id = f.session_id and s.name = 'ramp'
             cross join lateral unnest(f.component_ids) u (id) join component c on c.component_id = u.id
            where f.verb = 'power_on' and f.state <> 'not_taken')
         select max((select count(*) from power_on o where o.at >= p.at and o.at < p.at + interval '850 ms')),
                max((select count(*) from power_on o
                      where o.cabinet = p.cabinet and o.at >= p.at and o.at < p.at + interval '850 ms'))
           from power_on p",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap();
    assert!(all <= 4 && cabinet <= 3, "{all} in a span, {cabinet} in one cabinet");
    let shortest: f64 = sqlx::query_scalar(
        "select min(extract(epoch from gap))::float8 from (
           select f.intended_at - lag(f.intended_at) over (partition by u.id order by f.intended_at) as gap
             from effect f join session s on s.session_id = f.session_id and s.name = 'ramp'
             cross join lateral unnest(f.component_ids) u (id)
            where f.verb in ('power_off', 'power_on') and f.state <> 'not_taken') g",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap();
    assert!(shortest >= 0.35, "{shortest}");
    let wrong =
        ["session", "create", "--template", "demo", "--operation", "boot", "--power-interval=Rivr=1s"];
    let refused = dev.bosun(&wrong).await.expect(5);
    assert!(refused.err.contains("no component is of class 'Rivr'"), "{}", refused.err);
}

/// A careful session is let go faster, and is given an end.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_running_session_are_changed() {
    let dev = Dev::start(&["--nodes=8", "--boot=2s"], &[]).await;
    create(&dev, "careful", "reboot", &["--max-unavailable=1", "--halt-on-failures=1"]).await;
    dev.step("careful", "compute/power_off", |step| count(step, "attempts") > 0).await;
    let set = async |more: &[&str]| dev.bosun(&[&["session", "set", "careful"][..], more].concat()).await;
    assert!(set(&["--max-unavailable", "none"]).await.expect(2).err.contains("number of nodes"));
    let past = set(&["--not-after", "2001-01-01T00:00:00Z"]).await.expect(1);
    assert!(past.complaint().contains("not_after has passed"), "{past:?}");
    set(&["--max-unavailable", "100%", "--halt-on-failures", "50%", "--not-after", "1h"]).await.expect(0);
    let done = dev.bosun(&["session", "wait", "careful", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (8, 0, 0));
    let events = dev.events("careful").await;
    let answers = events.iter().filter(|event| event["kind"] == "command");
    let answers: Vec<&str> = answers.map(|event| event["data"]["answer"].as_str().unwrap()).collect();
    assert_eq!(answers.len(), 1);
    for said in [
        "100% may be inside at once (was 1)",
        "too many failures are 50% (was 1)",
        "nobody more is begun after 2",
    ] {
        assert!(answers[0].contains(said), "{said} is not in {answers:?}");
    }
    let together: Option<i64> = sqlx::query_scalar(
        "select max(components)::int8 from effects where session = 'careful' and step = 'compute/power_off'",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap();
    assert!(together > Some(1), "{together:?} at once");
}
