//! A scripted service on the loopback, which remembers what it was asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, Response, StatusCode},
};
use bosun::clients::{Endpoints, S3Endpoint, ServiceSettings, Services};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the service was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    /// Path and query, decoded.
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

/// What it answers.
pub enum Answer {
    Json(u16, Value),
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    Never,
}

/// A service and its memory.
pub struct Loopback {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Loopback {
    /// Starts a service that answers so.
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (memory, answer) = (asked.clone(), Arc::new(answer));
        let handle = move |request: Request| {
            let (memory, answer) = (memory.clone(), answer.clone());
            async move {
                let request = read(request).await;
                let answer = answer(&request);
                memory.lock().unwrap().push(request);
                match answer {
                    Answer::Json(status, body) => respond(
                        status,
                        vec![("content-type", "application/json".to_owned())],
                        body.to_string().into_bytes(),
                    ),
                    Answer::With(status, headers, body) => respond(status, headers, body),
                    Answer::Never => std::future::pending().await,
                }
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
        Self { url, asked }
    }

    /// All it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Clients that take this service for every service there is.
    pub fn services(&self) -> Services {
        Services::new(&self.endpoints(), settings()).unwrap()
    }

    /// This service under every name.
    pub fn endpoints(&self) -> Endpoints {
        endpoints(&self.url)
    }
}

/// One URL for all services.
pub fn endpoints(url: &str) -> Endpoints {
    let root = || url.to_owned();
    Endpoints {
        hsm: root(),
        pcs: root(),
        bss: root(),
        cfs: root(),
        ims: root(),
        tapms: root(),
        s3: S3Endpoint { url: root(), access_key: "key".to_owned(), secret_key: "secret".to_owned() },
        ca_file: None,
        token_file: None,
    }
}

/// PCS as it is, but short waits.
pub fn settings() -> ServiceSettings {
    ServiceSettings {
        write_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(8),
        ..ServiceSettings::default()
    }
}

/// An RFC 7807 refusal.
pub fn problem(status: u16, detail: &str) -> Answer {
    Answer::Json(
        status,
        json!({ "type": "about:blank", "title": "Sorry", "detail": detail, "status": status }),
    )
}

async fn read(request: Request) -> Asked {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Asked {
        method: head.method,
        path: head.uri.path_and_query().unwrap().as_str().replace("%2C", ",").replace("%3D", "="),
        authorization: header("authorization").unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

fn respond(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
