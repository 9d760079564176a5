//! What is shown before anything moves, and the guards against moving more than was meant.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

const BOOT: [&str; 5] = ["--template", "demo", "--operation", "boot", "-o"];

async fn plan(dev: &Dev, more: &[&str]) -> serde_json::Value {
    dev.bosun(&[&["plan"], &BOOT[..], &["json"], more].concat()).await.expect(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_would_be_done_with_whom() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    let plan_of_all = plan(&dev, &[]).await;
    let whom = |plan: &serde_json::Value, key: &str| {
        plan["forecast"][key]["components"].as_str().unwrap().to_owned()
    };
    // They are on, and were never seen to report what they run.
    assert_eq!(count(&plan_of_all["forecast"]["unknown_artifacts"], "count"), 8, "{plan_of_all:#}");
    assert!(plan_of_all["steps"].as_array().unwrap().iter().all(|step| step["expected"].is_null()));
    let shown = dev.bosun(&["plan", "--template", "demo", "--operation", "boot"]).await.expect(0).out;
    assert!(shown.contains("no history") && shown.contains("8 nodes run nobody knows what"), "{shown}");

    dev.session("first", "reboot", &["--limit", "x1000c0s0"]).await.expect(0);
    dev.session("second", "shutdown", &["--limit", "x1000c0s1b0"]).await.expect(0);
    // Timed by the server, in its own time.
    let timed = async || {
        let plan = plan(&dev, &[]).await;
        let off = plan["steps"].as_array()?.iter().find(|step| step["verb"] == "power_off")?.clone();
        (off["expected"]["timed_components"] == 6).then_some(plan)
    };
    let known = until("two sessions to be timed", timed).await;
    assert_eq!(whom(&known, "untouched"), "x1000c0s0b[0-1]n[0-1]", "they run what is wanted");
    assert_eq!(whom(&known, "powered_on"), "x1000c0s1b0n[0-1]");
    assert_eq!(whom(&known, "unknown_artifacts"), "x1000c0s1b1n[0-1]");
    assert_eq!(whom(&known, "power_cycled"), "");
    let boot = known["steps"].as_array().unwrap().iter().find(|step| step["verb"] == "await_boot").unwrap();
    let seconds = boot["expected"]["p95_seconds"].as_f64().unwrap();
    assert!((0.5..20.0).contains(&seconds), "a node boots in a second: {boot}");
    assert_eq!(boot["calls_at_most"], serde_json::Value::Null, "it only watches");
    let with = plan(&dev, &["--unknown", "reboot"]).await;
    assert_eq!(whom(&with, "power_cycled"), "x1000c0s1b1n[0-1]");
    let dry = [&["session", "create", "--dry-run"], &BOOT[..4]].concat();
    let dry = dev.bosun(&dry).await.expect(0).out;
    assert!(dry.contains("2 nodes would be powered on: x1000c0s1b0n[0-1]"), "{dry}");
    assert!(dry.contains("--plan-hash"), "{dry}");
    let sessions = dev.bosun(&["session", "list", "-o", "json"]).await.expect(0).json();
    assert_eq!(sessions.as_array().unwrap().len(), 2, "a dry run is no session");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_run_or_nothing() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    let reboot = ["--template", "demo", "--operation", "reboot", "--limit", "x1000c0s0"];
    let shown = dev.bosun(&[&["plan", "-o", "json"], &reboot[..]].concat()).await.expect(0).json();
    let hash = shown["plan_hash"].as_str().unwrap();

    // A node is locked, and the template boots something else by now.
    dev.machine.change("x1000c0s0b0n1", serde_json::json!({"locked": true})).await;
    dev.apply("demo", &dev.template("image-b").await).await;
    let refused =
        dev.session("night", "reboot", &["--limit", "x1000c0s0", "--plan-hash", hash]).await.expect(5);
    let complaint = refused.complaint();
    for words in ["compute: 1 node fewer (x1000c0s0b0n1)", "kernel was 's3://", "look at it again"] {
        assert!(complaint.contains(words), "{complaint}");
    }
    let unknown =
        dev.session("night", "reboot", &["--limit", "x1000c0s0", "--plan-hash", "ab"]).await.expect(5);
    assert!(unknown.complaint().contains("was never shown here"), "{unknown:?}");

    let shown = dev.bosun(&[&["plan", "-o", "json"], &reboot[..]].concat()).await.expect(0).json();
    let hash = shown["plan_hash"].as_str().unwrap();
    let line = ["--limit", "x1000c0s0", "--plan-hash", hash, "-o", "json"];
    let done = dev.session("night", "reboot", &line).await.expect(0).json();
    assert_eq!((ended(&done), done["plan_hash"].as_str()), ((3, 0, 1), Some(hash)));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_meant_is_refused() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    let refused = dev.session("night", "shutdown", &["--expect-at-most", "7"]).await.expect(5);
    assert!(refused.complaint().contains("would be for 8 nodes, and 7 at most are expected"), "{refused:?}");

    let set = dev.bosun(&["option", "set", "confirm_over=4", "-o", "json"]).await.expect(0).json();
    assert_eq!(set["confirm_over"], 4);
    // Nobody sits at a terminal.
    let refused = dev.session("night", "shutdown", &[]).await.expect(5);
    let complaint = refused.complaint();
    assert!(
        complaint.contains("more than 4 have to be confirmed") && complaint.contains("--yes"),
        "{complaint}"
    );
    assert_eq!(dev.bosun(&["session", "show", "night"]).await.code, 1, "nothing was kept of it");
    let done = dev.session("few", "shutdown", &["--limit", "x1000c0s0", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (4, 0, 0), "so few need no confirmation");
    let done = dev.session("night", "shutdown", &["--yes", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done).1, 0);

    // Programs say for how many they know it.
    let ask = |confirmed: serde_json::Value| {
        let body = serde_json::json!({"template": "demo", "operation": "boot", "confirmed": confirmed, "name": "api"});
        let url = format!("{}/bosun/v1/sessions", dev.url());
        async move { reqwest::Client::new().post(url).json(&body).send().await.unwrap() }
    };
    let answer = ask(serde_json::json!(7)).await;
    assert_eq!(answer.status(), 422);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["confirm"], 8);
    assert_eq!(ask(serde_json::json!(8)).await.status(), 201);
    for bad in ["confirm_over=-1", "confirm_over=many", "confirm_ower=1"] {
        let refused = dev.bosun(&["option", "set", bad]).await;
        assert!(refused.code == 1 && refused.complaint().contains("confirm_o"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_number_of_nodes_is_typed() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    dev.bosun(&["option", "set", "confirm_over=4"]).await.expect(0);
    let typed = async |name: &str, number: &str| {
        let line = format!(
            "{} session create --template demo --operation shutdown --name {name}",
            env!("CARGO_BIN_EXE_bosun")
        );
        // `script` gives the command a terminal.
        let mut script = tokio::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("BOSUN_URL", dev.url());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(number.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = typed("seven", "7\n").await;
    assert!(code == Some(2) && said.contains("'7' is not 8; nothing was changed"), "{code:?} {said}");
    assert_eq!(dev.bosun(&["session", "show", "seven"]).await.code, 1);
    let (code, said) = typed("eight", "8\n").await;
    assert!(said.contains("would be for 8 nodes") && said.contains("Type the number of nodes"), "{said}");
    assert!(code == Some(0) && said.contains("session eight created"), "{code:?} {said}");
    let done = dev.bosun(&["session", "wait", "eight", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (8, 0, 0));
}
