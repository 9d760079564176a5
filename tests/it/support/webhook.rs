//! A web service of a site, over real HTTP: keeps what it was told, and answers as its test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub method: String,
    pub path: String,
    pub key: String,
    pub authorization: String,
    pub body: Value,
}

impl Told {
    /// Whom it speaks of.
    pub fn components(&self) -> Vec<&str> {
        self.body["components"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    Says(u16, Value),
    /// Does what it was asked for, and never answers.
    Silence,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    told: Arc<Mutex<Vec<Told>>>,
    script: Arc<Mutex<VecDeque<Reply>>>,
}

/// The service.
pub struct Webhook {
    pub url: String,
    kept: Kept,
}

impl Webhook {
    /// Answers as `script` says, then 200 to everything.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let kept = Kept { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Kept::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, kept }
    }

    /// What it was told, in order.
    pub fn told(&self) -> Vec<Told> {
        self.kept.told.lock().unwrap().clone()
    }

    /// What it was told at a path.
    pub fn told_at(&self, path: &str) -> Vec<Told> {
        self.told().into_iter().filter(|told| told.path == path).collect()
    }
}

async fn hear(
    State(kept): State<Kept>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Json<Value>>,
) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    kept.told.lock().unwrap().push(Told {
        method: method.to_string(),
        path: uri.path().to_owned(),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: body.map_or(Value::Null, |Json(body)| body),
    });
    let reply = kept.script.lock().unwrap().pop_front();
    match reply.unwrap_or(Reply::Says(200, json!({}))) {
        Reply::Says(status, body) => (StatusCode::from_u16(status).unwrap(), Json(body)).into_response(),
        Reply::Silence => std::future::pending().await,
    }
}
