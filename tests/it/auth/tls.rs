//! TLS from files, which change.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Certificate;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::support::{app::fast, process::Scratch, server::Server};

const FIRST: [&str; 2] = [include_str!("first.pem"), include_str!("first.key.pem")];
const SECOND: [&str; 2] = [include_str!("second.pem"), include_str!("second.key.pem")];

fn put(directory: &Path, [certificate, key]: [&str; 2]) {
    std::fs::write(directory.join("tls.crt"), certificate).unwrap();
    std::fs::write(directory.join("tls.key"), key).unwrap();
}

/// A client that trusts one certificate only, and keeps no connection.
fn client(certificate: &str) -> reqwest::Client {
    let trusted = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([trusted]).pool_max_idle_per_host(0);
    builder.timeout(Duration::from_secs(10)).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_served_and_a_new_one_when_it_comes() {
    let directory = Scratch::new();
    put(directory.path(), FIRST);
    let server = Server::with(fast(1), |settings| {
        settings.auth.tls_certificate = Some(directory.path().join("tls.crt"));
        settings.auth.tls_key = Some(directory.path().join("tls.key"));
    })
    .await;
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let url = format!("{}/v2/version", server.url);
    let (old, new) = (client(FIRST[0]), client(SECOND[0]));
    let version: Value = old.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(version["major"], "2");
    new.get(&url).send().await.unwrap_err();
    // Whoever speaks no TLS, or nothing at all, holds up nobody.
    let address = server.url.trim_start_matches("https://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    reqwest::get(format!("http://{address}/v2/version")).await.unwrap_err();
    assert!(old.get(&url).send().await.unwrap().status().is_success());

    // A certificate without its key changes nothing; with it, it counts for new connections.
    std::fs::write(directory.path().join("tls.crt"), SECOND[0]).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(old.get(&url).send().await.unwrap().status().is_success());
    put(directory.path(), SECOND);
    let start = Instant::now();
    while new.get(&url).send().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    old.get(&url).send().await.unwrap_err();
    // A handshake that never begins is given up.
    let mut last = silent.pop().unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(20), last.read(&mut [0; 8])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}
