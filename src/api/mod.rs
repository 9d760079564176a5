//! What programs talk to: BOS's API v2 under `/v2` and `/apis/bos/v2`, our own under `/bosun/v1`; and the pages for
//! people, under `/ui`.
//!
//! Validates, admits, writes request rows and reads. It owns no client: whatever needs a service goes through [`Admit`].
//! What comes in is checked against shapes kept as data ([`schema`]); whatever goes wrong ends as one type ([`error`]).
//!
//! **To add an endpoint**, add an [`endpoint::Endpoint`] to `endpoints()` of its noun: handler, parameters, shapes of what
//! it takes and answers, status codes of its errors. Router, OpenAPI document and browsable page are all made of these
//! declarations. Every request and answer of the integration tests is held against the document, and `make fuzz-api`
//! asks the running server whatever the document allows; so a declaration that is not true is found.

mod actor;
mod auth;
mod body;
mod bos;
mod bosun;
mod document;
mod endpoint;
mod error;
mod metric;
mod query;
mod reports;
mod schema;
mod server;
mod session_template;
mod tenant;
mod tls;
mod ui;
mod watch;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::Admit,
    db,
    model::{metric::API_REQUEST_SECONDS, options::Options, session::Name},
};

use actor::Actor;
pub use auth::Authentication;
use endpoint::Endpoint;
pub use error::ApiError;
pub use metric::serve_metrics;
use reports::Reports;
pub use server::Limits;
pub use tls::{Certificates, TlsError};
use watch::Watch;

/// Largest body of most requests: a template with every node of a large machine by name.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Methods that are counted by name: anybody may make up others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What the gateway puts before BOS's paths.
const GATEWAY_PREFIX: &str = "/apis/bos";
/// Longest time for most answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for answers that need several services: admission and plans.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(170);

/// What every endpoint may use.
#[derive(Debug, Clone)]
pub struct ApiState {
    pool: db::Pool,
    admit: Arc<Admit>,
    reports: Reports,
    watch: Watch,
    waiting: Arc<Notify>,
    ui: Arc<ui::Shared>,
    auth: Arc<Authentication>,
}

impl ApiState {
    /// Starts the task that writes reports; it ends with the last copy of this state. `waiting` is told of every
    /// session that waits for admission.
    pub fn new(pool: db::Pool, admit: Arc<Admit>, waiting: Arc<Notify>, auth: Authentication) -> Self {
        let reports = Reports::start(pool.clone());
        let watch = Watch::new(pool.clone(), CancellationToken::new());
        Self { pool, admit, reports, watch, waiting, ui: Arc::default(), auth: Arc::new(auth) }
    }

    /// BOS's options as they are now.
    async fn options(&self) -> Result<Options, ApiError> {
        let mut conn = db::acquire(&self.pool).await?;
        Ok(db::options::get(&mut conn).await?)
    }
}

/// Law 6: a database that may be an old one admits nothing until an operator says so.
async fn refuse_while_parked(conn: &mut db::Connection) -> Result<(), ApiError> {
    match db::service_life::get(conn).await?.parked_at {
        None => Ok(()),
        Some(since) => Err(ApiError::Unavailable(format!(
            "nothing is admitted since {}: the database may be a restored or copied one; if it is not, type \
             'bosun session resume --all'",
            since.format("%Y-%m-%d %H:%M:%S UTC")
        ))),
    }
}

/// A name in a path.
fn name_in_path(name: &str) -> Result<Name, ApiError> {
    name.parse().map_err(|_| {
        let short: String = name.chars().take(130).collect();
        ApiError::bad_request(format!("'{short}' is not a name"))
    })
}

/// Answers requests until `stop`, and then those that have begun; streams of events end at once. With certificates it
/// speaks TLS only.
pub async fn serve(
    listener: TcpListener,
    certificates: Option<Certificates>,
    state: ApiState,
    limits: Limits,
    stop: CancellationToken,
) {
    let watch = state.watch.clone();
    let ending = stop.clone();
    tokio::spawn(async move {
        ending.cancelled().await;
        watch.stop();
    });
    let router = router(state).layer(Extension(stop.clone()));
    server::serve(listener, certificates, router, limits, stop).await;
}

