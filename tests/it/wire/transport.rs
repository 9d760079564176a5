//! What every client shares: which failures are repeated, and what each means for a write.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use axum::http::Method;
use bosun::{
    clients::{ClientError, ServiceSettings, Services},
    model::verb::CallError,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::loopback::{Answer, Loopback, endpoints, problem, settings};

async fn power_on(services: &Services) -> Result<String, CallError> {
    Ok(services.pcs.create_transition("On", 1, &["x1c0s0b0n0".to_owned()]).await?)
}

#[tokio::test]
async fn a_read_is_tried_again_and_a_write_is_not() {
    let count = AtomicUsize::new(0);
    let service = Loopback::start(move |asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::With(503, vec![("retry-after", "0".to_owned())], b"no healthy upstream".to_vec()),
        1 => problem(500, "failed to query DB."),
        2 => Answer::Json(200, json!({ "Components": [] })),
        _ if asked.method == Method::POST => problem(500, "oops"),
        _ => problem(404, "unexpected"),
    })
    .await;
    let services = service.services();
    assert_eq!(services.hsm.nodes().await.unwrap(), []);
    assert_eq!(service.asked().len(), 3);
    let error = power_on(&services).await.unwrap_err();
    assert_eq!(error, CallError::Lost { service: "pcs", text: "oops".to_owned() });
    assert_eq!(service.asked().len(), 4);
}

#[tokio::test]
async fn a_read_gives_up_after_a_few_tries() {
    let service = Loopback::start(|_| problem(503, "down")).await;
    let error = service.services().hsm.groups().await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { service: "hsm", .. }), "{error}");
    assert_eq!(service.asked().len(), 4);
}

#[tokio::test]
async fn a_read_refused_for_good_is_not_repeated() {
    let service = Loopback::start(|_| problem(400, "bad query param")).await;
    let error = service.services().hsm.groups().await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { status: 400, text, .. } if text == "bad query param"));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn each_status_of_a_write_says_whether_it_was_taken() {
    for (status, headers, body, expected) in [
        (429, vec![("retry-after", "7".to_owned())], "slow", "transient 7"),
        (503, vec![], "", "transient"),
        (401, vec![], "expired", "transient"),
        (413, vec![], "", "too large"),
        (500, vec![], "etcdserver: request is too large", "too large"),
        (500, vec![], "", "lost"),
        (502, vec![], "", "lost"),
        (504, vec![], "", "lost"),
        (400, vec![], "no", "rejected no"),
        (404, vec![], "404 page not found", "transient"),
        (302, vec![("location", "http://127.0.0.1:1/".to_owned())], "", "rejected status 302"),
        (200, vec![], "not json", "lost"),
    ] {
        let service =
            Loopback::start(move |_| Answer::With(status, headers.clone(), body.as_bytes().to_vec())).await;
        let said = match power_on(&service.services()).await.unwrap_err() {
            CallError::Transient { retry_after: Some(after), .. } => format!("transient {}", after.as_secs()),
            CallError::Transient { .. } => "transient".to_owned(),
            CallError::TooLarge => "too large".to_owned(),
            CallError::Rejected { text, .. } => format!("rejected {text}"),
            CallError::Lost { .. } => "lost".to_owned(),
        };
        assert_eq!(said, expected, "{status} {body}");
        assert_eq!(service.asked().len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_connection_that_never_was_carried_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let services = Services::new(&endpoints(&url), settings()).unwrap();
    let error = power_on(&services).await.unwrap_err();
    assert!(matches!(&error, CallError::Transient { service: "pcs", text, .. } if text.contains("refused")));
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_may_have_carried_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let mut requests = 0;
        // A write that breaks off, a read that breaks off, and the read's next try.
        for round in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 64 << 10];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "a request came");
            requests += 1;
            if round == 2 {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        requests
    });
    let services = Services::new(&endpoints(&url), settings()).unwrap();
    assert!(matches!(power_on(&services).await.unwrap_err(), CallError::Lost { .. }));
    assert_eq!(services.hsm.groups().await.unwrap(), []);
    assert_eq!(answering.await.unwrap(), 3);
}

