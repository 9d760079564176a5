//! Commands to a session that is at work: let pass, set, cancel at once, restart; each once, with who and why.

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

const HANGS: &str = "x1000c0s0b0n0";

/// What was asked of a session, as its narrative has it: the command, who, why, and the answer.
async fn asked(dev: &Dev, session: &str, command: &str) -> Vec<Value> {
    let events = dev.events(session).await;
    let of = |event: &Value| event["kind"] == "command" && event["data"]["command"] == command;
    events.into_iter().filter(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_passes_a_step_counts_as_through() {
    let dev = Dev::start(&["--nodes=4", &format!("--never-boots={HANGS}")], &[]).await;
    dev.begin("night", "reboot").await;
    dev.step("night", "compute/await_boot", |step| count(step, "in_flight") == 1).await;
    let pass = async |step: &str, more: &[&str]| {
        let line =
            ["step", "pass", "night", step, "--components", HANGS, "--reason", "its console is broken"];
        dev.bosun(&[&line[..], more].concat()).await
    };
    // What makes no sense is refused, with what there is.
    let wrong = pass("await_bot", &[]).await.expect(1).complaint().to_owned();
    assert!(wrong.contains("has no step 'await_bot'; it has compute/inspect, "), "{wrong}");
    let line = ["step", "pass", "night", "await_boot", "--components", "x9000c0s0b0n0", "--reason", "no"];
    let stranger = dev.bosun(&line).await.expect(5).complaint().to_owned();
    assert!(stranger.contains("does not take part in session 'night'"), "{stranger}");
    let silent = dev.bosun(&["step", "pass", "night", "await_boot", "--components", HANGS]).await.expect(2);
    assert!(silent.err.contains("--reason"), "{silent:?}");

    // It would wait for its configuration for ever, too.
    pass("await_configuration", &[]).await.expect(0);
    let said = pass("await_boot", &["--id", "tuesday-1"]).await.expect(0).out;
    assert_eq!(said, format!("pass of await_boot asked of session night for 1 component ({HANGS})\n"));
    let again = pass("await_boot", &["--id", "tuesday-1"]).await.expect(0).out;
    assert!(again.starts_with("pass was asked of session night before, with the id tuesday-1: "), "{again}");
    let other =
        dev.bosun(&["session", "pause", "night", "--id", "tuesday-1"]).await.expect(1).complaint().to_owned();
    assert!(other.contains("was given to session 'night' before, for pass"), "{other}");

    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (4, 0, 0), "{done:#}");
    let passed = asked(&dev, "night", "pass").await;
    assert_eq!(passed.len(), 2, "{passed:#?}");
    assert_eq!(passed[1]["data"]["reason"], "its console is broken");
    assert_eq!(passed[1]["data"]["answer"], "1 components pass");
    let history = dev.bosun(&["component", "history", HANGS]).await.expect(0).out;
    assert!(history.contains("passed_by_actor  by "), "{history}");
    assert_eq!(dev.machine.ordered_on(&[HANGS]).await, [1], "nothing was done for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_failed_in_a_step_passes_it_and_goes_on() {
    let dev = Dev::start(&["--nodes=4"], &[]).await;
    dev.machine.change(HANGS, json!({"faults": ["fail_configuration"]})).await;
    dev.session("night", "reboot", &[]).await.expect(3);
    let said =
        dev.bosun(&["step", "restart", "night", "await_configuration", "--failed"]).await.expect(0).out;
    assert_eq!(said, format!("session night goes on with 1 component ({HANGS}) that had failed\n"));
    dev.bosun(&["session", "wait", "night"]).await.expect(3);
    let line = ["step", "pass", "night", "await_configuration", "--components", "all", "--reason", "by hand"];
    dev.bosun(&line).await.expect(0);
    until("it is through", || async { (dev.show("night").await["outcome"] == "succeeded").then_some(()) })
        .await;
    assert_eq!(ended(&dev.show("night").await), (4, 0, 0));
    assert!(dev.machine.times_on().await.values().all(|times| *times == 1), "nobody was power-cycled");
    // Nobody is left to pass.
    let late = dev.bosun(&line).await.expect(5).complaint().to_owned();
    assert!(
        late.contains("session 'night' has ended, and none of these failed in await_configuration"),
        "{late}"
    );
}

/// Two boot sets of two nodes that go off one after the other.
async fn ordered(dev: &Dev) {
    let mut template = dev.template("image-a").await;
    let compute = template["boot_sets"]["compute"].take();
    let boot_set = |nodes: &[&str], order: u32| {
        let mut boot_set = compute.clone();
        boot_set["node_roles_groups"].take();
        boot_set.as_object_mut().unwrap().remove("node_roles_groups");
        boot_set["node_list"] = json!(nodes);
        boot_set["shutdown_ordinal"] = json!(order);
        boot_set
    };
    template["boot_sets"] = json!({
        "first": boot_set(&["x1000c0s0b0n0", "x1000c0s0b0n1"], 1),
        "second": boot_set(&["x1000c0s0b1n0", "x1000c0s0b1n1"], 2),
    });
    dev.apply("ordered", &template).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_threshold_lets_a_halted_session_go_on() {
    let dev = Dev::start(&["--nodes=4", &format!("--fail-power-off={HANGS}")], &[]).await;
    ordered(&dev).await;
    let line = ["session", "create", "--template", "ordered", "--operation", "shutdown", "--name", "night"];
    dev.bosun(&line).await.expect(0);
    dev.bosun(&["session", "wait", "night"]).await.expect(7);
    assert_eq!(dev.show("night").await["state"], "halted");
    let set = async |more: &[&str]| dev.bosun(&[&["session", "set", "night"][..], more].concat()).await;
    let unknown = set(&["--threshold", "third=50%"]).await.expect(1).complaint().to_owned();
    assert!(unknown.contains("has no boot set 'third'; it has first, second"), "{unknown}");
    let idle = set(&["--threshold", "second=50%"]).await.expect(1).complaint().to_owned();
    assert!(idle.contains("nothing in session 'night' waits for a share of boot set 'second'"), "{idle}");
    assert!(set(&[]).await.expect(1).complaint().contains("set needs a threshold, a timeout, or "));
    assert!(set(&["--threshold", "first=150%"]).await.expect(2).err.contains("between 0% and 100%"));
    assert!(set(&["--timeout", "power_off=soon"]).await.expect(2).err.contains("90s or 30m"));

    set(&["--threshold", "first=50%", "--timeout", "power_off=45m", "--reason", "one is enough"])
        .await
        .expect(0);
    let done = until("its end", || async {
        let night = dev.show("night").await;
        (night["state"] == "ended").then_some(night)
    })
    .await;
    assert_eq!(ended(&done), (3, 1, 0), "{done:#}");
    let told = asked(&dev, "night", "set").await;
    let answer = told[0]["data"]["answer"].as_str().unwrap();
    assert!(answer.contains("second/power_off needs 50 % of first/power_off (was 100 %)"), "{answer}");
    assert!(answer.contains("first/power_off may take 45m (was "), "{answer}");
    assert_eq!(told[0]["data"]["reason"], "one is enough");
    let late = set(&["--threshold", "first=40%"]).await.expect(1).complaint().to_owned();
    assert!(late.contains("what failed in it goes on with: bosun session retry night"), "{late}");
    // From a step that every boot set has.
    dev.machine.change(HANGS, json!({"faults": []})).await;
    dev.bosun(&["session", "retry", "night", "--from", "inspect"]).await.expect(0);
    until("it is through", || async { (dev.show("night").await["outcome"] == "succeeded").then_some(()) })
        .await;
}

/// A barrier that cannot open says what may be typed, and each of it helps.
#[tokio::test(flavor = "multi_thread")]
async fn who_resumes_a_session_halted_at_a_barrier_goes_on_without_those_that_failed() {
    let dev = Dev::start(&["--nodes=4", &format!("--fail-power-off={HANGS}")], &[]).await;
    ordered(&dev).await;
    for word in ["resume", "approve"] {
        let line = ["session", "create", "--template", "ordered", "--operation", "shutdown", "--name", word];
        dev.bosun(&line).await.expect(0);
        let halted = dev.bosun(&["session", "wait", word]).await.expect(7).out;
        for next in ["set NAME --threshold first=N%", "retry NAME", "resume NAME", "cancel NAME"] {
            let next = format!("'bosun session {}'", next.replace("NAME", word));
            assert!(halted.contains(&next), "{next} is not in {halted}");
        }
        dev.bosun(&["session", word, word, "--reason", "one is enough"]).await.expect(0);
        let done = until("its end", || async {
            let session = dev.show(word).await;
            (session["state"] == "ended").then_some(session)
        })
        .await;
        assert_eq!(ended(&done), (3, 1, 0), "{done:#}");
        let accepted: Vec<(Option<i32>, bool, Option<String>)> =
            sqlx::query_as("select wave, accepts_failures, reason from approvals where session = $1")
                .bind(word)
                .fetch_all(&dev.pool)
                .await
                .unwrap();
        assert_eq!(accepted, [(None, true, Some("one is enough".to_owned()))]);
        for node in dev.machine.nodes().await {
            dev.machine.change(node["xname"].as_str().unwrap(), json!({"power": "on"})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_now_it_brings_nothing_back_and_says_how_to() {
    let dev = Dev::start(&["--nodes=8", "--soft-off=1s"], &[]).await;
    dev.begin("night", "reboot").await;
    dev.step("night", "compute/power_off", |step| count(step, "attempts") > 0).await;
    dev.bosun(&["session", "cancel", "night", "--now", "--reason", "wrong machine"]).await.expect(0);
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(6).json();
    assert_eq!(ended(&done).2, 8, "{done:#}");
    let names: Vec<String> =
        dev.machine.nodes().await.iter().map(|node| node["xname"].as_str().unwrap().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(dev.machine.ordered_on(&names).await.iter().sum::<usize>(), 0, "nothing was brought back");
    let requests = dev.machine.requests().await;
    let aborts = requests
        .iter()
        .filter(|request| request.method == "DELETE" && request.path.contains("/transitions/"));
    assert!(aborts.count() > 0, "no transition was aborted");
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);

    let reason = done["reason"].as_str().unwrap();
    assert!(reason.starts_with("cancelled at once: 8 are off, or still going off ("), "{reason}");
    let (_, boot) = reason.split_once("boot them with bosun ").expect(reason);
    let boot = boot.replace('\'', "");
    let line: Vec<&str> = boot.split(' ').chain(["--name", "back", "--wait"]).collect();
    until("they have gone off", || async {
        dev.machine.nodes().await.iter().all(|node| node["powered"] == false).then_some(())
    })
    .await;
    dev.bosun(&line).await.expect(0);
    assert!(dev.machine.nodes().await.iter().all(|node| node["powered"] == true));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_that_overlap_the_second_leaves_out_what_the_first_holds() {
    // Two cabinets; the first session has all of the first one.
    let dev = Dev::start(&["--nodes=300", "--boot=3s"], &[]).await;
    let other = "x1001c0s0b0n0";
    let line = [
        "session",
        "create",
        "--template",
        "demo",
        "--operation",
        "reboot",
        "--limit",
        "x1000",
        "--name",
        "a",
    ];
    dev.bosun(&line).await.expect(0);
    let limit = format!("x1000c0s0b0n0,x1000c0s0b0n1,{other}");
    let refused = dev.session("b", "shutdown", &["--limit", &limit]).await.expect(5);
    assert!(refused.err.contains("session 'a' holds 2 components: x1000c0s0b0n[0-1]"), "{}", refused.err);
    dev.session("b", "shutdown", &["--limit", &limit, "--on-conflict", "skip"]).await.expect(0);
    assert_eq!(ended(&dev.show("b").await).0, 1);
    let skips = dev.bosun(&["session", "skips", "b"]).await.expect(0).out;
    assert!(skips.matches("claimed").count() >= 1 && skips.contains("x1000c0s0b0n"), "{skips}");
    let off: Vec<Value> =
        dev.machine.nodes().await.into_iter().filter(|node| node["xname"] == other).collect();
    assert_eq!(off[0]["powered"], false);
    dev.bosun(&["session", "cancel", "a"]).await.expect(0);
}
