//! Story 10: a rolling reboot with a canary. A bad wave halts it before most of the machine is touched, an operator reads why
//! in SQL, lets more fail, cancels in the next wave, and the history answers what was asked of it when the session is gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

/// Two of the fifteen of wave 2.
const BAD: [&str; 2] = ["x1000c0s1b0n0", "x1000c0s3b1n1"];
const CANARY: &str = "x1000c0s0b0n0";
const ROLLOUT: [&str; 3] = ["--waves=1,15,rest", "--max-unavailable=64", "--halt-on-failures=5%"];

/// Who was ordered off so far.
async fn ordered_off(dev: &Dev) -> BTreeSet<String> {
    let orders = dev.machine.orders().await;
    orders.into_iter().filter(|order| order.action == "off").map(|order| order.xname).collect()
}

/// Everything that CFS holds, by name.
async fn cfs(dev: &Dev) -> Vec<Value> {
    let cfs = crate::support::machine::client(&dev.machine.url, &["v3"]);
    let page: Value = cfs.get(&["components"], &[("limit", "1000")]).await.unwrap();
    page["components"].as_array().unwrap().clone()
}

async fn number(dev: &Dev, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&dev.pool).await.unwrap()
}

/// Waits until the session is as wanted; as it is then.
async fn when(dev: &Dev, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || async {
        let session = dev.show("rolling").await;
        wanted(&session).then_some(session)
    };
    until(what, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_with_canary_cancel_and_audit() {
    let bad = format!("--never-boots={}", BAD.join(","));
    let dev = Dev::start(&["--nodes=512", &bad], &[]).await;
    // A node that hangs is not tried again: the canary is to tell soon.
    dev.options(&json!({"default_retry_policy": 1})).await;
    let version =
        dev.bosun(&["template", "show", "demo", "-o", "json"]).await.expect(0).json()["version"].clone();
    let before = cfs(&dev).await;
    assert_eq!(before.len(), 512);

    let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--name", "rolling"];
    dev.bosun(&[&line[..], &ROLLOUT].concat()).await.expect(0);
    let halted = when(&dev, "it is halted", |session| session["state"] == "halted").await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("1 of 15 of wave 2 failed, and 5% are too many") || reason.starts_with("2 of 15"),
        "{reason}"
    );
    dev.bosun(&["session", "wait", "rolling"]).await.expect(7);
    let wave_2 = |session: &Value| count(&session["waves"][1], "inside") == 0;
    let halted = when(&dev, "wave 2 is finished", wave_2).await;
    assert_eq!(count(&halted["waves"][1], "failed"), 2, "{halted:#}");
    untouched(&dev, &before).await;
    let off_at_first = ordered_off(&dev).await;
    assert_eq!(off_at_first.len(), 16);
    audit(&dev).await;

    // So many are expected: it goes on as soon as it may, and who allowed it is known.
    let why = ["--reason", "two bad DIMMs, known", "--id", "change-4711"];
    let set = ["session", "set", "rolling", "--halt-on-failures", "20%"];
    dev.bosun(&[&set[..], &why].concat()).await.expect(0);
    let some_through = |step: &Value| count(step, "succeeded") > 0 && count(step, "in_flight") > 0;
    dev.step("rolling", "wave3/compute/power_off", some_through).await;

    dev.bosun(&["session", "cancel", "rolling", "--reason", "the image is wrong"]).await.expect(0);
    let cancelled = when(&dev, "it is over", |session| session["state"] == "ended").await;
    assert_eq!(cancelled["outcome"], "cancelled");
    let (succeeded, failed, skipped) = ended(&cancelled);
    assert_eq!((succeeded + failed + skipped, failed), (512, 2));
    after_the_cancel(&dev, &off_at_first, &before).await;
    assert!(dev.most_inside("rolling").await <= 64);

    // Gone from the API, it still tells what booted whom.
    let url = format!("{}/bosun/v1/sessions/rolling", dev.url());
    assert_eq!(reqwest::Client::new().delete(url).send().await.unwrap().status(), 204);
    dev.bosun(&["session", "show", "rolling"]).await.expect(1);
    let history = dev.bosun(&["component", "history", CANARY, "-o", "json"]).await.expect(0).json();
    let booted = history.as_array().unwrap().iter().find(|line| line["step"] == "wave1/compute/await_boot");
    let booted = booted.unwrap_or_else(|| panic!("{history:#}"));
    assert_eq!(
        (&booted["session"], &booted["template"], &booted["template_version"], &booted["outcome"]),
        (&"rolling".into(), &"demo".into(), &version, &"succeeded".into())
    );
}

/// Nobody of wave 3 was begun with: no order, no boot parameters, no other configuration; and they are kept.
async fn untouched(dev: &Dev, before: &[Value]) {
    let halted = dev.show("rolling").await;
    assert_eq!(count(&halted["waves"][2], "waiting"), 496, "{:#}", halted["waves"]);
    assert_eq!(number(dev, "select count(*) from claims where session = 'rolling'").await, 496);
    let begun = ordered_off(dev).await;
    let bss = crate::support::machine::client(&dev.machine.url, &["boot", "v1"]);
    let parameters: Vec<Value> = bss.get(&["bootparameters"], &[]).await.unwrap();
    let hosts = parameters.iter().filter_map(|one| one["hosts"].as_array()).flatten();
    let strangers: Vec<_> = hosts.filter(|host| !begun.contains(host.as_str().unwrap())).collect();
    assert!(strangers.is_empty(), "{strangers:?} have boot parameters");
    same_configuration(&begun, before, &cfs(dev).await);
}

/// What CFS holds of everybody who was not begun with is what it held before.
fn same_configuration(begun: &BTreeSet<String>, before: &[Value], now: &[Value]) {
    let others = |list: &[Value]| -> Vec<Value> {
        list.iter().filter(|one| !begun.contains(one["id"].as_str().unwrap())).cloned().collect()
    };
    assert!(!others(before).is_empty());
    assert_eq!(others(before), others(now));
}

/// What an operator reads: in order of time, how often each was tried, why it failed, and the services' own numbers.
async fn audit(dev: &Dev) {
    let mut reader = dev.pool.acquire().await.unwrap();
    sqlx::query("set role bosun_reader").execute(&mut *reader).await.unwrap();
    let failed: Vec<(String, String, i32, String, String)> = sqlx::query_as(
        "select xname, step, attempts::int4, reason, error from failed_components where session = 'rolling' order by xname",
    )
    .fetch_all(&mut *reader)
    .await
    .unwrap();
    assert_eq!(failed.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), BAD);
    for (xname, step, _, reason, error) in &failed {
        assert_eq!((step.as_str(), reason.as_str()), ("wave2/compute/await_boot", "boot_timeout"), "{xname}");
        assert!(!error.is_empty(), "{xname}");
    }
    let way: Vec<(String, String, i32)> = sqlx::query_as(
        "select step, result, attempts::int4 from component_history
          where session = 'rolling' and xname = $1 and result not in ('noticed', 'passed') order by at, seq",
    )
    .bind(BAD[0])
    .fetch_all(&mut *reader)
    .await
    .unwrap();
    let steps: Vec<&str> = way.iter().map(|(step, _, _)| step.rsplit('/').next().unwrap()).collect();
    assert_eq!((steps[0], *steps.last().unwrap()), ("inspect", "await_boot"), "{way:?}");
    assert!(
        steps.iter().position(|step| *step == "power_off")
            < steps.iter().position(|step| *step == "power_on")
    );
    assert!(way.iter().filter(|row| row.0.contains("power_o")).all(|row| row.2 == 1), "{way:?}");
    // Every power call has the number that PCS gave it, and everybody was covered once each way.
    let power: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "select step, remote_ref, components::int8 from effects
          where session = 'rolling' and verb in ('power_off', 'power_on') and state <> 'not_taken' order by intended_at",
    )
    .fetch_all(&mut *reader)
    .await
    .unwrap();
    assert!(power.iter().all(|(_, number, _)| number.is_some()), "{power:?}");
    let of = |verb: &str| power.iter().filter(|row| row.0.ends_with(verb)).map(|row| row.2).sum::<i64>();
    assert_eq!((of("power_off"), of("power_on")), (16, 16), "{power:?}");
    let begun_by: Vec<(Option<String>, String)> =
        sqlx::query_as("select actor, kind from timeline where session = 'rolling' order by seq limit 1")
            .fetch_all(&mut *reader)
            .await
            .unwrap();
    assert_eq!(begun_by.len(), 1);
    sqlx::query("reset role").execute(&mut *reader).await.unwrap();
}