#[tokio::test]
async fn a_write_never_outlives_its_timeout() {
    let service = Loopback::start(|_| Answer::Never).await;
    let settings = ServiceSettings { write_timeout: Duration::from_millis(300), ..settings() };
    let services = Services::new(&service.endpoints(), settings).unwrap();
    let begun = Instant::now();
    assert!(matches!(power_on(&services).await.unwrap_err(), CallError::Lost { .. }));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_write_that_never_had_its_turn_was_not_taken() {
    let service = Loopback::start(|_| Answer::Never).await;
    let settings = ServiceSettings { write_timeout: Duration::from_millis(300), ..settings() };
    let services = Services::new(&service.endpoints(), settings).unwrap();
    let calls = (0..5).map(|_| power_on(&services));
    let answers = futures_util::future::join_all(calls).await;
    let lost = answers.iter().filter(|answer| matches!(answer, Err(CallError::Lost { .. }))).count();
    let waited = answers.iter().filter(|answer| matches!(answer, Err(CallError::Transient { .. }))).count();
    assert_eq!((lost, waited), (4, 1));
    assert_eq!(service.asked().len(), 4);
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let service = Loopback::start(|_| Answer::With(200, vec![], vec![b' '; (64 << 20) + 1])).await;
    let error = service.services().hsm.groups().await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreadable { text, .. } if text.contains("64 MiB")), "{error}");
}

#[tokio::test]
async fn a_gateways_prefix_is_kept_and_its_token_sent() {
    let service = Loopback::start(|_| Answer::Json(200, json!([]))).await;
    let token_file = std::env::temp_dir().join(format!("bosun-token-{}", uuid::Uuid::new_v4()));
    fs::write(&token_file, "first\n").unwrap();
    let mut endpoints = service.endpoints();
    endpoints.hsm = format!("{}/apis/smd/", service.url);
    endpoints.pcs = format!("{}/apis/power-control/v1", service.url);
    endpoints.token_file = Some(token_file.clone());
    let services = Services::new(&endpoints, settings()).unwrap();
    services.hsm.groups().await.unwrap();
    let health = services.health().await;
    assert!(health.iter().any(|(service, answer)| *service == "pcs" && answer.is_ok()), "{health:?}");
    let asked = service.asked();
    assert_eq!(asked[0].path, "/apis/smd/hsm/v2/groups");
    assert!(asked.iter().any(|call| call.path == "/apis/power-control/v1/readiness"));
    assert_eq!(asked[0].authorization, "Bearer first");
    fs::write(&token_file, "second").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while service.asked().last().unwrap().authorization != "Bearer second" {
        assert!(Instant::now() < deadline, "the new token was never sent");
        services.hsm.groups().await.unwrap();
    }
    fs::remove_file(&token_file).unwrap();
    services.hsm.groups().await.unwrap();
    assert_eq!(service.asked().last().unwrap().authorization, "Bearer second", "a lost file changes nothing");
}

#[test]
fn settings_that_cannot_work_are_named() {
    for (url, words) in [("cray-smd", "is not a URL"), ("ftp://cray-smd", "must begin with http")] {
        let mut endpoints = endpoints("http://127.0.0.1:1");
        endpoints.hsm = url.to_owned();
        let error = Services::new(&endpoints, settings()).unwrap_err().to_string();
        assert!(error.contains("hsm") && error.contains(url) && error.contains(words), "{error}");
    }
    let mut endpoints = endpoints("http://127.0.0.1:1");
    endpoints.ca_file = Some("/does/not/exist".into());
    let error = Services::new(&endpoints, settings()).unwrap_err().to_string();
    assert!(error.contains("CA file '/does/not/exist'"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", endpoints("http://127.0.0.1:1")).contains("secret"));
}
