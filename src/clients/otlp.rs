//! Traces, for a collector that speaks OTLP over HTTP with protobuf. Off unless an endpoint is configured.
//!
//! A session is one trace, whoever works on it: its id, and those of the spans of its steps and effects, follow from the
//! session. So a worker that takes over goes on with the same trace, and a span may name a parent that only a later worker
//! will tell. That, and that times come from the database, is why spans are written here as the collector wants them and
//! not by an SDK, which makes up ids and times itself.
//!
//! Nothing waits for the collector: spans go through a queue with a bound, and are lost when it is full or the collector
//! away. Where nothing is configured a call costs one look at an empty cell.

use std::{
    collections::HashMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::ClientError;
use crate::model::{Timestamp, effect::EffectNo, plan::StepNo, session::SessionId};

/// Spans that wait for the collector.
const QUEUE_MAX: usize = 4_096;
/// Spans in one request.
const BATCH_MAX: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// Longest time for one request.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a collector is, and how we are called there.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Its root; `/v1/traces` is added.
    pub endpoint: String,
    /// What it wants to see of us: `name=value`, separated by commas.
    pub headers: String,
    /// The service's name in traces.
    pub service: String,
    /// Which part of us this process is: `serve`, `worker`.
    pub role: &'static str,
}

/// A span's id.
pub type SpanId = [u8; 8];

/// The trace of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace([u8; 16]);

/// A place in a trace, for what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: Trace,
    /// The span.
    pub span: SpanId,
}

/// What took some time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where it is.
    pub place: Place,
    /// The span it is a part of.
    pub parent: Option<SpanId>,
    /// What it is.
    pub name: String,
    /// Whether it is a request to somebody else.
    pub is_request: bool,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// Particulars.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// A particular of a span.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
}

impl Trace {
    /// The trace of a session; another one in every database.
    pub fn of(session: SessionId, created_at: Timestamp) -> Self {
        let text = format!("bosun session {} {}", session.0, created_at.timestamp_micros());
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(text)[..16]);
        Self(id)
    }

    /// The whole session.
    pub fn root(self) -> Place {
        self.place("session", 0)
    }

    /// Its way from the request to its admission.
    pub fn admission(self) -> Place {
        self.place("admission", 0)
    }

    /// One of its steps.
    pub fn step(self, step: StepNo) -> Place {
        self.place("step", step.0.into())
    }

    /// One of its effects.
    pub fn effect(self, effect: EffectNo) -> Place {
        self.place("effect", effect.0.into())
    }

    fn place(self, kind: &str, no: i64) -> Place {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(format!("{kind} {no}"));
        let mut span = SpanId::default();
        span.copy_from_slice(&hash.finalize()[..8]);
        Place { trace: self, span }
    }
}

impl Place {
    /// The header that tells a service where it is called from (W3C Trace Context).
    pub fn traceparent(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("00-{}-{}-01", hex(&self.trace.0), hex(&self.span))
    }

    /// A place below this one that nobody else will have.
    pub(super) fn below(&self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
        let kind = format!("{:?} {} {now}", self.span, std::process::id());
        self.trace.place(&kind, no as i64)
    }
}

enum Said {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

static QUEUE: OnceLock<mpsc::Sender<Said>> = OnceLock::new();

tokio::task_local! {
    static HERE: Place;
}

/// Tells the collector from now on, within the runtime that this is called in.
///
/// # Errors
/// `Configuration`: the endpoint or the headers cannot be used.
pub fn start(collector: &Collector) -> Result<(), ClientError> {
    let wrong = |why: String| ClientError::Configuration(format!("OTEL_EXPORTER_OTLP_{why}"));
    let url = format!("{}/v1/traces", collector.endpoint.trim_end_matches('/'));
    let url =
        reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(
            || wrong(format!("ENDPOINT '{}' is not a URL, as in http://host:4318", collector.endpoint)),
        )?;
    let mut headers = HeaderMap::new();
    for pair in collector.headers.split(',').filter(|pair| !pair.trim().is_empty()) {
        let unusable = || wrong("HEADERS must be name=value, separated by commas".to_owned());
        let (name, value) = pair.split_once('=').ok_or_else(unusable)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| unusable())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .timeout(SEND_TIMEOUT)
        .build()
        .map_err(|error| wrong(format!("ENDPOINT cannot be used: {error}")))?;
    let (queue, said) = mpsc::channel(QUEUE_MAX);
    if QUEUE.set(queue).is_ok() {
        let resource = resource(collector);
        tokio::spawn(tell(said, http, url, resource));
    }
    Ok(())
}

/// Whether somebody wants to know.
pub fn is_on() -> bool {
    QUEUE.get().is_some()
}

/// Tells of a span. Nobody waits for it; where nobody wants to know it is nothing.
pub fn record(span: Span) {
    if let Some(queue) = QUEUE.get() {
        // A full queue: the collector is away or slow, which is said where it is told.
        let _ = queue.try_send(Said::Span(Box::new(span)));
    }
}

/// Waits, but not long, until all that was recorded is told.
pub async fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, told) = oneshot::channel();
    let flushed = async {
        if queue.send(Said::Flush(done)).await.is_ok() {
            // Gone without an answer: then there is nothing to wait for.
            let _ = told.await;
        }
    };
    let _ = timeout(SEND_TIMEOUT, flushed).await;
}

