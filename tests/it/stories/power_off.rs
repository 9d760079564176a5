//! Story 1: some nodes refuse to power off.

use serde_json::{Value, json};

use crate::support::dev::{Dev, count, ended, errors};

/// In natural order, which is not that of the letters.
const REFUSE: [&str; 3] = ["x1000c0s2b0n0", "x1000c0s10b1n1", "x1001c0s0b0n0"];
const ONLY_FORCE: [&str; 2] = ["x1000c0s3b0n0", "x1000c0s4b0n1"];
const LAYOUT: [&str; 3] = ["--nodes=60", "--chassis=1", "--slots=12"];

#[tokio::test(flavor = "multi_thread")]
async fn three_take_every_order_and_stay_on() {
    let refuse = format!("--fail-power-off={}", REFUSE.join(","));
    let force = format!("--refuse-soft-off={}", ONLY_FORCE.join(","));
    let line: Vec<&str> = LAYOUT.iter().copied().chain([refuse.as_str(), force.as_str()]).collect();
    let dev = Dev::start(&line, &[]).await;

    let done = dev.session("night", "reboot", &[]).await.expect(3);
    let retry =
        format!("bosun session create --template demo --operation reboot --limit {}", REFUSE.join(","));
    assert_eq!(done.last_line(), retry);
    assert!(done.out.contains("bosun session retry night"), "{}", done.out);
    let session = dev.show("night").await;
    assert_eq!(ended(&session), (57, 3, 0));
    assert_eq!(session["retry_command"], retry);
    let timeout = ("compute/power_off".to_owned(), "power_off_timeout".to_owned(), 3);
    assert_eq!(errors(&session), [timeout]);

    // Nothing more was done with the three, and force only where the soft way did not help.
    assert_eq!(dev.machine.ordered_on(&REFUSE).await, [0, 0, 0]);
    for xname in REFUSE {
        assert!(!dev.machine.has_boot_parameters(xname).await, "{xname}");
    }
    assert!(dev.machine.times_on().await.values().all(|times| *times <= 1));
    let mut forced: Vec<String> = dev
        .machine
        .orders()
        .await
        .into_iter()
        .filter(|order| order.via == "Force-Off")
        .map(|order| order.xname)
        .collect();
    forced.sort();
    forced.dedup();
    let mut expected: Vec<_> = REFUSE.iter().chain(&ONLY_FORCE).map(|xname| (*xname).to_owned()).collect();
    expected.sort();
    assert_eq!(forced, expected);

    let failed: Vec<(String, String)> = sqlx::query_as(
        "select xname, reason from failed_components where session = 'night' and step = 'compute/power_off' order by 1",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|(_, reason)| reason == "power_off_timeout"), "{failed:?}");

    // Repaired, the command as printed brings the three up.
    for xname in REFUSE {
        dev.machine.change(xname, json!({"faults": []})).await;
    }
    let mut words: Vec<&str> = retry.split(' ').skip(1).collect();
    words.extend(["--name", "again", "--wait"]);
    dev.bosun(&words).await.expect(0);
    assert_eq!(ended(&dev.show("again").await), (3, 0, 0));
    assert_eq!(dev.machine.ordered_on(&REFUSE).await, [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_power_service_names_those_whose_bmc_is_dead() {
    let dead = format!("--bmc-dead={}", REFUSE.join(","));
    let line: Vec<&str> = LAYOUT.iter().copied().chain([dead.as_str()]).collect();
    let dev = Dev::start(&line, &[]).await;
    let done = dev.session("night", "reboot", &["-o", "json"]).await.expect(3).json();
    assert_eq!(ended(&done), (57, 3, 0));
    assert!(done["retry_command"].as_str().unwrap().ends_with(&REFUSE.join(",")), "{done:#}");
    let found = errors(&done);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("compute/power_off", "power_off_failed"));
    assert_eq!(dev.machine.ordered_on(&REFUSE).await, [0, 0, 0]);
}

/// The narrow retry: once the fault is lifted only those that failed are acted upon.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_acts_upon_those_that_failed_only() {
    let dev = Dev::start(&["--nodes=24", "--fail-power-off=x1000c0s1b0n0,x1000c0s2b1n1"], &[]).await;
    dev.session("night", "reboot", &[]).await.expect(3);
    let failed = ["x1000c0s1b0n0", "x1000c0s2b1n1"];
    for xname in failed {
        dev.machine.change(xname, json!({"faults": []})).await;
    }
    let before = dev.machine.orders().await;
    let said = dev.bosun(&["session", "retry", "night"]).await.expect(0);
    assert!(said.out.contains("2 components"), "{}", said.out);
    let session: Value = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&session), (24, 0, 0));
    assert_eq!((session["outcome"].as_str(), session["retry_command"].as_str()), (Some("succeeded"), None));
    assert_eq!(count(&session, "id"), 1, "the same session");
    let after = dev.machine.orders().await;
    let more = &after[before.len()..];
    assert!(!more.is_empty() && more.iter().all(|order| failed.contains(&order.xname.as_str())), "{more:?}");
    assert!(dev.machine.times_on().await.values().all(|times| *times == 1));
    let nothing = dev.bosun(&["session", "retry", "night"]).await;
    assert!(nothing.code != 0 && nothing.complaint().contains("nothing has failed"), "{nothing:?}");
}
