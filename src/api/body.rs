//! Bodies: read with the care BOS's clients are used to, written as BOS writes them (two spaces, sorted keys, newline).

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    error::ApiError,
    schema::{self, Shape},
};

/// Deepest nesting of a body: no request of ours needs more than a handful of levels.
const DEPTH_MAX: usize = 32;

/// How long a body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A JSON body as it came; none where there was none.
#[derive(Debug)]
pub struct JsonBody(pub Option<Value>);

impl JsonBody {
    /// The body, where one is required.
    ///
    /// # Errors
    /// 400 when there was none.
    pub fn required(self) -> Result<Value, ApiError> {
        self.0.ok_or_else(|| ApiError::bad_request("a body is required: None is not of type 'object'"))
    }

    /// The body, which is required, as what it stands for.
    ///
    /// # Errors
    /// 400 when there was none, or when it has not this shape.
    pub fn parsed<T: DeserializeOwned>(self, shape: &Shape) -> Result<T, ApiError> {
        let body = self.required()?;
        schema::check(shape, &body)?;
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = content_type(request.headers());
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let bytes =
            read.map_err(|_| ApiError::BodyTimedOut(BODY_TIMEOUT.as_secs()))?.map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    ApiError::TooLarge
                } else {
                    ApiError::bad_request("the request body could not be read")
                }
            })?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        if !is_json(&content_type) {
            return Err(ApiError::UnsupportedMediaType(content_type));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) if value != Value::Null => {
                check(&value, 0)?;
                Ok(Self(Some(value)))
            }
            _ => Err(ApiError::bad_request("Request body is not valid JSON")),
        }
    }
}

fn content_type(headers: &HeaderMap) -> String {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// `application/json`, with or without parameters, and `application/*+json`.
fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// Postgres keeps no NUL in text, and nothing of ours nests deeply.
fn check(value: &Value, depth: usize) -> Result<(), ApiError> {
    if depth > DEPTH_MAX {
        return Err(ApiError::bad_request(format!("the body is nested more than {DEPTH_MAX} levels deep")));
    }
    let nul = |text: &str| {
        if text.contains('\0') {
            Err(ApiError::bad_request("a string contains the character NUL"))
        } else {
            Ok(())
        }
    };
    match value {
        Value::String(text) => nul(text),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, item)| {
            nul(key)?;
            check(item, depth + 1)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A JSON answer with its status.
#[derive(Debug)]
pub struct Json<T>(pub StatusCode, pub T);

impl<T> Json<T> {
    /// 200.
    pub fn ok(value: T) -> Self {
        Self(StatusCode::OK, value)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match text(&self.1) {
            Ok(text) => (self.0, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(_) => ApiError::Internal("an answer could not be written as JSON".to_owned()).into_response(),
        }
    }
}

/// Going through `Value` sorts the keys.
pub(super) fn text<T: Serialize>(value: &T) -> Result<Body, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(&serde_json::to_value(value)?)?;
    text.push(b'\n');
    Ok(Body::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_under_several_names() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/merge-patch+json"));
        assert!(!is_json("text/plain") && !is_json("") && !is_json("application/x-www-form-urlencoded"));
    }

    #[test]
    fn what_the_database_cannot_keep_is_refused() {
        assert!(check(&json!({"a": ["b"]}), 0).is_ok());
        assert!(check(&json!({"a": ["b\u{0}"]}), 0).is_err());
        assert!(check(&json!({"a\u{0}": 1}), 0).is_err());
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        assert!(check(&deep, 0).is_err());
    }
}
