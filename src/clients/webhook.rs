//! Web services of a site's own, as its workflows name them.
//!
//! Their URLs come from workflows, so there is no root and no path of ours. They are never shown the token of the
//! services' gateway: a step names its own, which is read for every request and appears in no log and no error. A call is
//! never repeated here, and neither is a question: the engine asks again anyway.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    ClientError, bearer,
    http::{Kind, broken, refusal, retry_after, said},
};
use crate::model::{
    metric::{self, Tally},
    site::{self, Secret},
};

const SERVICE: &str = "webhook";
/// Most requests at once, over all steps of a worker.
const REQUESTS_MAX: usize = 8;
/// Most bytes of an answer: it may name 100,000 components and why each failed.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The site's services.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    requests: Semaphore,
    timeout: Duration,
    tally: Arc<Tally>,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a, B> {
    /// How.
    pub method: site::Method,
    /// Where.
    pub url: &'a site::Url,
    /// Where the bearer token is.
    pub token: Option<&'a Secret>,
    /// What makes two calls the same one (`Idempotency-Key`).
    pub key: Option<&'a str>,
    /// JSON; not sent with GET.
    pub body: &'a B,
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The HTTP status.
    pub status: u16,
    /// Its words, where they are not JSON.
    pub text: String,
    /// The body, where it is JSON.
    pub document: Option<Value>,
}

impl Heard {
    /// Whether the status is 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Webhook {
    /// Over an existing transport; `timeout` is for each request.
    pub(super) fn new(client: reqwest::Client, timeout: Duration, tally: Arc<Tally>) -> Self {
        Self { client, requests: Semaphore::new(REQUESTS_MAX), timeout, tally }
    }

    /// Calls. A refusal (4xx) is heard, not an error: it may name components.
    ///
    /// # Errors
    /// Each says whether the call may have been taken.
    pub async fn call(&self, message: Message<'_, impl Serialize>) -> Result<Heard, ClientError> {
        let (method, url) = (message.method, message.url);
        self.called(message).await.map_err(|error| named(error, method, url))
    }

    async fn called(&self, message: Message<'_, impl Serialize>) -> Result<Heard, ClientError> {
        let (heard, asked_to_wait) = self.send(Kind::Write, message).await?;
        match heard.status {
            200..300 => Ok(heard),
            // Said by whatever stands before the service, or the URL is wrong: nothing about components.
            status @ (404 | 405) => Err(ClientError::Unavailable {
                service: SERVICE,
                text: format!("status {status}: there is no such service behind its URL; check the workflow"),
                retry_after: None,
            }),
            status => match refusal(SERVICE, Kind::Write, code(status), asked_to_wait, heard.text.clone()) {
                ClientError::Refused { .. } => Ok(heard),
                error => Err(error),
            },
        }
    }

    /// Asks. Any status is an answer, but for those that say that it was not asked at all.
    ///
    /// # Errors
    /// Nothing could be learnt.
    pub async fn ask(&self, message: Message<'_, impl Serialize>) -> Result<Heard, ClientError> {
        let (method, url) = (message.method, message.url);
        self.asked(message).await.map_err(|error| named(error, method, url))
    }

    async fn asked(&self, message: Message<'_, impl Serialize>) -> Result<Heard, ClientError> {
        let (heard, asked_to_wait) = self.send(Kind::Read, message).await?;
        match heard.status {
            401 | 403 | 408 | 429 => {
                Err(refusal(SERVICE, Kind::Read, code(heard.status), asked_to_wait, heard.text))
            }
            _ => Ok(heard),
        }
    }

    async fn send(
        &self,
        kind: Kind,
        message: Message<'_, impl Serialize>,
    ) -> Result<(Heard, Option<Duration>), ClientError> {
        let asked = Instant::now();
        let turn = tokio::time::timeout(self.timeout / 2, self.requests.acquire()).await;
        let _turn = turn.map_err(|_| unavailable("our other requests took too long".to_owned()))?;
        let method = match message.method {
            site::Method::Get => Method::GET,
            site::Method::Post => Method::POST,
            site::Method::Put => Method::PUT,
            site::Method::Patch => Method::PATCH,
            site::Method::Delete => Method::DELETE,
        };
        tracing::debug!(service = SERVICE, %method, url = %message.url, "call");
        let left = self.timeout.saturating_sub(asked.elapsed());
        let mut request = self.client.request(method.clone(), message.url.as_str()).timeout(left);
        if let Some(secret) = message.token {
            request = request.header(AUTHORIZATION, authorization(secret)?);
        }
        if let Some(key) = message.key {
            request = request.header("Idempotency-Key", key);
        }
        if method != Method::GET {
            let body = serde_json::to_vec(message.body).expect("our bodies are structs of strings and lists");
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let begun = Instant::now();
        let sent = request.send().await;
        let status =
            sent.as_ref().map_or_else(|_| "broken".to_owned(), |got| got.status().as_str().to_owned());
        let labels = [("service", SERVICE), ("method", method.as_str()), ("status", &status)];
        self.tally.measure(metric::SERVICE_REQUEST_SECONDS, &labels, begun.elapsed());
        let response = sent.map_err(|error| broken(SERVICE, kind, error))?;
        let status = response.status();
        let asked_to_wait = retry_after(response.headers());
        let body = match body(kind, response).await {
            // A refusal is a refusal even if its words are lost.
            Err(_) if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE => Vec::new(),
            body => body?,
        };
        let status = status.as_u16();
        tracing::debug!(service = SERVICE, status, "answer");
        let document = serde_json::from_slice(&body).ok();
        Ok((Heard { status, text: said(&body), document }, asked_to_wait))
    }
}

async fn body(kind: Kind, mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(SERVICE, kind, error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let text = format!("the answer is larger than {} MiB", ANSWER_BYTES_MAX >> 20);
            return Err(ClientError::Unreadable { service: SERVICE, text });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A site has many services: whoever reads that one does not answer has to know which.
fn named(error: ClientError, method: site::Method, url: &site::Url) -> ClientError {
    let at = |text: String| format!("{method} {url}: {text}");
    match error {
        ClientError::Unavailable { service, text, retry_after } => {
            ClientError::Unavailable { service, text: at(text), retry_after }
        }
        ClientError::Unauthorised { service, text } => ClientError::Unauthorised { service, text: at(text) },
        ClientError::Lost { service, text } => ClientError::Lost { service, text: at(text) },
        ClientError::Unreadable { service, text } => ClientError::Unreadable { service, text: at(text) },
        other => other,
    }
}

fn code(status: u16) -> reqwest::StatusCode {
    reqwest::StatusCode::from_u16(status).expect("it was one before")
}

fn unavailable(text: String) -> ClientError {
    ClientError::Unavailable { service: SERVICE, text, retry_after: None }
}

/// The header; the message names where the token should be, never what was found there.
fn authorization(secret: &Secret) -> Result<HeaderValue, ClientError> {
    let (place, header) = match secret {
        Secret::File(path) => (format!("the token file '{path}'"), bearer::read(path.as_ref())),
        Secret::Environment(name) => {
            let token = std::env::var(name).map_err(|error| error.to_string());
            (format!("the token in the variable '{name}'"), token.and_then(|token| bearer::header(&token)))
        }
    };
    header.map_err(|why| ClientError::Unauthorised {
        service: SERVICE,
        text: format!("{place} cannot be used on the worker: {why}"),
    })
}
