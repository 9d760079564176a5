//! A newer session takes components over from an older one, wherever that one stands.

use bosun::{db, model::session::SessionId};
use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

const TWO: &str = "x1000c0s0b0n0,x1000c0s1b0n0";

/// Eight nodes, and a session that reboots them all and has begun.
async fn old() -> Dev {
    let dev = Dev::start(&["--nodes=8", "--boot=1500ms"], &[]).await;
    dev.begin("old", "reboot").await;
    dev.step("old", "compute/power_off", |step| step["attempts"].as_i64() > Some(0)).await;
    dev
}

/// Takes two of them over, and waits until they are through; then nothing is on its way any more.
async fn take_two(dev: &Dev) {
    dev.session("new", "reboot", &["--limit", TWO, "--on-conflict", "preempt"]).await.expect(0);
    assert_eq!(ended(&dev.show("new").await), (2, 0, 0));
    assert_eq!(dev.show("old").await["hand_overs"], Value::Array(Vec::new()));
}

/// Eight nodes, and a session that is paused before its gate: all of it is still to be done, and no worker has it.
async fn paused() -> Dev {
    let dev = Dev::start(&["--nodes=8"], &[]).await;
    dev.machine.fault(json!({"service": "ims", "kind": "status", "status": 503})).await;
    dev.begin("old", "reboot").await;
    dev.step("old", "compute/inspect", |step| step["succeeded"].as_i64() == Some(8)).await;
    dev.bosun(&["session", "pause", "old"]).await.expect(0);
    dev.bosun(&["session", "wait", "old"]).await.expect(7);
    dev.machine.lift_faults().await;
    dev
}

/// The two were given away and nothing else was done; then an operator's word lets it go on with the others.
async fn goes_on(dev: &Dev, state: &str, word: &str) {
    let old = dev.show("old").await;
    assert_eq!(old["state"], state);
    assert!(old["steps"].as_array().unwrap().iter().any(|step| count(step, "skipped") == 2), "{old:#}");
    assert_eq!(dev.machine.times_on().await.values().sum::<usize>(), 2);
    dev.bosun(&["session", word, "old"]).await.expect(0);
    // Its worker has to be started first.
    until("it goes on", || async { (dev.show("old").await["state"] != state).then_some(()) }).await;
    dev.bosun(&["session", "wait", "old"]).await.expect(0);
    assert_eq!(ended(&dev.show("old").await), (6, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_that_runs() {
    let dev = old().await;
    let refused = dev.session("no", "reboot", &["--limit", TWO]).await.expect(5);
    assert!(refused.err.contains("session 'old' holds 2 components: x1000c0s[0-1]b0n0"), "{}", refused.err);
    let left_out = dev.session("some", "reboot", &["--limit", TWO, "--on-conflict", "skip"]).await.expect(0);
    assert!(left_out.out.contains("nothing to do"), "{}", left_out.out);
    take_two(&dev).await;
    dev.bosun(&["session", "wait", "old"]).await.expect(0);
    assert_eq!(ended(&dev.show("old").await), (6, 0, 2));
    let history = dev.bosun(&["component", "history", "x1000c0s0b0n0"]).await.expect(0);
    assert!(history.out.contains("by new"), "{}", history.out);
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_that_is_paused() {
    let dev = paused().await;
    take_two(&dev).await;
    goes_on(&dev, "paused", "resume").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_that_is_stuck() {
    let dev = paused().await;
    let id = SessionId(count(&dev.show("old").await, "id"));
    until("no worker has it", || async {
        let mut conn = db::acquire(&dev.pool).await.unwrap();
        db::session::park(&mut conn, &id, "somebody looks").await.unwrap().then_some(())
    })
    .await;
    take_two(&dev).await;
    goes_on(&dev, "stuck", "resume").await;
}

/// The first to go off does not, so nobody behind it is begun with.
#[tokio::test(flavor = "multi_thread")]
async fn from_one_that_is_halted() {
    const HEAD: &str = "x1000c0s1b1n1";
    let dev = Dev::start(&["--nodes=8", &format!("--fail-power-off={HEAD}")], &[]).await;
    let mut template = dev.template("image-a").await;
    let boot_sets = template["boot_sets"].as_object_mut().unwrap();
    let whole = boot_sets["compute"].take();
    let nodes = dev.machine.nodes().await;
    let others = nodes.iter().map(|node| node["xname"].clone()).filter(|xname| xname != HEAD);
    for (name, ordinal, nodes) in [("head", 1, json!([HEAD])), ("compute", 2, others.collect())] {
        let mut boot_set = whole.clone();
        boot_set.as_object_mut().unwrap().remove("node_roles_groups");
        boot_set["node_list"] = nodes;
        boot_set["shutdown_ordinal"] = ordinal.into();
        boot_sets.insert(name.to_owned(), boot_set);
    }
    dev.apply("demo", &template).await;
    dev.begin("old", "reboot").await;
    let halted = dev.bosun(&["session", "wait", "old"]).await.expect(7);
    assert!(halted.out.contains("head/power_off cannot reach 100 % any more"), "{}", halted.out);
    assert!(dev.machine.orders().await.iter().all(|order| order.xname == HEAD));
    take_two(&dev).await;
    dev.machine.change(HEAD, json!({"faults": []})).await;
    goes_on(&dev, "halted", "retry").await;
}