/// Does something at a place in a trace: requests made on the way are told below it.
pub async fn at<T>(place: Option<Place>, doing: impl Future<Output = T>) -> T {
    match place {
        Some(place) if is_on() => HERE.scope(place, doing).await,
        _ => doing.await,
    }
}

/// Where we are, if somebody wants to know.
pub(super) fn here() -> Option<Place> {
    QUEUE.get()?;
    HERE.try_with(|place| *place).ok()
}

async fn tell(mut said: mpsc::Receiver<Said>, http: reqwest::Client, url: reqwest::Url, resource: Resource) {
    let mut is_away = false;
    while let Some(first) = said.recv().await {
        let (mut spans, mut flushed) = (Vec::new(), Vec::new());
        let mut take = |one: Said, flushed: &mut Vec<oneshot::Sender<()>>| match one {
            Said::Span(span) => {
                spans.push(wire(*span));
                spans.len() >= BATCH_MAX
            }
            Said::Flush(done) => {
                flushed.push(done);
                true
            }
        };
        let mut full = take(first, &mut flushed);
        let gathered = tokio::time::Instant::now() + GATHER;
        while !full && let Ok(Some(next)) = tokio::time::timeout_at(gathered, said.recv()).await {
            full = take(next, &mut flushed);
        }
        if !spans.is_empty() {
            let scope = InstrumentationScope {
                name: "bosun".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            };
            let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
            let body = ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource: Some(resource.clone()),
                    scope_spans,
                    schema_url: String::new(),
                }],
            };
            let sent = http.post(url.clone()).body(body.encode_to_vec()).send().await;
            match sent.and_then(reqwest::Response::error_for_status) {
                Ok(_) => is_away = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!("traces are lost: {}", super::http::causes(&error));
                    }
                }
            }
        }
        for done in flushed {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }
}

fn resource(collector: &Collector) -> Resource {
    let attributes = HashMap::from([
        ("service.name", collector.service.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("bosun.role", collector.role.to_owned()),
        ("process.pid", std::process::id().to_string()),
    ]);
    let attributes = attributes.into_iter().map(|(name, value)| pair(name, Attribute::Text(value)));
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

fn pair(name: &str, value: Attribute) -> KeyValue {
    let value = match value {
        Attribute::Text(text) => Value::StringValue(text),
        Attribute::Number(number) => Value::IntValue(number),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn wire(span: Span) -> Wire {
    let kind = if span.is_request { SpanKind::Client } else { SpanKind::Internal };
    let status = match span.error {
        Some(message) => Status { message, code: StatusCode::Error.into() },
        None => Status { message: String::new(), code: StatusCode::Ok.into() },
    };
    Wire {
        trace_id: span.place.trace.0.to_vec(),
        span_id: span.place.span.to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.from),
        end_time_unix_nano: nanoseconds(span.to.max(span.from)),
        attributes: span.attributes.into_iter().map(|(name, value)| pair(name, value)).collect(),
        status: Some(status),
        ..Wire::default()
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanos| nanos.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(session: i64) -> Trace {
        Trace::of(SessionId(session), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn whoever_works_on_a_session_names_the_same_spans() {
        assert_eq!(trace(1), trace(1));
        assert_ne!(trace(1), trace(2));
        let later = Trace::of(SessionId(1), Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(1));
        assert_ne!(trace(1), later, "another database");
        let places = [
            trace(1).root(),
            trace(1).admission(),
            trace(1).step(StepNo(0)),
            trace(1).step(StepNo(1)),
            trace(1).effect(EffectNo(1)),
        ];
        for (n, place) in places.iter().enumerate() {
            assert!(places[..n].iter().all(|other| other.span != place.span));
        }
        assert_ne!(places[0].below().span, places[0].below().span);
    }

    #[test]
    fn a_service_is_told_where_it_is_called_from() {
        let header = trace(1).root().traceparent();
        let parts: Vec<&str> = header.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{header}");
        assert!(
            header.chars().all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c)),
            "{header}"
        );
    }

    #[tokio::test]
    async fn nothing_is_told_where_nobody_asks() {
        assert_eq!(at(Some(trace(1).root()), async { here() }).await, None);
        flush().await;
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused() {
        let collector = |endpoint: &str, headers: &str| Collector {
            endpoint: endpoint.to_owned(),
            headers: headers.to_owned(),
            service: "bosun".to_owned(),
            role: "worker",
        };
        assert!(matches!(start(&collector("nowhere", "")), Err(ClientError::Configuration(_))));
        assert!(matches!(
            start(&collector("http://there:4318", "no pair")),
            Err(ClientError::Configuration(_))
        ));
    }
}
