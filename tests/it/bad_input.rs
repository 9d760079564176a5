//! Bad input: one clear line, the right exit code, and nothing left half-done.

use serde_json::json;

use crate::support::{
    dev::Dev,
    process::{Done, Scratch, command, processes, run},
};

/// Rows that a refused request must not have left.
async fn rows(dev: &Dev) -> (i64, i64, i64) {
    sqlx::query_as(
        "select (select count(*) from session), (select count(*) from claims), (select count(*) from session_component_batch)",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_sessions_leave_nothing() {
    let dev = Dev::start(&["--nodes=8"], &[]).await;
    let mut template = dev.template("image-a").await;
    let boot_set = template["boot_sets"]["compute"].as_object_mut().unwrap();
    boot_set.remove("node_roles_groups");
    boot_set.insert("node_groups".to_owned(), json!(["compte"]));
    dev.apply("misspelt", &template).await;
    dev.machine.forget_requests().await;
    let refused: &[(&[&str], &str)] = &[
        (&["--limit", "x1000c0s0b0n0,"], "limit, column 15: an item is empty; take out one comma"),
        (&["--limit", "all,&!x1000c0s0b0n0"], "limit, column 5: '&!x1000c0s0b0n0' has two signs"),
        (&["--limit", "nid999999"], "limit, column 1: no node has the NID 999999"),
        (&["--limit", "all,!grp"], "limit, column 5: 'grp' is no HSM group"),
        (&["--limit", "!x1000c0s0b0n0"], "limit, column 1:"),
        (&["--limit", "x1000c0s7b1n1"], "no component is selected"),
        (&["--template", "misspelt"], "there is no HSM group 'compte'"),
        (&["--template", "demmo"], "session template 'demmo' does not exist"),
        (&["--template", "demo@99"], "session template 'demo@99' does not exist"),
        (&["--operation", "rebot"], "there is no operation 'rebot' (did you mean 'reboot'?)"),
        (&["--limit", "@failed:nobody"], "session 'nobody' does not exist"),
    ];
    for (more, complaint) in refused {
        let mut line = vec!["session", "create", "--name", "night", "--wait"];
        for default in [["--template", "demo"], ["--operation", "reboot"]] {
            if more[0] != default[0] {
                line.extend(default);
            }
        }
        line.extend(*more);
        let done = dev.bosun(&line).await.expect(5);
        assert!(done.complaint().contains(complaint), "{more:?}: {}", done.err);
    }
    assert_eq!(rows(&dev).await, (0, 0, 0));
    let changing: Vec<_> =
        dev.machine.requests().await.into_iter().filter(|request| request.changes()).collect();
    assert!(changing.is_empty(), "{changing:?}");

    // A name is taken once.
    dev.session("night", "shutdown", &["--limit", "x1000c0s0b0n0"]).await.expect(0);
    let before = rows(&dev).await;
    let twice = dev.session("night", "shutdown", &[]).await.expect(5);
    assert_eq!(twice.complaint(), "bosun: session 'night' exists already; choose another name");
    assert_eq!(rows(&dev).await, before);
    // Others hold its components.
    dev.machine.change("x1000c0s0b0n1", json!({"faults": ["never_boots"]})).await;
    dev.begin("day", "reboot").await;
    let held = dev.session("evening", "shutdown", &["--limit", "x1000c0s0b0n1"]).await.expect(5);
    assert!(held.complaint().contains("session 'day' holds 1 component: x1000c0s0b0n1"), "{held:?}");
}

/// Starts `dev`, which must fail.
async fn dev(scratch: &Scratch, more: &[&str], change: impl FnOnce(&mut tokio::process::Command)) -> Done {
    let data = scratch.path().join("data");
    let mut line = vec!["dev", "--listen=127.0.0.1:0", "--nodes=4", "--data", data.to_str().unwrap()];
    line.extend(more);
    let mut command = command(&line);
    change(command.env("BOSUN_LOG", "warn"));
    let done = run(&mut command).await;
    let left = processes(&[data.to_str().unwrap()]);
    assert!(left.is_empty(), "processes left behind: {left:?}");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    let scratch = Scratch::new();
    // No Postgres.
    let empty = scratch.path().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let done = dev(&scratch, &[], |command| {
        command.env("BOSUN_PG_BIN", &empty);
    })
    .await
    .expect(1);
    assert!(done.complaint().contains("install the package 'postgresql'"), "{done:?}");
    assert!(!scratch.path().join("data").exists(), "no directory either");
    let demo = run(command(&["demo", "--nodes=4"]).env("BOSUN_PG_BIN", &empty).env("TMPDIR", scratch.path()))
        .await
        .expect(1);
    assert!(demo.err.contains("install the package 'postgresql'"), "{demo:?}");
    let left: Vec<_> =
        std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["empty"], "what the demo left");

    // A wrong database.
    for (url, complaint) in [
        ("postgres://nobody@127.0.0.1:1/none", "cannot connect to the database at 127.0.0.1:1/none:"),
        ("mysql://somewhere/else", "no URL of a Postgres database"),
        ("nonsense", "as in postgres://user@host/bosun"),
    ] {
        let done = dev(&scratch, &["--database-url", url], |_| {}).await.expect(1);
        assert!(done.complaint().contains(complaint), "{url}: {done:?}");
    }

    // A port that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut line =
        command(&["dev", "--listen", &address, "--data", scratch.path().join("data").to_str().unwrap()]);
    let done = run(line.env("BOSUN_LOG", "warn")).await.expect(1);
    assert!(done.complaint().contains(&format!("cannot listen on {address}")), "{done:?}");
    assert!(!scratch.path().join("data").exists());

    // A flag that is wrong.
    let done = dev(&scratch, &["--fail-power-off=some"], |_| {}).await.expect(2);
    assert!(done.err.contains("give a number of nodes, or xnames"), "{done:?}");
}

/// All mistakes of all files at once, each with its place.
#[tokio::test(flavor = "multi_thread")]
async fn workflows_with_typos_are_refused() {
    let scratch = Scratch::new();
    scratch.write("w/reboot.yaml", "steps:\n  - name: off\n    verb: power_of\n");
    scratch.write(
        "w/rolling.yaml",
        "steps:\n  - name: look\n    verb: inspect\n    goal: reboot\n    neds: [x]\n",
    );
    let database = crate::support::postgres::database().await;
    let directory = scratch.path().join("w");
    let more = ["--database-url", &database.url, "--workflows", directory.to_str().unwrap()];
    let done = dev(&scratch, &more, |_| {}).await.expect(1);
    for said in ["reboot", "power_of", "did you mean 'power_off'", "rolling", "neds"] {
        assert!(done.err.contains(said), "{said} is not in: {}", done.err);
    }
    // A step in a pod of its own, where there is no Kubernetes.
    let pod = "steps:\n  - {name: check, verb: job, command: [check], kubernetes: {image: tools}}\n";
    scratch.write("pods/checked.yaml", pod);
    let directory = scratch.path().join("pods");
    let more = ["--database-url", &database.url, "--workflows", directory.to_str().unwrap()];
    let done = dev(&scratch, &more, |_| {}).await.expect(1);
    let said = done.complaint();
    assert!(said.contains("checked.yaml, step check, kubernetes: no worker may start a pod"), "{said}");
    assert!(said.contains("without 'kubernetes' the command runs where the worker runs"), "{said}");
    let none = ["--database-url", &database.url, "--workflows", "/nowhere/at/all"];
    let done = dev(&scratch, &none, |_| {}).await.expect(1);
    assert!(done.complaint().contains("/nowhere/at/all"), "{done:?}");
}
