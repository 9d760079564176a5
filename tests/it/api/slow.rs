//! Slow and hostile clients on real sockets, and who is told to have asked.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{app::fast, server::Server};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_is_not_waited_for() {
    let server = Server::new(fast(2)).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = "POST /v2/sessions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = [0; 1_024];
    let read = tokio::time::timeout(LONG, slow.read(&mut bytes)).await.expect("it is answered").unwrap();
    let answer = String::from_utf8_lossy(&bytes[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // What was promised and never came makes the connection useless.
    let closed = tokio::time::timeout(LONG, slow.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused() {
    let server = Server::new(fast(2)).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x-header: y\r\n".repeat(1_000));
    for (nonsense, expected) in [
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/9.9\r\n\r\n", "HTTP/1.1"),
        (long.as_str(), "HTTP/1.1 414"),
        (many.as_str(), "HTTP/1.1 431"),
        ("POST /v2/sessions HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", "HTTP/1.1 400"),
        ("POST /v2/sessions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 4"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut bytes = [0; 1_024];
        let read =
            tokio::time::timeout(LONG, stream.read(&mut bytes)).await.expect("it is answered").unwrap();
        let answer = String::from_utf8_lossy(&bytes[..read]);
        assert!(answer.is_empty() || answer.starts_with(expected), "{}: {answer}", &nonsense[..20]);
    }
    assert_eq!(server.ask(Method::GET, "/v2/healthz", None).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_subject_is_kept_with_what_it_asked_for() {
    let server = Server::new(fast(2)).await;
    let http = reqwest::Client::new();
    let ask = |path: &str, body: serde_json::Value| {
        // {"sub":"operator-1"}
        let token = "e30.eyJzdWIiOiJvcGVyYXRvci0xIn0.x";
        http.post(format!("{}{path}", server.url)).bearer_auth(token).json(&body).send()
    };
    let body = json!({"name": "s", "template": "demo", "operation": "configure"});
    assert_eq!(ask("/bosun/v1/sessions", body).await.unwrap().status(), StatusCode::CREATED);
    let sessions = server.ok(Method::GET, "/bosun/v1/sessions", None).await;
    assert_eq!(sessions[0]["actor"], "operator-1 (unverified)");
    let asked = ask("/bosun/v1/sessions/s/commands", json!({"kind": "cancel"})).await.unwrap().status();
    // It may have ended by now.
    if asked == StatusCode::ACCEPTED {
        let commands = server.ok(Method::GET, "/bosun/v1/sessions/s/commands", None).await;
        assert_eq!(commands[0]["actor"], "operator-1 (unverified)");
    }
}
