//! Where others hold what is wanted.

use crate::support::dev::{Dev, count, ended};

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
