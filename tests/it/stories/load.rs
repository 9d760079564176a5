//! Story 9: a machine of more than 10,000 nodes, and services that take only so much at once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    dev::{Dev, count, ended},
    machine::Request,
};

/// PCS, BSS and CFS as they are on a real system, and an HSM that needs its time: nodes boot for longer than it does, or
/// nobody would see them leave Ready.
const MACHINE: [&str; 8] = [
    "--boot=8s",
    "--nodes=10800",
    "--initially=off",
    "--no-reporter",
    "--pcs-max-xnames=2500",
    "--bss-max-hosts=2000",
    "--cfs-page-size=1000",
    "--fault=hsm:POST /State/Components:slow:delay-ms=2000",
];
const NODES: i64 = 10_800;
/// What no request may exceed.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Creates a session of all nodes, whose nodes may take their time on a busy host, and waits for its end.
async fn run(dev: &Dev, name: &str, operation: &str) -> Value {
    dev.begin(name, operation).await;
    if operation == "boot" {
        let longer = ["--timeout", "await_boot=10m", "--timeout", "await_configuration=10m"];
        dev.bosun(&[&["session", "set", name][..], &longer].concat()).await.expect(0);
    }
    dev.bosun(&["session", "wait", name]).await;
    dev.show(name).await
}

/// How often each kind of request was made, and the most that one of them named and weighed.
fn tally(requests: &[Request]) -> BTreeMap<String, (usize, usize, usize)> {
    let mut kinds: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for request in requests {
        let path = request.path.split('?').next().unwrap_or_default();
        let numbered = path.rsplit_once("/transitions/").is_some();
        let path = if numbered { "/transitions/{}" } else { path };
        let kind = kinds.entry(format!("{} {} {path}", request.service, request.method)).or_default();
        *kind = (kind.0 + 1, kind.1.max(request.xnames), kind.2.max(request.bytes));
    }
    kinds
}

fn most_named(requests: &[Request], method: &str, path: &str) -> usize {
    let of = requests.iter().filter(|request| request.method == method && request.path.contains(path));
    of.map(|request| request.xnames).max().unwrap_or_else(|| panic!("nobody asked {method} {path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_nodes_under_the_limits_of_their_services() {
    let dev = Dev::start(&MACHINE, &["--service-patience=5s"]).await;
    dev.machine.forget_requests().await;
    let done = run(&dev, "boot", "boot").await;
    assert_eq!(ended(&done), (NODES, 0, 0), "{}", done["errors"]);

    let requests = dev.machine.requests().await;
    for (kind, (times, xnames, bytes)) in tally(&requests) {
        eprintln!("{kind}: {times} times, at most {xnames} components and {bytes} bytes");
    }
    let refused: Vec<_> = requests.iter().filter(|request| request.status >= 400).collect();
    assert!(refused.is_empty(), "no limit was exceeded, and yet: {refused:?}");
    assert!(most_named(&requests, "POST", "/transitions") <= 2_500);
    assert!(most_named(&requests, "PUT", "/bootparameters") <= 2_000);
    assert!(most_named(&requests, "PATCH", "/v3/components") <= 1_000);
    let heaviest = requests.iter().map(|request| request.bytes).max().unwrap();
    assert!(heaviest <= BODY_BYTES_MAX, "a request of {heaviest} bytes");
    // A poll of HSM names up to 8,000; one of CFS reads pages of 1,000; nobody is asked node by node.
    let of = |path: &str| -> Vec<&Request> {
        requests.iter().filter(|r| r.method == "GET" && r.path.contains(path)).collect()
    };
    let pages = of("/v3/components");
    let polls = pages.iter().filter(|request| !request.path.contains("after_id=")).count();
    assert!(pages.len() <= polls * 11, "{} pages in {polls} polls of CFS", pages.len());
    let singles =
        requests.iter().filter(|r| r.path.contains("/components/x") || r.path.contains("/Components/x"));
    assert_eq!(singles.count(), 0, "nobody is asked alone");
    assert!(requests.len() < 1_000, "{} requests for {NODES} nodes", requests.len());

    // PCS takes one call, and then none any more: more fail than a command line can name.
    dev.machine.fault(serde_json::json!({
        "service": "pcs", "method": "POST", "path_contains": "/transitions", "kind": "status", "status": 503, "skip": 1,
    })).await;
    let done = run(&dev, "off", "shutdown").await;
    let (succeeded, failed, _) = ended(&done);
    assert!(succeeded > 0 && failed > 8_000, "{succeeded} succeeded, {failed} failed");
    let comma: i64 = sqlx::query_scalar(
        "select length(string_agg(xname, ',' order by xname))::int8 from failed_components where session = 'off'",
    )
    .fetch_one(&dev.pool)
    .await
    .unwrap();
    assert!(comma > 100_000, "{comma} bytes");
    let retry = done["retry_command"].as_str().unwrap();
    assert_eq!(retry, "bosun session create --template demo --operation shutdown --limit @failed:off");
    dev.machine.lift_faults().await;
    let words: Vec<&str> =
        retry.split(' ').skip(1).chain(["--name", "again", "--wait", "-o", "json"]).collect();
    let again = dev.bosun(&words).await.expect(0).json();
    assert_eq!(ended(&again), (failed, 0, 0));
    assert!(dev.machine.nodes().await.iter().all(|node| node["powered"] == false));
}

/// Services that take less than is known of them: calls are halved until they are taken, and each that was not is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_a_service_is_halved() {
    let machine = ["--nodes=2400", "--initially=off", "--pcs-max-xnames=700", "--bss-max-hosts=600"];
    let dev = Dev::start(&machine, &[]).await;
    dev.machine.forget_requests().await;
    let done = run(&dev, "boot", "boot").await;
    assert_eq!(ended(&done), (2_400, 0, 0), "{}", done["errors"]);
    let halved: Vec<(String, String, i32)> = sqlx::query_as(
        "select verb, error, max(components)::int4 from effects
          where session = 'boot' and state = 'not_taken' group by verb, error order by verb",
    )
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    let words = "too many components in one call";
    let of = |verb: &str| halved.iter().find(|row| row.0 == verb && row.1.contains(words));
    for (verb, limit) in [("power_on", 700), ("set_boot_parameters", 600)] {
        assert!(of(verb).is_some_and(|row| row.2 > limit), "{verb} in {halved:?}");
    }
    let requests = dev.machine.requests().await;
    for (method, path, limit) in [("POST", "/transitions", 700), ("PUT", "/bootparameters", 600)] {
        let of = |good: bool| {
            let of = requests.iter().filter(move |r| r.method == method && r.path.contains(path));
            of.filter(move |r| (r.status < 400) == good).map(|r| r.xnames)
        };
        assert!(of(true).max().unwrap() <= limit);
        assert!(of(false).all(|xnames| xnames > limit), "only what was too much was refused");
        assert!(of(false).count() <= 8, "{path} was tried in vain {} times", of(false).count());
    }
    // Nobody was switched on twice for it.
    assert!(dev.machine.times_on().await.values().all(|times| *times == 1));
    assert_eq!(count(&done, "failed"), 0);
}
