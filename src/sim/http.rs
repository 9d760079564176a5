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

/// 200 with JSON that is written already.
pub fn json_text(body: String) -> Response {
    raw(StatusCode::OK, "application/json", body.into_bytes())
}

/// Writes one JSON object by hand, for answers of thousands of records: a serializer looks at every letter for
/// something to escape, and names of hardware hold nothing of the kind.
pub struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// A text without anything to escape.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push('"');
        self.out.push_str(value);
        self.out.push('"');
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        self.out.push_str(if self.first { "\"" } else { ",\"" });
        self.first = false;
        self.out.push_str(key);
        self.out.push_str("\":");
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
