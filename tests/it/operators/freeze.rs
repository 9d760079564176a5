//! Maintenance locks and quarantine: who is kept out, why, and until when.

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended},
    document::checked,
    process::{command, run, until},
};

async fn v2(dev: &Dev, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
    let path = format!("/v2/{path}");
    let ask = reqwest::Client::new().request(method.clone(), format!("{}{path}", dev.url())).json(&body);
    let (status, text) = checked(dev.url(), &method, &path, ask.send().await.unwrap()).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_while_the_machine_is_frozen() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    let line = ["freeze", "set", "--reason", "pump repair", "--until", "8h", "--except-actor", "ann"];
    let said = dev.bosun(&line).await.expect(0).out;
    assert!(
        said.starts_with("frozen: the machine; until 2") && said.contains("'bosun freeze lift 1'"),
        "{said}"
    );

    let refused = dev.session("night", "reboot", &[]).await.expect(5);
    let complaint = refused.complaint();
    assert!(
        complaint.contains("the machine is frozen by") && complaint.contains("pump repair"),
        "{complaint}"
    );
    let shown = dev.bosun(&["plan", "--template", "demo", "--operation", "reboot"]).await.expect(0).out;
    assert!(shown.contains("would be refused: the machine is frozen"), "{shown}");
    let session = json!({"name": "bos", "operation": "shutdown", "template_name": "demo"});
    let (status, problem) = v2(&dev, reqwest::Method::POST, "sessions", session).await;
    assert_eq!((status, problem["frozen"][0]["reason"].as_str()), (409, Some("pump repair")), "{problem}");
    // What a component that is enabled wants, waits.
    let (status, _) =
        v2(&dev, reqwest::Method::PATCH, "components/x1000c0s0b0n0", json!({"enabled": true})).await;
    assert_eq!(status, 200);
    // Whoever does the maintenance is not kept out.
    let line = ["session", "create", "--template", "demo", "--operation", "shutdown", "--limit", "x1000c0s1"];
    let line = [&line[..], &["--name", "repair", "--wait", "-o", "json"]].concat();
    let done = run(command(&line).env("BOSUN_URL", dev.url()).env("USER", "ann")).await.expect(0).json();
    assert_eq!(ended(&done), (4, 0, 0));
    let sessions = dev.bosun(&["session", "list", "-o", "json"]).await.expect(0).json();
    assert_eq!(sessions.as_array().unwrap().len(), 1, "nobody else began anything: {sessions}");

    let shown = dev.bosun(&["freeze", "show"]).await.expect(0).out;
    assert!(shown.contains("everything") && shown.contains("pump repair"), "{shown}");
    assert_eq!(dev.bosun(&["freeze", "lift", "7"]).await.code, 1);
    assert_eq!(dev.bosun(&["freeze", "lift", "1"]).await.expect(0).out, "freeze 1 is lifted\n");
    // Now what waited begins.
    let off = until("the implicit session to end", || async {
        let sessions = dev.bosun(&["session", "list", "-o", "json"]).await.expect(0).json();
        let implicit = sessions.as_array()?.iter().find(|one| one["operation"] == "implicit")?.clone();
        (implicit["state"] == "ended").then_some(implicit)
    });
    assert_eq!(count(&off.await, "succeeded"), 1);
    let again = dev.bosun(&["freeze", "show", "--all", "-o", "json"]).await.expect(0).json();
    assert!(again[0]["in_force"] == false && !again[0]["lifted_at"].is_null(), "{again}");
    let bad = dev.bosun(&["freeze", "set", "--reason", "x", "--until", "2020-01-01T00:00:00Z"]).await;
    assert!(bad.code == 1 && bad.complaint().contains("is past"), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_frozen_but_for_some() {
    let dev = Dev::start(&["--nodes=16", "--boot=1s"], &[]).await;
    let line =
        ["freeze", "set", "--reason", "rack", "--components", "x1000c0s[0-1]", "--except", "x1000c0s1b0n0"];
    dev.bosun(&line).await.expect(0);
    let refused = dev.session("night", "shutdown", &[]).await.expect(5);
    assert!(refused.complaint().contains("it covers 7 components"), "{refused:?}");
    let line = ["--limit", "x1000c0s2,x1000c0s1b0n0", "-o", "json"];
    let done = dev.session("others", "shutdown", &line).await.expect(0).json();
    assert_eq!(ended(&done), (5, 0, 0));
    let session =
        json!({"name": "bos", "operation": "shutdown", "template_name": "demo", "limit": "x1000c0s0b0n0"});
    assert_eq!(v2(&dev, reqwest::Method::POST, "sessions", session).await.0, 409);
    let session =
        json!({"name": "bos", "operation": "shutdown", "template_name": "demo", "limit": "x1000c0s3b0n0"});
    assert_eq!(v2(&dev, reqwest::Method::POST, "sessions", session).await.0, 201);

    let held = dev.bosun(&["freeze", "lift", "--all"]).await.expect(0).out;
    assert_eq!(held, "freezes lifted: 1\n");
    let nowhere = dev.bosun(&["freeze", "set", "--reason", "x", "--components", "x9c0"]).await;
    assert!(nowhere.complaint().contains("there is no node in 'x9c0'"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_nodes_stay_out() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s", "--fail-power-off=x1000c0s0b0n0"], &[]).await;
    dev.bosun(&["option", "set", "quarantine_after=2"]).await.expect(0);
    let said = dev.bosun(&["component", "quarantine", "x1000c0s1", "--reason", "water"]).await.expect(0).out;
    assert_eq!(said, "in quarantine: 4 more (x1000c0s1b[0-1]n[0-1])\n");
    let done = dev.session("first", "shutdown", &["-o", "json"]).await.expect(3).json();
    assert_eq!(ended(&done), (3, 1, 4));
    let skips = dev.bosun(&["session", "skips", "first"]).await.expect(0).out;
    assert!(skips.contains("quarantined"), "{skips}");
    let listed = async |wanted: usize| {
        let listed = dev.bosun(&["component", "quarantined", "-o", "json"]).await.expect(0).json();
        (listed.as_array()?.len() == wanted).then_some(listed)
    };
    dev.session("second", "shutdown", &["--limit", "x1000c0s0b0n0"]).await.expect(4);
    let listed_then = until("the second failure to count", || listed(5)).await;
    let failed =
        listed_then.as_array().unwrap().iter().find(|one| one["component"] == "x1000c0s0b0n0").unwrap();
    assert_eq!(
        (&failed["reason"], &failed["is_automatic"]),
        (&json!("failed in 2 sessions in a row"), &json!(true))
    );
    let done = dev.session("third", "shutdown", &["-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (3, 0, 5));

    let said = dev.bosun(&["component", "release", "x1000c0s0b0n0,x1000c0s1b0"]).await.expect(0).out;
    assert!(said.starts_with("released: 3 of "), "{said}");
    assert!(listed(2).await.is_some());
    dev.machine.change("x1000c0s0b0n0", json!({"faults": []})).await;
    let done = dev.session("fourth", "shutdown", &["-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (6, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_in_a_slot_or_chassis_that_is_off_are_left_out() {
    let dev = Dev::start(&["--nodes=16", "--slots=2", "--boot=1s"], &[]).await;
    for parent in ["x1000c0s1", "x1000c1"] {
        dev.machine.change(parent, json!({"power": "off"})).await;
    }
    let plan = dev.bosun(&["plan", "--template", "demo", "--operation", "reboot"]).await.expect(0).out;
    assert!(plan.contains("parent_off (12)"), "{plan}");
    let done = dev.session("night", "reboot", &["-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (4, 0, 12));
    let skips = dev.bosun(&["session", "skips", "night"]).await.expect(0).out;
    assert!(skips.contains("parent_off") && skips.contains("x1000c1"), "{skips}");
    // To switch them off nobody has to power the slot.
    let done = dev.session("off", "shutdown", &["-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (16, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_closes_the_gates_of_sessions_at_work() {
    let dev = Dev::start(&["--nodes=8", "--boot=1s"], &[]).await;
    // Nobody is begun with while PCS does not say who is on.
    dev.machine.fault(json!({"service": "pcs", "kind": "status", "status": 503})).await;
    let line = ["session", "create", "--template", "demo", "--operation", "boot", "--unknown", "reboot"];
    dev.bosun(&[&line[..], &["--name", "night"]].concat()).await.expect(0);
    dev.event("night", "service_down").await;
    dev.bosun(&["freeze", "set", "--reason", "pump", "--components", "x1000c0s0"]).await.expect(0);
    let told = async |frozen: i64| {
        let told = async || {
            let events = dev.events("night").await;
            events.iter().any(|event| event["data"]["frozen"] == frozen).then_some(())
        };
        until("the session to know who is frozen", told).await;
    };
    told(4).await;
    dev.machine.lift_faults().await;
    dev.step("night", "compute/await_configuration", |step| step["succeeded"] == 4).await;
    let touched: Vec<String> = dev.machine.orders().await.into_iter().map(|order| order.xname).collect();
    assert!(!touched.is_empty() && touched.iter().all(|xname| xname.starts_with("x1000c0s1")), "{touched:?}");
    dev.bosun(&["freeze", "lift", "--all"]).await.expect(0);
    told(0).await;
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (8, 0, 0));
}

/// Whoever waits for others and is frozen meanwhile goes on waiting, and does not keep those behind it waiting.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_and_is_frozen_waits_on_without_a_place_in_the_line() {
    let dev = Dev::start(&["--nodes=8", "--boot=3s"], &[]).await;
    let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--name", "first"];
    dev.bosun(&[&line[..], &["--limit", "x1000c0s0"]].concat()).await.expect(0);
    let line = ["session", "create", "--template", "demo", "--operation", "shutdown", "--name", "second"];
    dev.bosun(&[&line[..], &["--on-conflict", "wait"]].concat()).await.expect(0);
    assert_eq!(dev.show("second").await["state"], "waiting");
    dev.bosun(&["freeze", "set", "--reason", "pump", "--components", "x1000c0s1b0n0"]).await.expect(0);
    dev.bosun(&["session", "wait", "first"]).await.expect(0);
    until("it says that it is frozen", || async {
        let second = dev.show("second").await;
        assert_eq!(second["state"], "waiting", "{second:#}");
        second["reason"].as_str().is_some_and(|why| why.contains("pump")).then_some(())
    })
    .await;
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0, "it holds nothing");
    let done =
        dev.session("third", "reboot", &["--limit", "x1000c0s1b1", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (2, 0, 0));
    assert_eq!(dev.show("second").await["state"], "waiting");
    dev.bosun(&["freeze", "lift", "--all"]).await.expect(0);
    let done = dev.bosun(&["session", "wait", "second", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (8, 0, 0));
}