/// No new Off after the cancel, and nobody who was on the way stays dark.
async fn after_the_cancel(dev: &Dev, off_at_first: &BTreeSet<String>, before: &[Value]) {
    let asked: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "select data->>'command', actor, data->>'reason' from timeline where session = 'rolling' and kind = 'command' order by seq",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    let words: Vec<_> = asked.iter().map(|row| (row.0.as_str(), row.2.as_deref().unwrap())).collect();
    assert_eq!(words, [("set", "two bad DIMMs, known"), ("cancel", "the image is wrong")]);
    assert!(asked.iter().all(|row| row.1.as_ref().is_some_and(|actor| !actor.is_empty())), "{asked:?}");

    let covered: Vec<String> = sqlx::query_scalar(
        "select distinct c.xname from effects f
           join timeline t on t.session = f.session and t.kind = 'command' and t.data->>'command' = 'cancel'
          cross join lateral unnest(f.component_ids) u (id) join component c on c.component_id = u.id
          where f.session = 'rolling' and f.verb = 'power_off' and f.intended_at <= t.at",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    let covered: BTreeSet<String> = covered.into_iter().collect();
    let begun = ordered_off(dev).await;
    assert!(begun.len() > 16 && begun.len() < 512, "{} were begun with", begun.len());
    let new: Vec<_> = begun.difference(&covered).collect();
    assert!(new.is_empty(), "{new:?} were switched off after the cancel");
    same_configuration(&begun, before, &cfs(dev).await);

    let in_flight: Vec<&String> = begun.difference(off_at_first).collect();
    let ends: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "select distinct on (xname) xname, result, reason from component_history
          where session = 'rolling' and xname = any ($1) and result <> 'noticed' order by xname, at desc, seq desc",
    )
    .bind(in_flight.iter().map(|xname| (*xname).clone()).collect::<Vec<_>>())
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    assert_eq!(ends.len(), in_flight.len());
    let defined = |result: &str, reason: &Option<String>| match result {
        "succeeded" => true,
        "skipped" => reason.as_deref() == Some("cancelled"),
        _ => false,
    };
    let others: Vec<_> = ends.iter().filter(|(_, result, reason)| !defined(result, reason)).collect();
    assert!(others.is_empty(), "{others:?}");
    until("all but the two that cannot are up", || async {
        let nodes = dev.machine.nodes().await;
        let is_bad = |node: &Value| BAD.contains(&node["xname"].as_str().unwrap());
        nodes.iter().all(|node| node["powered"] == true && (node["up"] == true || is_bad(node))).then_some(())
    })
    .await;
}
