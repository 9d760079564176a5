//! Where others hold what is wanted.

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_holds_nothing_and_goes_when_all_are_free() {
    let dev = Dev::start(&["--nodes=8", "--boot=3s"], &[]).await;
    let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--name", "first"];
    dev.bosun(&[&line[..], &["--limit", "x1000c0s0"]].concat()).await.expect(0);
    let line = ["session", "create", "--template", "demo", "--operation", "shutdown", "--name", "second"];
    let said =
        dev.bosun(&[&line[..], &["--on-conflict", "wait", "-o", "json"]].concat()).await.expect(0).json();
    assert_eq!(said["state"], "waiting", "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("session 'first' holds 4 components"), "{said}");
    let held =
        dev.bosun(&["component", "claims", "--session", "second", "-o", "json"]).await.expect(0).json();
    assert_eq!(held, serde_json::json!([]));
    // Who came later and wants some of the same is told who was first.
    let refused = dev.session("third", "reboot", &["--limit", "x1000c0s1b0n0"]).await.expect(5);
    assert!(
        refused.complaint().contains("session 'second' came first and waits for 1 component"),
        "{refused:?}"
    );

    let done = dev.bosun(&["session", "wait", "second", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (8, 0, 0));
    let first = dev.show("first").await;
    assert_eq!((first["state"].as_str(), count(&first, "succeeded")), (Some("ended"), 4));
    let ends = |session: &serde_json::Value, key: &str| session[key].as_str().unwrap().to_owned();
    assert!(ends(&done, "started_at") >= ends(&first, "ended_at"), "nothing began before the other was over");
}

/// Fifty operators at once want four nodes each of the same sixteen, some of them whatever it costs the others.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_that_race_never_have_a_node_at_the_same_time() {
    let dev = Dev::start(&["--nodes=16"], &[]).await;
    let submit = async |number: usize| {
        let limit = format!("x1000c0s{}b[0-1]n[0-1]", number % 4);
        let limit = match number % 3 {
            // Two of one slot, and two of the next.
            0 => format!("x1000c0s{}b1n[0-1],x1000c0s{}b0n[0-1]", number % 4, (number + 1) % 4),
            _ => limit,
        };
        let conflict = ["reject", "wait", "skip", "preempt", "wait"][number % 5];
        let operation = if number.is_multiple_of(2) { "reboot" } else { "shutdown" };
        let name = format!("racer-{number}");
        let line = ["session", "create", "--template", "demo", "--operation", operation, "--limit", &limit];
        let done = dev.bosun(&[&line[..], &["--name", &name, "--on-conflict", conflict]].concat()).await;
        assert!([0, 5].contains(&done.code), "{name}: {done:?}");
        (conflict, done)
    };
    let all = futures_util::future::join_all((0..50).map(submit)).await;
    for (conflict, done) in &all {
        assert!(done.code == 0 || *conflict == "reject", "only who asks for it is rejected: {done:?}");
        assert!(done.code == 0 || done.complaint().contains("holds "), "who holds them is named: {done:?}");
    }
    let settled = async || {
        let open: i64 = sqlx::query_scalar("select count(*) from session where state <> 'ended'")
            .fetch_one(&dev.pool)
            .await
            .unwrap();
        (open == 0).then_some(())
    };
    until("all of them to end", settled).await;
    // What was done to a node by one session lies before or behind what another did to it.
    let mixed: Vec<(String, String, String)> = sqlx::query_as(
        "with span as (
           select f.session, c.xname, min(f.intended_at) as began, max(coalesce(f.settled_at, f.answered_at)) as ended
             from effects f cross join lateral unnest(f.component_ids) u (id) join component c on c.component_id = u.id
            where f.state <> 'not_taken' group by f.session, c.xname)
         select a.xname, a.session, b.session from span a join span b on b.xname = a.xname and b.session > a.session
          where a.began < b.ended and b.began < a.ended",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    assert!(mixed.is_empty(), "{mixed:?}");
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);
    let worked: i64 =
        sqlx::query_scalar("select count(distinct session) from effects").fetch_one(&dev.pool).await.unwrap();
    assert!(worked > 4, "{worked} had their turn");
}

/// Nothing of it has begun, and no worker has it: it is over at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_can_be_cancelled() {
    let dev = Dev::start(&["--nodes=8", "--boot=3s"], &[]).await;
    let line = ["session", "create", "--template", "demo", "--operation", "reboot"];
    dev.bosun(&[&line[..], &["--name", "first", "--limit", "x1000c0s0"]].concat()).await.expect(0);
    dev.bosun(&[&line[..], &["--name", "second", "--on-conflict", "wait"]].concat()).await.expect(0);
    let cancel = ["session", "cancel", "second", "--reason", "not tonight", "--id", "tuesday"];
    let said = dev.bosun(&cancel).await.expect(0).out;
    assert_eq!(said, "session second is cancelled; nothing of it had begun\n");
    // As a script does that had no answer.
    let again = dev.bosun(&cancel).await.expect(0).out;
    assert!(again.starts_with("cancel was asked of session second before, with the id tuesday: "), "{again}");
    let kept: Vec<(bool, String)> = sqlx::query_as("select obeyed_at is not null, answer from command")
        .fetch_all(&dev.pool)
        .await
        .unwrap();
    assert!(matches!(&kept[..], [(true, why)] if why.ends_with("admitted: not tonight")), "{kept:?}");
    let done = dev.bosun(&["session", "wait", "second", "-o", "json"]).await.expect(6).json();
    assert!(
        done["reason"].as_str().is_some_and(|why| why.ends_with("before it was admitted: not tonight")),
        "{done:#}"
    );
    // Nobody waits for it any more.
    dev.bosun(&["session", "wait", "first"]).await.expect(0);
    dev.session("third", "shutdown", &[]).await.expect(0);
}
