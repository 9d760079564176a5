//! Forms that change something. A page of somebody else's must not be able to send one with an operator's browser:
//! the browser itself has to say that the form comes from our own origin, and the form has to hold what only our own
//! page can have read, the value of a cookie.

use std::{collections::BTreeMap, convert::Infallible};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use maud::{Markup, html};
use uuid::Uuid;

use super::{Failure, page};
use crate::api::ApiError;

/// The cookie that forms repeat.
const COOKIE: &str = "bosun_form";
/// The field that repeats it.
const FIELD: &str = "form_key";

/// What forms of a page repeat.
#[derive(Debug, Clone)]
pub struct FormKey {
    value: String,
    is_new: bool,
}

impl<S: Sync> FromRequestParts<S> for FormKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(match key_of(&parts.headers) {
            Some(value) => Self { value: value.to_owned(), is_new: false },
            None => Self { value: Uuid::new_v4().simple().to_string(), is_new: true },
        })
    }
}

impl FormKey {
    /// The hidden field of a form.
    pub fn field(&self) -> Markup {
        html! { input type="hidden" name=(FIELD) value=(self.value); }
    }

    /// The `Set-Cookie` line, where the browser has none yet. No other site's request carries it.
    pub fn set_cookie(&self) -> Option<String> {
        let line = || format!("{COOKIE}={}; Path=/ui; HttpOnly; SameSite=Strict", self.value);
        self.is_new.then(line)
    }
}

/// A value that we made: 32 hexadecimal digits.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    page::cookie(headers, COOKIE)
        .filter(|value| value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The fields of a form that one of our own pages sent.
#[derive(Debug, Clone)]
pub struct Submitted(BTreeMap<String, String>);

impl Submitted {
    /// A field that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The fields that are not empty and whose names begin so, by the rest of their names.
    pub fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let begins =
            move |(name, text): (&'a String, &'a String)| Some((name.strip_prefix(prefix)?, text.trim()));
        self.0.iter().filter_map(begins).filter(|(_, text)| !text.is_empty())
    }
}

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let key = key_of(request.headers()).map(str::to_owned);
        if !is_our_own(request.headers()) {
            return Err(refused("it was not sent by a page of this server"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge)?;
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        if key.is_none() || fields.get(FIELD) != key.as_ref() {
            return Err(refused("its key is not this browser's; open the page again and repeat"));
        }
        if fields.values().any(|text| text.contains('\0')) {
            return Err(ApiError::bad_request("a field contains the character NUL").into());
        }
        Ok(Self(fields))
    }
}

fn refused(why: &str) -> Failure {
    Failure(ApiError::BadRequest { title: "The form was refused", detail: why.to_owned() })
}

/// Whether the browser says that the request comes from a page of this origin. One that says nothing is refused:
/// programs have the API.
fn is_our_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = text(header::ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| Some(host) == text(header::HOST.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_our_own_pages_send_forms() {
        let own = |pairs: &[_]| is_our_own(&headers(pairs));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "http://b:1"), ("host", "b:1")]));
        assert!(!own(&[("sec-fetch-site", "none")]));
        assert!(own(&[("origin", "http://b:1"), ("host", "b:1")]));
        assert!(!own(&[("origin", "http://evil"), ("host", "b:1")]));
        assert!(!own(&[("origin", "null"), ("host", "b:1")]) && !own(&[("host", "b:1")]));
    }

    #[test]
    fn only_keys_we_made_are_keys() {
        assert!(key_of(&headers(&[("cookie", "bosun_form=0123456789abcdef0123456789abcdef")])).is_some());
        assert!(key_of(&headers(&[("cookie", "bosun_form=")])).is_none());
        assert!(key_of(&headers(&[("cookie", "bosun_form=0123456789abcdef0123456789abcde\"")])).is_none());
    }
}
