//! The OpenAPI document: it is what the server does, no more and no less.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{
    app::fast,
    document::{document, fault, validator},
    server::Server,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_operation_is_there_and_no_other() {
    let server = Server::new(fast(2)).await;
    let document = document(&server.url).await;
    assert_eq!(document["openapi"], "3.1.0");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (template, item) in document["paths"].as_object().unwrap() {
        let path = template.replace("{name}", "nobody").replace("{id}", "nobody");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let documented = item.get(method.to_ascii_lowercase()).is_some();
            let ask =
                http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", server.url));
            // Wrong in every way, so that nothing is done by it.
            let answer = ask.header("content-type", "text/plain").body("x").send().await.unwrap();
            assert_eq!(answer.status() != 405, documented, "{method} {template}: {}", answer.status());
            if !documented {
                let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
                assert!(
                    allow.split(',').all(|one| one == "HEAD" || item.get(one.to_ascii_lowercase()).is_some()),
                    "{allow}"
                );
            }
        }
    }
    // The same behind the gateway.
    for path in ["/apis/bos/v2/sessions", "/apis/bos/openapi.json", "/apis/bos/ui/"] {
        let answer = http.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

/// A path that goes to the router by another way than its declaration would not be documented. The pages for people
/// and what Prometheus reads are no part of the APIs.
#[test]
fn only_declarations_become_routes() {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("ui") || path.ends_with("metric.rs") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if fs::read_to_string(&path).unwrap().contains(".route(") {
                found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"), &mut found);
    assert_eq!(found, ["endpoint.rs"], "declare an Endpoint instead: src/api/mod.rs says how");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_documented_is_found() {
    let server = Server::new(fast(2)).await;
    let document = document(&server.url).await;
    let json = "application/json";
    let fault = |method: Method, path: &str, status, media: &str, text: &str| {
        fault(document, &method, path, status, media, "", text).unwrap_or_default()
    };
    let health = r#"{"apiStatus": "ok", "dbStatus": "ok"}"#;
    assert_eq!(fault(Method::GET, "/apis/bos/v2/healthz", 200, json, health), "");
    assert!(fault(Method::GET, "/v2/healthz", 201, json, health).contains("status 201"));
    assert!(fault(Method::GET, "/v2/healthz", 200, "text/plain", health).contains("media type"));
    assert!(fault(Method::GET, "/v2/healthz?x=1", 200, json, health).contains("'x'"));
    assert!(fault(Method::GET, "/v2/healthz", 200, json, r#"{"apiStatus": "ok"}"#).contains("dbStatus"));
    let more = r#"{"apiStatus": "ok", "dbStatus": "ok", "more": 1}"#;
    assert!(fault(Method::GET, "/v2/healthz", 200, json, more).contains("more"));
    assert!(fault(Method::PUT, "/v2/healthz", 200, json, "").contains("method"));
    assert!(fault(Method::GET, "/v2/health", 200, json, health).contains("path"));
    assert!(fault(Method::DELETE, "/v2/sessions/s", 204, "", "x").contains("a body"));
    let sessions = &document["paths"]["/v2/sessions"]["post"]["requestBody"]["content"][json]["schema"];
    let taken = |body: &Value| validator(document, sessions).is_valid(body);
    assert!(taken(&json!({"operation": "boot", "template_name": "t", "limit": null})));
    for wrong in [
        json!({"operation": "configure", "template_name": "t"}),
        json!({"operation": "boot", "template_name": "-t"}),
        json!({"operation": "boot", "template_name": "t", "stage": 1}),
        json!({"operation": "boot"}),
    ] {
        assert!(!taken(&wrong), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_nothing_from_elsewhere() {
    let server = Server::new(fast(2)).await;
    let behind_gateway = reqwest::get(format!("{}/apis/bos/ui", server.url)).await.unwrap();
    assert!(behind_gateway.url().path().ends_with("/apis/bos/ui/") && behind_gateway.status().is_success());
    let answer = reqwest::get(format!("{}/openapi", server.url)).await.unwrap();
    assert!(answer.url().path().ends_with("/openapi/"));
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    let page = answer.text().await.unwrap();
    for elsewhere in ["<script", " style=", "\"http", "\"//", "javascript:", "@import"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let document = document(&server.url).await;
    for item in document["paths"].as_object().unwrap().values() {
        for operation in
            item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str())
        {
            assert!(page.contains(&format!("id=\"{operation}\"")), "{operation}");
        }
    }
    let style = reqwest::get(format!("{}/openapi/style.css", server.url)).await.unwrap();
    assert!(style.headers()["content-type"].to_str().unwrap().starts_with("text/css"));
}

/// Longer than a client of ours could ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_too_long_is_answered_as_documented() {
    let server = Server::new(fast(2)).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let query = "a".repeat(66_000);
    let request = format!("GET /bosun/v1/components?status={query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 414 "), "{line}");
    let document = document(&server.url).await;
    let documented = &document["paths"]["/bosun/v1/components"]["get"]["responses"]["414"];
    assert_eq!(documented["description"], "The URL is too long");
}
