//! The dashboard, at `/ui`: pages made here, one style sheet and one script, all in the binary.
//!
//! Every page is a plain document that works without the script; the script only keeps it fresh (it asks for the same
//! page again when [`live`] says that something moved), draws the machine and copies texts. Nothing is inline and nothing
//! comes from elsewhere, so the Content-Security-Policy can forbid it. Pages read through `db`; what they show is shaped
//! by pure functions and escaped by the template language. A form that changes something is answered only if it comes
//! from one of our own pages ([`form`]).

mod asset;
mod component;
mod dag;
mod document;
mod form;
mod live;
mod map;
mod page;
mod part;
mod plan;
mod session;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use super::{ApiError, ApiState};
use page::Page;

/// Nothing but what we serve ourselves, and nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the dashboard keeps between requests.
#[derive(Debug, Default)]
pub struct Shared {
    maps: map::Maps,
    streams: live::Streams,
}

/// The paths below `/ui`.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/ui", get(async || Redirect::temporary("/ui/sessions")))
        .route("/ui/", get(async || Redirect::temporary("/ui/sessions")))
        .merge(asset::router())
        .merge(session::router())
        .merge(map::router())
        .merge(live::router())
        .merge(component::router())
        .merge(document::router())
        .merge(plan::router())
        .route("/ui/{*path}", get(async || Failure(ApiError::UnknownPath)))
        .layer(middleware::from_fn(guard))
}

/// The headers of every answer.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// An error as a page.
#[derive(Debug)]
pub struct Failure(ApiError);

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.log();
        let status = self.0.status();
        (status, Page::new(self.0.title()).body(part::failure(&self.0))).into_response()
    }
}

/// What the dashboard shares, of the state of all endpoints.
fn shared(state: &ApiState) -> Arc<Shared> {
    state.ui.clone()
}
