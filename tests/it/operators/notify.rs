//! Whoever does not look is told: by a webhook, at least once, across restarts.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{dev::Dev, process::until};

#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    down: bool,
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