/// Every endpoint that is documented.
fn endpoints() -> Vec<Endpoint> {
    let below = |prefix: &str, endpoints: Vec<Endpoint>| -> Vec<Endpoint> {
        endpoints.into_iter().map(|endpoint| endpoint.below(prefix)).collect()
    };
    [
        vec![bos::version::root_endpoint()],
        below("/v2", bos::endpoints()),
        below("/bosun/v1", bosun::endpoints()),
        document::endpoints(),
    ]
    .concat()
}

/// Every path. What BOS has is found below the gateway's prefix as well.
pub fn router(state: ApiState) -> Router {
    let endpoints = endpoints();
    let of_bos = |endpoint: &&Endpoint| {
        ["/v2", "/openapi.json"].iter().any(|prefix| endpoint.path.starts_with(prefix))
    };
    // There the document is where BOS has it; at our own root that path is the dashboard's.
    let behind_gateway: Vec<Endpoint> = endpoints
        .iter()
        .filter(of_bos)
        .cloned()
        .chain(document::page_at("/ui"))
        .map(|endpoint| endpoint.below(GATEWAY_PREFIX))
        .collect();
    endpoint::router(&endpoints, &state)
        .merge(endpoint::router(&behind_gateway, &state))
        .merge(ui::router().route_layer(middleware::from_fn_with_state(state.clone(), auth::pass_page)))
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// Whether what a path's percents stand for is UTF-8.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let decoded = if *first == b'%' { code } else { None };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).is_ok()
}

/// What a path does is no mistake to ask for: `OPTIONS` is answered by the methods there are. The router around us adds
/// `Allow`, as to every refusal of a method.
fn answer_options(asked: bool, response: Response) -> Response {
    if asked && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return StatusCode::NO_CONTENT.into_response();
    }
    response
}

/// Bounds the time of every request, and refuses what no path or query of ours can mean.
async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    // As it is declared, with braces: a label for each node would be too many.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = bounded(request, next).await;
    let status = response.status();
    let labels = [
        ("route", route.as_deref().unwrap_or("none")),
        ("method", METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")),
        ("status", status.as_str()),
    ];
    state.admit.tally().measure(API_REQUEST_SECONDS, &labels, begun.elapsed());
    response
}

async fn bounded(request: Request, next: Next) -> Response {
    let uri = request.uri();
    if uri.path().contains("%00") || uri.query().is_some_and(|query| query.contains("%00")) {
        return ApiError::bad_request("the URL contains the character NUL").into_response();
    }
    let path = uri.path();
    if !is_text(path) {
        return ApiError::bad_request("the path is not UTF-8").into_response();
    }
    let admits = ["/plan", "/sessions", "/sessiontemplates", "valid", "/import"]
        .iter()
        .any(|part| path.contains(part));
    let timeout = if admits { ADMISSION_TIMEOUT } else { ANSWER_TIMEOUT };
    let asks_options = request.method() == Method::OPTIONS;
    let asked = Asked::of(&request);
    let response = match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => answer_options(asks_options, response),
        Err(_) => ApiError::TimedOut(timeout.as_secs()).into_response(),
    };
    asked.tell(&response);
    response
}

/// What was asked, and by whom: kept in the log for whatever may have changed something.
struct Asked {
    actor: Actor,
    method: Method,
    path: String,
    begun: Instant,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            actor: Actor::of(request.headers()),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            begun: Instant::now(),
        }
    }

    /// Neither queries nor bodies: nobody knows what is in them. Nodes report by the thousand, each by its own path.
    fn tell(&self, response: &Response) {
        let (actor, method, path, status) =
            (&self.actor.0, &self.method, &self.path, response.status().as_u16());
        let milliseconds = self.begun.elapsed().as_millis();
        let by_node = *method == Method::PATCH && path.contains("/components/");
        if method.is_safe() || by_node {
            tracing::debug!(actor, %method, path, status, milliseconds, "asked");
        } else {
            tracing::info!(actor, %method, path, status, milliseconds, "asked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_text() {
        assert!(is_text("/v2/components/a%20b%C3%A4") && is_text("/%") && is_text("/%zz"));
        assert!(!is_text("/v2/components/%ff"));
    }
}
