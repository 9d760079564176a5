//! Small pieces of HTTP that the services share.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// 200 with a JSON body.
pub fn json(body: &impl Serialize) -> Response {
    json_with(StatusCode::OK, body)
}

/// A JSON body with any status.
pub fn json_with(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => raw(status, "application/json", bytes),
        Err(failure) => problem(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()),
    }
}

/// RFC 7807, as all five services write it.
pub fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({
        "type": "about:blank", "title": title, "detail": detail.into(), "status": status.as_u16(),
    });
    raw(status, "application/problem+json", body.to_string().into_bytes())
}

/// A request that was refused: a status and a problem's detail.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub detail: String,
}

/// What a handler answers.
pub type Answer = Result<Response, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(self.status, self.detail)
    }
}

/// A refusal.
pub fn refuse(status: StatusCode, detail: impl Into<String>) -> Refusal {
    Refusal { status, detail: detail.into() }
}

/// A refusal with status 400.
pub fn bad(detail: impl Into<String>) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, detail)
}

/// A refusal with status 404.
pub fn missing(detail: impl Into<String>) -> Refusal {
    refuse(StatusCode::NOT_FOUND, detail)
}

/// A text.
pub fn text(status: StatusCode, body: impl Into<String>) -> Response {
    raw(status, "text/plain; charset=utf-8", body.into().into_bytes())
}

/// Any bytes.
pub fn raw(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = (status, Body::from(bytes)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON body, or the reason why it is none.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|failure| failure.to_string())
}

/// The query's parameters in order; a list because keys repeat.
pub fn query(query: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}
