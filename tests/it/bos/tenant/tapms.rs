//! TAPMS down, slow, and of another mind than a moment ago.

use std::time::{Duration, Instant};

use bosun::sim::{FaultKind, Rule, Service};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{COMPONENTS, World};
use crate::support::server::TENANT_CACHE_TIME;

const SESSIONS: &str = "/v2/sessions";

fn fault(kind: FaultKind, delay: Duration) -> Rule {
    let delay_ms = u64::try_from(delay.as_millis()).ok();
    Rule { delay_ms, ..Rule::new(Service::Tapms, "GET", "/tenants/", kind) }
}

impl World {
    /// A session of blue's that is taken while HSM is down, and still waits when TAPMS is down as well.
    async fn waiting_session(&self, name: &str, operation: &str) {
        let machine = &self.server.machine;
        machine.set_fault(Rule::new(Service::Hsm, "GET", "/", FaultKind::Status));
        self.ok("blue", Method::POST, SESSIONS, Self::session(name, operation)).await;
        machine.set_fault(fault(FaultKind::Status, Duration::ZERO));
        // A pass of admission that begins now gets no further than TAPMS: four tries are one question.
        let (asked, start) = (self.questions(), Instant::now());
        while self.questions() < asked + 6 {
            assert!(start.elapsed() < Duration::from_secs(60), "admission does not ask TAPMS");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_everybodys_while_tapms_is_down() {
    let world = World::new().await;
    world.ok("blue", Method::PUT, "/v2/sessiontemplates/t", Some(world.server.template())).await;
    world.server.machine.set_fault(fault(FaultKind::Status, Duration::ZERO));
    // What was believed is not believed for long.
    world.until("blue", COMPONENTS, |status, _| status == 503).await;
    let before = world.records().await;
    let path = world.path(0);
    let change = || Some(json!({"error": "x"}));
    let requests = [
        (Method::GET, COMPONENTS, None),
        (Method::GET, &path, None),
        (Method::PATCH, &path, change()),
        (Method::PATCH, &path, Some(json!({"actual_state": {"bss_token": "t"}}))),
        (Method::PUT, &path, change()),
        (Method::DELETE, &path, None),
        (Method::PUT, COMPONENTS, Some(json!([{"id": world.xnames[0], "error": "x"}]))),
        (Method::PATCH, COMPONENTS, Some(json!([{"id": world.xnames[0], "error": "x"}]))),
        (Method::POST, "/v2/applystaged", Some(json!({"xnames": world.xnames}))),
        (Method::PUT, "/v2/sessiontemplates/u", Some(world.server.template())),
        (Method::POST, SESSIONS, World::session("s", "boot")),
    ];
    join_all(requests.into_iter().map(async |(method, path, body)| {
        let (title, detail) = world.refused("blue", method, path, body, 503).await;
        assert_eq!(title, "Service Unavailable");
        assert!(detail.contains("tapms"), "{detail}");
    }))
    .await;
    assert_eq!(world.records().await, before);
    // What needs no word of TAPMS goes on.
    assert_eq!(world.ok("blue", Method::GET, "/v2/sessiontemplates/t", None).await["tenant"], "blue");
    assert_eq!(world.ok("blue", Method::GET, SESSIONS, None).await, json!([]));
    world.server.machine.clear_faults();
    assert_eq!(world.nodes(&world.ok("blue", Method::GET, COMPONENTS, None).await), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_waits_for_tapms_and_asks_it_anew() {
    let world = World::new().await;
    world.ok("blue", Method::PUT, "/v2/sessiontemplates/t", Some(world.server.template())).await;
    world.waiting_session("waits", "shutdown").await;
    let waits = world.ok("blue", Method::GET, "/v2/sessions/waits", None).await;
    assert_eq!((&waits["status"]["status"], world.powered()), (&json!("pending"), vec![]));
    // When TAPMS is back it has another mind: what counts is what it says now.
    world.server.machine.set_tenant("blue", &world.xnames[1..2]);
    world.server.machine.clear_faults();
    let ended = world.ended("blue", "waits").await;
    assert_eq!((&ended["status"]["error"], &ended["components"]), (&Value::Null, &json!(world.xnames[1])));
    assert_eq!(world.powered(), [1]);
    // A tenant that is gone by then ends its sessions, untouched.
    world.waiting_session("late", "boot").await;
    world.server.machine.remove_tenant("blue");
    world.server.machine.clear_faults();
    let error = world.ended("blue", "late").await["status"]["error"].clone();
    assert!(error.as_str().unwrap().contains("no tenant 'blue'"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_believed_for_a_while_and_asked_for_once() {
    let world = World::new().await;
    let held = TENANT_CACHE_TIME / 2;
    world.server.machine.set_fault(fault(FaultKind::Slow, held));
    let before = world.questions();
    let begun = Instant::now();
    let asked = (0..40).map(|_| world.ok("blue", Method::GET, COMPONENTS, None));
    for list in join_all(asked).await {
        assert_eq!(world.nodes(&list), [0, 1]);
    }
    // Who came while the question was open shares one answer: the open one, or the next.
    let questions = world.questions() - before;
    assert!((1..=2).contains(&questions), "{questions} questions");
    assert!(begun.elapsed() >= held && begun.elapsed() < 20 * held, "{:?}", begun.elapsed());
    world.server.machine.clear_faults();

    // Node 1 goes from blue to red: soon seen, in both directions.
    world.server.machine.set_tenant("blue", &world.xnames[..1]);
    world.server.machine.set_tenant("red", &world.xnames[1..3]);
    world.until("blue", &world.path(1), |status, _| status == 404).await;
    world.until("red", &world.path(1), |status, _| status == 200).await;
    world.refused("blue", Method::PATCH, &world.path(1), Some(json!({"error": "x"})), 404).await;
    // A new tenant is known at once: that there is none is not remembered.
    assert_eq!(world.refused("green", Method::GET, COMPONENTS, None, 400).await.0, "Invalid tenant");
    world.server.machine.set_tenant("green", &world.xnames[3..]);
    assert_eq!(world.nodes(&world.ok("green", Method::GET, COMPONENTS, None).await), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tapms_that_hangs_is_given_up() {
    let world = World::new().await;
    world.server.machine.set_fault(fault(FaultKind::Timeout, Duration::from_secs(60)));
    let begun = Instant::now();
    let requests = [COMPONENTS, "/v2/components/x"].map(async |path| {
        world.refused("blue", Method::GET, path, None, 503).await;
    });
    join_all(requests).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Nobody's requests never wait for it.
    let begun = Instant::now();
    world.records().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
