//! Who asks: kept with whatever is asked.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use serde_json::Value;

use crate::admit::Caller;

/// Longest name that is kept.
const NAME_CHARS_MAX: usize = 127;

/// Who asks. Where callers are not authenticated here, a name from a token is marked: nobody has checked the signature.
#[derive(Debug, Clone)]
pub struct Actor(pub String);

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(match parts.extensions.get::<Caller>() {
            Some(caller) => Self(caller.subject.clone()),
            None => Self::of(&parts.headers),
        })
    }
}

impl Actor {
    /// Whoever these headers name.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let from_token =
            text(header::AUTHORIZATION.as_str()).and_then(subject).map(|sub| format!("{sub} (unverified)"));
        let named = || text("bosun-actor").filter(|name| !name.is_empty()).map(str::to_owned);
        let name = from_token.or_else(named).unwrap_or_else(|| "unknown".to_owned());
        Self(name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect())
    }
}

/// `sub` of a JWT. The gateway has verified it, or nobody has.
fn subject(authorization: &str) -> Option<String> {
    let token = authorization.strip_prefix("Bearer ")?;
    let payload = decode(token.split('.').nth(1)?)?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims["sub"].as_str().map(str::to_owned)
}

/// Base64url without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_tokens_subject_comes_first() {
        let mut headers = HeaderMap::new();
        assert_eq!(Actor::of(&headers).0, "unknown");
        headers.insert("bosun-actor", HeaderValue::from_static("alice"));
        assert_eq!(Actor::of(&headers).0, "alice");
        // {"sub":"operator-1"}
        headers.insert("authorization", HeaderValue::from_static("Bearer e30.eyJzdWIiOiJvcGVyYXRvci0xIn0.x"));
        assert_eq!(Actor::of(&headers).0, "operator-1 (unverified)");
        headers.insert("authorization", HeaderValue::from_static("Bearer ???"));
        assert_eq!(Actor::of(&headers).0, "alice");
    }
}
