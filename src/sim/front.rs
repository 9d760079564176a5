//! What every request passes first: it is counted, remembered, and perhaps hit by a fault.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Shared;
use super::door::Connection;
use super::faults::{FaultKind, Rule, Service};
use super::http::problem;

/// The largest body that is read.
const MOST_BYTES: usize = 256 << 20;

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// How long a request is held that no rule gives a time for.
const HELD: Duration = Duration::from_secs(60);

/// Requests by service, then by method and route.
pub type Counters = BTreeMap<String, BTreeMap<String, u64>>;

/// A request that came in.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// RFC 3339 with milliseconds.
    pub at: String,
    /// Which service it was for.
    pub service: Service,
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// What was answered; 0 if nothing was.
    pub status: u16,
    /// How many xnames its body or query named.
    pub xnames: usize,
    /// How long its body was.
    pub bytes: usize,
}

/// Rules, counters and memory.
#[derive(Debug)]
pub struct Front {
    pub rules: Vec<Rule>,
    pub counters: Counters,
    pub requests: VecDeque<RequestEntry>,
}

impl Front {
    /// With the rules of the start.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, counters: Counters::new(), requests: VecDeque::new() }
    }

    /// Counts a request and says which rule hits it.
    fn arrive(&mut self, service: Service, method: &str, path: &str) -> Option<Rule> {
        let routes = self.counters.entry(service.name().to_owned()).or_default();
        *routes.entry(format!("{method} {}", route_of(path))).or_default() += 1;
        self.rules.iter_mut().find_map(|rule| rule.hit(service, method, path).then(|| rule.clone()))
    }

    fn remember(&mut self, entry: RequestEntry) {
        if self.requests.len() == REMEMBERED {
            self.requests.pop_front();
        }
        self.requests.push_back(entry);
    }
}

/// Which service a path belongs to, and the path within it.
fn service_of(path: &str) -> (Service, &str) {
    for (prefix, service) in [
        ("/apis/smd", Service::Hsm),
        ("/apis/power-control", Service::Pcs),
        ("/apis/bss", Service::Bss),
        ("/apis/cfs", Service::Cfs),
        ("/apis/ims", Service::Ims),
        ("/apis/tapms", Service::Tapms),
    ] {
        if let Some(rest) = path.strip_prefix(prefix) {
            return (service, rest);
        }
    }
    let mut segments = path.split('/').skip(1);
    let service = match (segments.next().unwrap_or_default(), segments.next().unwrap_or_default()) {
        ("hsm", _) => Service::Hsm,
        ("boot", _) => Service::Bss,
        ("v3", "images" | "deleted") | ("healthz", "ready") | ("version", _) => Service::Ims,
        ("v3" | "v2" | "healthz", _) => Service::Cfs,
        ("v1alpha3", _) => Service::Tapms,
        ("sim", _) => Service::Sim,
        ("s3" | "boot-images", _) => Service::S3,
        _ => Service::Pcs,
    };
    (service, path)
}

/// The path with names and numbers blotted out.
fn route_of(path: &str) -> String {
    let mut route = String::with_capacity(path.len());
    let mut before = "";
    for segment in path.split('/').skip(1) {
        let version = segment.len() == 2 && segment.starts_with('v') || segment == "s3";
        let number = segment.bytes().any(|byte| byte.is_ascii_digit()) && !version;
        let collection = matches!(
            before,
            "groups" | "partitions" | "configurations" | "sessions" | "images" | "components" | "tenants"
        );
        let named = collection && !matches!(segment, "labels" | "names");
        route.push('/');
        route.push_str(if number || named { "{}" } else { segment });
        before = segment;
    }
    route
}

/// How many xnames a text names.
fn count_xnames(text: &[u8]) -> usize {
    let begins = |window: &[u8]| {
        matches!(window[0], b'"' | b',' | b'=' | b'/') && window[1] == b'x' && window[2].is_ascii_digit()
    };
    text.windows(3).filter(|window| begins(window)).count()
}

/// Lets a request pass.
pub async fn pass(
    Extract(sim): Extract<Shared>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (service, path) = service_of(parts.uri.path());
    let rule = match service {
        Service::Sim => None,
        _ => sim.front(|front| front.arrive(service, parts.method.as_str(), path)),
    };
    let query = parts.uri.query().unwrap_or_default();
    let mut entry = RequestEntry {
        at: String::new(),
        service,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        status: 0,
        xnames: count_xnames(&body) + count_xnames(format!("={query}").as_bytes()),
        bytes: body.len(),
    };
    let request = Request::from_parts(parts, Body::from(body));
    let (response, answered) = serve(rule, &connection, request, next).await;
    if service != Service::Sim {
        entry.status = if answered { response.status().as_u16() } else { 0 };
        entry.at = sim.with(|world| world.clock.millis(world.now));
        sim.front(|front| front.remember(entry));
    }
    response
}

/// Answers as the rule says; also whether the answer will arrive.
async fn serve(
    rule: Option<Rule>,
    connection: &Connection,
    request: Request,
    next: Next,
) -> (Response, bool) {
    let Some(rule) = rule else { return (next.run(request).await, true) };
    let delay = rule.delay_ms.map(Duration::from_millis);
    let nothing = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    match rule.kind {
        FaultKind::Status => (refusal(&rule), true),
        FaultKind::Reset => {
            connection.reset();
            (nothing(), false)
        }
        FaultKind::Lost => {
            let response = next.run(request).await;
            connection.close();
            (response, false)
        }
        FaultKind::Never => {
            let response = next.run(request).await;
            tokio::time::sleep(delay.unwrap_or(HELD)).await;
            connection.close();
            (response, false)
        }
        FaultKind::Timeout => {
            tokio::time::sleep(delay.unwrap_or(HELD)).await;
            connection.close();
            (nothing(), false)
        }
        FaultKind::Slow => {
            let response = next.run(request).await;
            tokio::time::sleep(delay.unwrap_or(Duration::from_secs(1))).await;
            (response, true)
        }
    }
}

/// What a mesh answers for a service that is away.
fn refusal(rule: &Rule) -> Response {
    let status = StatusCode::from_u16(rule.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = problem(status, "upstream connect error or disconnect/reset before headers");
    if let Some(seconds) = rule.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_services() {
        for (path, service) in [
            ("/hsm/v2/State/Components", Service::Hsm),
            ("/apis/smd/hsm/v2/groups", Service::Hsm),
            ("/transitions", Service::Pcs),
            ("/apis/power-control/v1/power-status", Service::Pcs),
            ("/boot/v1/bootparameters", Service::Bss),
            ("/v3/components", Service::Cfs),
            ("/v3/images/1", Service::Ims),
            ("/boot-images/a/manifest.json", Service::S3),
        ] {
            assert_eq!(service_of(path).0, service, "{path}");
        }
    }

    #[test]
    fn routes_have_no_names() {
        assert_eq!(route_of("/hsm/v2/State/Components/x1000c0s0b0n0"), "/hsm/v2/State/Components/{}");
        assert_eq!(route_of("/v3/configurations/compute-config"), "/v3/configurations/{}");
        assert_eq!(route_of("/hsm/v2/groups/labels"), "/hsm/v2/groups/labels");
    }

    #[test]
    fn xnames_are_counted() {
        assert_eq!(count_xnames(br#"{"xname":["x1000c0s0b0n0","x1000c0s0b0n1"]}"#), 2);
        assert_eq!(count_xnames(b"=ids=x1000c0s0b0n0,x1000c0s0b0n1"), 2);
        assert_eq!(count_xnames(br#"{"fix10":"box1"}"#), 0);
    }
}
