//! `bosun demo`: nodes reboot, three refuse, a worker is killed, and the rest is through all the same.

use serde_json::Value;

use crate::support::{
    dev::{count, ended},
    machine::Request,
    process::{Scratch, command, run, until},
};

const KEYS: &[&str] = &[
    "id",
    "name",
    "operation",
    "state",
    "outcome",
    "targeted",
    "not_reached",
    "in_flight",
    "succeeded",
    "failed",
    "skipped",
    "retry_command",
    "plan_hash",
    "started_at",
    "ended_at",
    "seconds",
    "steps",
    "errors",
    "hand_overs",
];
const STEP_KEYS: &[&str] = &[
    "name",
    "verb",
    "state",
    "targeted",
    "not_reached",
    "in_flight",
    "succeeded",
    "failed",
    "skipped",
    "attempts",
    "started_at",
    "ended_at",
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sorted(keys: &[&'static str]) -> Vec<&'static str> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn three_refuse_a_worker_dies_and_the_rest_is_through() {
    let done = run(&mut command(&["demo", "--nodes", "90"])).await.expect(3);
    let line = done.last_line();
    let limit = line
        .strip_prefix("bosun session create --template demo --operation reboot --limit ")
        .unwrap_or_else(|| panic!("the last line is {line}"));
    let mut natural: Vec<bosun::model::xname::Xname> =
        limit.split(',').map(|xname| xname.parse().unwrap()).collect();
    assert_eq!(natural.len(), 3, "{limit}");
    natural.sort_unstable();
    assert_eq!(natural.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), limit);
    for said in [
        "90 targeted, 87 succeeded, 3 failed",
        "87 nodes were switched on, 0 of them more than once",
        "of the 3 that failed to go off, 0 were ordered on",
        "workers that took over from a dead one: 1",
        "power_off_timeout",
    ] {
        assert!(done.out.contains(said), "{said} is not in: {}", done.out);
    }
    assert!(done.err.contains("killed worker"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_json_has_the_keys_that_scripts_use() {
    let line = ["demo", "--nodes", "40", "--kill-worker", "0", "--fail-power-off", "1", "-o", "json"];
    let session = run(&mut command(&line)).await.expect(3).json();
    assert_eq!(keys(&session), sorted(KEYS));
    assert_eq!(ended(&session), (39, 1, 0));
    for step in session["steps"].as_array().unwrap() {
        assert_eq!(keys(step), sorted(STEP_KEYS), "{step}");
    }
    let error = &session["errors"][0];
    assert_eq!(keys(error), ["components", "count", "error", "step"]);
    assert_eq!((error["step"].as_str(), count(error, "count")), (Some("compute/power_off"), 1));
    assert_eq!(session["state"], "ended");
    assert_eq!(session["outcome"], "partial");
}

/// With `--keep` machine and API may be asked afterwards, and everything ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_kept_shows_that_the_failed_were_left_alone() {
    let scratch = Scratch::new();
    let told = scratch.path().join("told");
    let mut child = command(&["demo", "--nodes", "40", "--fail-power-off", "2", "--keep"])
        .stderr(std::fs::File::create(&told).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let text = until("Ctrl-C ends it all", || async {
        std::fs::read_to_string(&told).ok().filter(|text| text.contains("Ctrl-C"))
    })
    .await;
    let after =
        |mark: &str| text.split(mark).nth(1).unwrap().split(['\n', ',']).next().unwrap().trim().to_owned();
    let machine = after("power log: ").replace("/sim/power-log", "");
    let url = after("BOSUN_URL=");
    let bosun = |line: &'static [&'static str]| {
        let mut command = command(line);
        command.env("BOSUN_URL", &url);
        async move { run(&mut command).await.expect(0).json() }
    };
    let results = bosun(&["session", "show", "demo", "-o", "json", "--full"]).await;
    let names: Vec<_> =
        results["retry_command"].as_str().unwrap().rsplit(' ').next().unwrap().split(',').collect();
    assert_eq!(names.len(), 2);
    let sim = crate::support::machine::client(&machine, &["sim"]);
    let orders: Vec<Value> = sim.get(&["power-log"], &[]).await.unwrap();
    let on = orders
        .iter()
        .filter(|order| names.iter().any(|name| order["xname"] == *name) && order["action"] == "on");
    assert_eq!(on.count(), 0, "no power-on of those that failed");
    let bss = crate::support::machine::client(&machine, &["boot", "v1"]);
    for name in names {
        assert!(
            bss.get::<Value>(&["bootparameters"], &[("name", name)]).await.is_err(),
            "no BSS write of {name}"
        );
    }
    let requests: Vec<Request> = sim.get(&["requests"], &[]).await.unwrap();
    assert!(requests.iter().any(|request| request.service == "bss" && request.changes()));
    let events = bosun(&["session", "events", "demo", "-o", "json"]).await;
    let took_over = events.as_array().unwrap().iter().filter(|event| event["data"]["take_over"] == true);
    assert_eq!(took_over.count(), 1, "{events:#}");
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::INT)
        .unwrap();
    assert!(child.wait().await.unwrap().code() == Some(3));
}
