//! `boot` and `configure`: what is as wanted is left alone.

use serde_json::json;

use crate::support::dev::{Dev, ended};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_as_wanted_is_left_alone() {
    let dev = Dev::start(&["--nodes=20", "--initially=off"], &[]).await;
    let first = dev.session("first", "boot", &["-o", "json"]).await.expect(0).json();
    assert_eq!((ended(&first), first["outcome"].as_str()), ((20, 0, 0), Some("succeeded")));
    let orders = dev.machine.orders().await.len();

    dev.machine.forget_requests().await;
    let second = dev.session("second", "boot", &["-o", "json"]).await.expect(0).json();
    assert_eq!(second["outcome"], "nothing_to_do", "{second:#}");
    assert_eq!(ended(&second), (20, 0, 0));
    let changing: Vec<_> =
        dev.machine.requests().await.into_iter().filter(|request| request.changes()).collect();
    assert!(changing.is_empty(), "{changing:?}");

    // Another configuration: boot and configure bring it to nodes that stay up.
    let cfs = crate::support::machine::client(&dev.machine.url, &["v3"]);
    let layers = json!({"layers": [{"name": "l", "clone_url": "https://vcs/other.git", "playbook": "site.yml",
        "commit": "0123456789012345678901234567890123456789"}]});
    let mut template = dev.template("image-a").await;
    for (configuration, operation) in [("next-config", "boot"), ("third-config", "configure")] {
        let _: serde_json::Value = cfs.put(&["configurations", configuration], &layers).await.unwrap();
        template["cfs"]["configuration"] = json!(configuration);
        dev.apply("demo", &template).await;
        let done = dev.session(configuration, operation, &["-o", "json"]).await.expect(0).json();
        assert_eq!((ended(&done), done["outcome"].as_str()), ((20, 0, 0), Some("succeeded")), "{done:#}");
        let component: serde_json::Value = cfs.get(&["components", "x1000c0s0b0n0"], &[]).await.unwrap();
        assert_eq!(
            (component["desired_config"].as_str(), component["configuration_status"].as_str()),
            (Some(configuration), Some("configured"))
        );
    }
    assert_eq!(dev.machine.orders().await.len(), orders, "no power action");

    // Another image: those nodes are power-cycled.
    let mut template = dev.template("image-b").await;
    template["cfs"]["configuration"] = json!("third-config");
    dev.apply("demo", &template).await;
    let done =
        dev.session("image", "boot", &["--limit", "x1000c0s0b0n0", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (1, 0, 0));
    assert_eq!(dev.machine.ordered_on(&["x1000c0s0b0n0", "x1000c0s0b0n1"]).await, [2, 1]);
}

/// A node that is on while nobody knows what it runs is not rebooted by `boot`, unless that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_unknown_artifacts_is_left_unless_asked() {
    let dev = Dev::start(&["--nodes=8", "--no-reporter", "--boot=5s"], &[]).await;
    let left = dev.session("left", "boot", &["-o", "json"]).await.expect(4).json();
    assert_eq!(ended(&left), (0, 0, 8));
    assert!(dev.machine.orders().await.is_empty());
    let asked = dev.session("asked", "boot", &["--unknown", "reboot", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&asked), (8, 0, 0));
    assert_eq!(dev.machine.ordered_on(&["x1000c0s0b0n0"]).await, [1]);
}
