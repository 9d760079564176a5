//! Whoever does not look is told: by a webhook, at least once, across restarts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bosun::{db, model::session::SessionId};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    dev::{Dev, count},
    process::until,
};

#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    down: bool,
    /// How long each answer takes.
    slow: Duration,
    refused: usize,
    calls: Vec<(Option<String>, Bytes)>,
}

impl Inbox {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let router = Router::new().route("/told", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn told(&self) -> Vec<Value> {
        self.0.lock().unwrap().calls.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let slow = inbox.0.lock().unwrap().slow;
    tokio::time::sleep(slow).await;
    let mut kept = inbox.0.lock().unwrap();
    if kept.down {
        kept.refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let signature = headers.get("bosun-signature").map(|value| value.to_str().unwrap().to_owned());
    kept.calls.push((signature, body));
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_is_told_though_nobody_listened_at_first() {
    let inbox = Inbox::default();
    let url = inbox.serve().await;
    inbox.0.lock().unwrap().down = true;
    let secret = std::env::temp_dir().join(format!("bosun-secret-{}", std::process::id()));
    std::fs::write(&secret, "hush\n").unwrap();
    let told = [format!("--webhook-url={url}"), format!("--webhook-secret-file={}", secret.display())];
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let mut dev = Dev::start(&["--nodes=4", "--fail-power-off=x1000c0s0b0n0"], &told).await;
    dev.session("night", "shutdown", &[]).await.expect(3);
    until("a first try", || async { (inbox.0.lock().unwrap().refused > 0).then_some(()) }).await;
    assert_eq!(inbox.told(), Vec::<Value>::new());
    dev.stop().await;
    inbox.0.lock().unwrap().down = false;
    dev.restart_with(&told).await;
    let told = until("the news", || async { inbox.told().into_iter().next() }).await;
    assert_eq!(
        (&told["kind"], &told["session"], &told["outcome"]),
        (&"ended".into(), &"night".into(), &"partial".into())
    );
    assert_eq!((&told["succeeded"], &told["failed"]), (&3.into(), &1.into()), "{told}");
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("--operation shutdown --limit x1000c0s0b0n0"), "{text}");
    let (signature, body) = inbox.0.lock().unwrap().calls[0].clone();
    assert_eq!(signature.unwrap(), signed(b"hush", &body));
    std::fs::remove_file(secret).unwrap();
}

/// Whoever serves tells; each message once, though two serve, and though the receiver takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn two_who_serve_tell_each_message_once() {
    let inbox = Inbox::default();
    let told = format!("--webhook-url={}", inbox.serve().await);
    // Together longer than the pause after which something is tried again.
    inbox.0.lock().unwrap().slow = Duration::from_millis(700);
    let dev = Dev::start(&["--nodes=16"], &[&told]).await;
    let _replica = dev.replica_with("second", &[&told]).await;
    let names: Vec<String> = (0..12).map(|number| format!("night-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let limit = format!("x1000c0s{}b{}n{}", number / 4, number / 2 % 2, number % 2);
        let line = ["session", "create", "--template", "demo", "--operation", "shutdown", "--limit", &limit];
        dev.bosun(&[&line[..], &["--name", name]].concat()).await.expect(0);
    }
    let open = "select count(*) from notification where done_at is null";
    until("all to be told", || async {
        let open: i64 = sqlx::query_scalar(open).fetch_one(&dev.pool).await.unwrap();
        (open == 0 && inbox.told().len() >= names.len()).then_some(())
    })
    .await;
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    for one in inbox.told() {
        assert_eq!((&one["kind"], &one["outcome"]), (&json!("ended"), &json!("succeeded")));
        *times.entry(count(&one, "id")).or_default() += 1;
    }
    assert_eq!(times.len(), names.len());
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// Who waits for an operator is told of with the next command, and so is whatever takes too long.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_an_operator_is_told() {
    let inbox = Inbox::default();
    let told = format!("--webhook-url={}", inbox.serve().await);
    let machine = ["--nodes=32", "--boot=1s", "--fail-power-off=x1000c0s0b0n0"];
    let mut dev = Dev::start(&machine, &[&told]).await;
    let news = async |kind: &str, session: &str| {
        let found = || async {
            let of = |one: &Value| one["kind"] == kind && one["session"] == session;
            inbox.told().into_iter().find(of)
        };
        until(&format!("'{kind}' of {session}"), found).await
    };
    // Halted: one failure is too many.
    let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--name", "careful"];
    let careful = ["--halt-on-failures=1", "--max-unavailable=1", "--limit=x1000c0s0"];
    dev.bosun(&[&line[..], &careful].concat()).await.expect(0);
    let halted = news("halted", "careful").await;
    let text = halted["text"].as_str().unwrap();
    assert!(text.contains("1 failed, and 1 are too many to go on"), "{text}");
    assert_eq!(halted["next_command"], "bosun session show careful");
    dev.bosun(&["session", "cancel", "careful"]).await.expect(0);
    assert_eq!(news("ended", "careful").await["outcome"], "cancelled");

    // Stuck: a worker met what it does not know.
    let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--name", "lost"];
    dev.bosun(&[&line[..], &["--limit=x1000c0s1"]].concat()).await.expect(0);
    dev.bosun(&["session", "pause", "lost"]).await.expect(0);
    let id = SessionId(count(&dev.show("lost").await, "id"));
    until("nobody drives it", || async {
        let mut conn = db::acquire(&dev.pool).await.unwrap();
        db::session::park(&mut conn, &id, "somebody looks").await.unwrap().then_some(())
    })
    .await;
    let stuck = news("stuck", "lost").await;
    assert!(stuck["text"].as_str().unwrap().contains("is stuck; somebody looks"), "{stuck}");
    dev.bosun(&["session", "cancel", "lost"]).await.expect(0);

    // Overdue: what used to take a tenth of a second takes for ever.
    let text =
        "insert into verb_time (session_id, verb, bucket, components) values (1, 'await_boot', 53, 32)";
    sqlx::query(text).execute(&dev.pool).await.unwrap();
    dev.machine.change("x1000c0s2b0n0", json!({"faults": ["never_boots"]})).await;
    dev.bosun(&[
        "session",
        "create",
        "--template",
        "demo",
        "--operation",
        "reboot",
        "--name",
        "late",
        "--limit=x1000c0s2",
    ])
    .await
    .expect(0);
    dev.bosun(&["session", "set", "late", "--timeout", "await_boot=10m"]).await.expect(0);
    dev.step("late", "compute/await_boot", |step| step["succeeded"] == 3).await;
    // Looked for once a minute, and when somebody begins to serve.
    dev.stop().await;
    dev.restart_with(&[&told]).await;
    let overdue = news("overdue", "late").await;
    let text = overdue["text"].as_str().unwrap();
    assert!(text.contains("compute/await_boot longer than 99 of 100 were before"), "{text}");
    dev.bosun(&["session", "cancel", "late", "--now"]).await.expect(0);
}

/// HMAC-SHA256 (RFC 2104), written out: what a receiver computes.
fn signed(secret: &[u8], body: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut block = [0_u8; 64];
    block[..secret.len()].copy_from_slice(secret);
    let keyed = |mask: u8| -> Vec<u8> { block.iter().map(|byte| byte ^ mask).collect() };
    let inner = Sha256::digest([keyed(0x36), body.to_vec()].concat());
    let tag = Sha256::digest([keyed(0x5c), inner.to_vec()].concat());
    format!("sha256={}", tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
