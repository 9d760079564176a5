//! Story 7: configuration fails here and there, and does not stop the rest.

use serde_json::{Value, json};

use crate::support::dev::{Dev, ended, errors};

const FAIL: [&str; 4] = ["x1000c0s0b0n0", "x1000c0s1b0n0", "x1000c0s2b0n0", "x1000c0s3b0n0"];
const PENDING: [&str; 3] = ["x1000c0s4b0n0", "x1000c0s5b0n0", "x1000c0s6b0n0"];
const VANISH: &str = "x1000c0s7b0n0";

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_configuration_do_not_stop_the_rest() {
    let faults = [
        format!("--fail-configuration={}", FAIL.join(",")),
        format!("--configuration-stays-pending={}", PENDING.join(",")),
        format!("--configuration-vanishes={VANISH}"),
    ];
    let line: Vec<&str> = ["--nodes=40"].into_iter().chain(faults.iter().map(String::as_str)).collect();
    let dev = Dev::start(&line, &[]).await;
    let done = dev.session("night", "reboot", &["-o", "json"]).await.expect(3).json();
    assert_eq!(ended(&done), (32, 8, 0));
    let step = || "compute/await_configuration".to_owned();
    let expected = [
        (step(), "configuration_failed".to_owned(), 4),
        (step(), "configuration_missing".to_owned(), 1),
        (step(), "configuration_timeout".to_owned(), 3),
    ];
    assert_eq!(errors(&done), expected);

    // The administrator repairs nodes and CFS, and the narrow retry waits for configuration again, and nothing else.
    let cfs = crate::support::machine::client(&dev.machine.url, &["v3"]);
    for xname in FAIL.iter().chain(&PENDING).chain([&VANISH]) {
        dev.machine.change(xname, json!({"faults": []})).await;
        let component = json!({"id": xname, "enabled": true, "desired_config": "compute-config", "state": [],
            "error_count": 0, "tags": {}});
        let _: Value = cfs.put(&["components", xname], &component).await.unwrap();
    }
    let orders = dev.machine.orders().await.len();
    dev.bosun(&["session", "retry", "night"]).await.expect(0);
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (40, 0, 0));
    assert_eq!(dev.machine.orders().await.len(), orders, "no reboot");
}
