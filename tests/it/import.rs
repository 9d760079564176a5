//! `bosun import bos`: one bosun takes over from another, as it would from BOS.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, ended},
    machine::{Machine, client},
    process::{Scratch, until},
};

/// Two on one machine, as old and new stand beside each other; nodes report to the first.
async fn two(nodes: &str) -> (Dev, Dev) {
    let old = Dev::start(&[nodes], &[]).await;
    let new = Dev::beside(&old).await;
    old.machine.introduce(old.url()).await;
    (old, new)
}

async fn import(new: &Dev, old: &Dev, more: &[&str]) -> Value {
    let line = [&["import", "bos", old.url(), "-o", "json"], more].concat();
    new.bosun(&line).await.expect(0).json()
}

/// Taken, unchanged, left.
fn counts(summary: &Value, kind: &str) -> (u64, u64, usize) {
    let left =
        summary[kind]["left"].as_array().unwrap().iter().map(|one| one["names"].as_array().unwrap().len());
    (summary[kind]["taken"].as_u64().unwrap(), summary[kind]["unchanged"].as_u64().unwrap(), left.sum())
}

async fn decisions(dev: &Dev, session: &str) -> Vec<Value> {
    let results = dev.bosun(&["session", "results", session, "-o", "json"]).await.expect(0).json();
    let decided = results.as_array().unwrap().iter().map(|line| line["decision"].clone());
    decided.filter(|decision| !decision.is_null()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_run_what_is_wanted_are_known_after_an_import() {
    let (old, mut new) = two("--nodes=8").await;
    old.session("first", "reboot", &[]).await.expect(0);
    let v2 = client(old.url(), &["v2"]);
    let _: Value = v2.patch(&["options"], &json!({"max_boot_wait_time": 900})).await.unwrap();
    let _: Value = v2.patch(&["components", "x1000c0s0b0n1"], &json!({"retry_policy": 7})).await.unwrap();
    old.apply("night", &old.template("image-b").await).await;
    let before = old.machine.times_on().await;
    // One for each call to BSS: a busy machine makes more of them.
    let all: Vec<Value> = v2.get(&["components"], &[]).await.unwrap();
    let tokens: BTreeSet<&str> =
        all.iter().filter_map(|node| node["actual_state"]["bss_token"].as_str()).collect();
    let tokens = (tokens.len() as u64, 0, 0);

    // Who is not known is left alone.
    new.session("unknown", "boot", &["--limit", "x1000c0s0b0n0"]).await;
    let skips = new.bosun(&["session", "skips", "unknown", "-o", "json"]).await.expect(0).json();
    assert_eq!(skips[0]["reason"], "unknown_artifacts", "{skips}");

    let rehearsed = import(&new, &old, &["--dry-run"]).await;
    assert_eq!((counts(&rehearsed, "components"), counts(&rehearsed, "tokens")), ((8, 0, 0), tokens));
    let own = client(new.url(), &["v2"]);
    let node: Value = own.get(&["components", "x1000c0s0b0n1"], &[]).await.unwrap();
    assert_eq!(node["actual_state"]["bss_token"], "", "a rehearsal writes nothing: {node}");
    assert!(own.get::<Value>(&["sessiontemplates", "night"], &[]).await.is_err());

    let summary = import(&new, &old, &[]).await;
    assert_eq!(counts(&summary, "options"), (1, 19, 0), "{summary:#}");
    assert_eq!(counts(&summary, "templates"), (1, 1, 0), "demo is the same in both: {summary:#}");
    assert_eq!((counts(&summary, "components"), counts(&summary, "tokens")), ((8, 0, 0), tokens));
    assert_eq!(summary["notes"], json!([]));
    let options: Value = own.get(&["options"], &[]).await.unwrap();
    assert_eq!(options["max_boot_wait_time"], 900);
    let theirs: Value = v2.get(&["components", "x1000c0s0b0n1"], &[]).await.unwrap();
    let node: Value = own.get(&["components", "x1000c0s0b0n1"], &[]).await.unwrap();
    for part in ["bss_token", "boot_artifacts", "last_updated"] {
        assert_eq!(node["actual_state"][part], theirs["actual_state"][part], "{part}");
    }
    assert_eq!((&node["retry_policy"], &node["enabled"]), (&json!(7), &json!(false)));
    let night: Value = own.get(&["sessiontemplates", "night"], &[]).await.unwrap();
    assert_eq!(night, v2.get::<Value>(&["sessiontemplates", "night"], &[]).await.unwrap());

    let again = import(&new, &old, &[]).await;
    for kind in ["options", "templates", "tokens", "components"] {
        let (taken, _, left) = counts(&again, kind);
        assert_eq!((taken, left), (0, 0), "twice changes nothing: {again:#}");
    }

    // Now they are seen to run what is wanted, and left up.
    new.session("known", "boot", &[]).await.expect(0);
    assert_eq!(ended(&new.show("known").await), (8, 0, 0));
    assert_eq!(decisions(&new, "known").await, vec![json!("nothing"); 8]);
    assert_eq!(old.machine.times_on().await, before, "nobody was switched");
    // What wants another image is another matter.
    let line = ["--limit", "x1000c0s1b0n0", "--template", "night"];
    let line =
        [&["session", "create", "--operation", "boot", "--name", "night", "--wait"], &line[..]].concat();
    old.machine.introduce(new.url()).await;
    new.bosun(&line).await.expect(0);
    assert_eq!(decisions(&new, "night").await, [json!("power_cycle")]);
    // What bosun found out itself is not replaced by what BOS once knew.
    let later = import(&new, &old, &[]).await;
    assert_eq!(counts(&later, "components"), (0, 7, 1), "{later:#}");
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_left_and_named_unless_it_is_to_be_overwritten() {
    let (old, new) = two("--nodes=1100").await;
    let (theirs, own) = (client(old.url(), &["v2"]), client(new.url(), &["v2"]));
    // More than one page, and more than one request.
    until("HSM's nodes to be known", || async {
        let all: Vec<Value> = theirs.get(&["components"], &[]).await.unwrap();
        (all.len() == 1_100).then_some(())
    })
    .await;
    for (api, seconds) in [(&theirs, 900), (&own, 800)] {
        let _: Value = api.patch(&["options"], &json!({"max_boot_wait_time": seconds})).await.unwrap();
    }
    new.apply("demo", &new.template("image-b").await).await;
    // Two say one token is two things; of one nobody knows what its token stands for.
    let state = |token: &str, kernel: &str| json!({"bss_token": token, "boot_artifacts": {"kernel": kernel}});
    for (node, token, kernel) in
        [("x1000c0s0b0n0", "t", "k"), ("x1000c0s0b0n1", "t", "l"), ("x1000c0s1b0n0", "u", "")]
    {
        let body = json!({"actual_state": state(token, kernel)});
        let _: Value = theirs.patch(&["components", node], &body).await.unwrap();
    }
    let summary = import(&new, &old, &[]).await;
    assert_eq!(
        (counts(&summary, "options"), counts(&summary, "templates")),
        ((0, 19, 1), (0, 0, 1)),
        "{summary:#}"
    );
    assert_eq!(counts(&summary, "tokens"), (0, 0, 0));
    let (taken, unchanged, left) = counts(&summary, "components");
    assert_eq!((taken + unchanged, left), (1_100, 0), "{summary:#}");
    let notes = summary["notes"].as_array().unwrap();
    let concerned: Vec<&Value> = notes.iter().map(|note| &note["components"]).collect();
    assert_eq!(concerned[0], &json!(["x1000c0s0b0n0", "x1000c0s0b0n1"]), "{summary:#}");
    // Of others a node may report by itself what nobody knows; the rest is silent.
    assert!(concerned[1].as_array().unwrap().contains(&json!("x1000c0s1b0n0")), "{summary:#}");
    let all: usize = concerned.iter().map(|names| names.as_array().unwrap().len()).sum();
    assert_eq!((notes.len(), all), (3, 1_100), "{summary:#}");
    let said = new.bosun(&["import", "bos", old.url()]).await.expect(0).out;
    assert!(said.contains("left: options max_boot_wait_time: 800 was set here, 900 there"), "{said}");
    assert!(said.contains("left: templates demo: another one of this name is here"), "{said}");

    let summary = import(&new, &old, &["--overwrite"]).await;
    assert_eq!(
        (counts(&summary, "options"), counts(&summary, "templates")),
        ((1, 19, 0), (1, 0, 0)),
        "{summary:#}"
    );
    let demo: Value = own.get(&["sessiontemplates", "demo"], &[]).await.unwrap();
    assert_eq!(demo, theirs.get::<Value>(&["sessiontemplates", "demo"], &[]).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_none_is_named() {
    let new = Dev::start(&["--nodes=4"], &[]).await;
    let scratch = Scratch::new();
    let machine = Machine::start(&["--nodes=4"], &scratch).await;
    for (source, words) in [
        ("http://127.0.0.1:1".to_owned(), "nobody answers at http://127.0.0.1:1 ("),
        ("nonsense".to_owned(), "'nonsense' is not a server's URL"),
        (machine.url.clone(), "is not BOS v2 (404); give the root of its API, without the /v2"),
        (format!("{}/v2", new.url()), "is not BOS v2 (404)"),
    ] {
        let done = new.bosun(&["import", "bos", &source]).await;
        assert!(done.complaint().contains(words), "{}", done.err);
    }
}
