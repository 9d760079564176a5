//! The transport all JSON services share: bounds on time, size and calls at once; reads are tried again here, writes
//! never; every failure gets the one name that says whether the call may have been taken.

use std::{
    collections::hash_map::RandomState,
    error::Error,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};
use url::Url;

use super::{
    ClientError, ServiceSettings,
    bearer::Bearer,
    otlp::{self, Attribute, Place, Span},
};
use crate::model::{
    Timestamp,
    metric::{self, Tally},
};

/// Most calls at once to one service that only ask.
const READS_MAX: usize = 8;
/// Most calls at once to one service that change something.
const WRITES_MAX: usize = 4;
/// Most bytes of an answer: HSM's inventory of 100,000 nodes is 11 MB, PCS' power status of as many 16 MB.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How often a read is tried.
const READ_TRIES_MAX: u32 = 4;
/// The longest wait before the second try of a read; doubled with every try.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Most characters kept of what a service said.
const TEXT_CHARS_MAX: usize = 300;

/// One service, as seen through its own limits.
#[derive(Debug)]
pub(super) struct Http {
    service: &'static str,
    root: Url,
    client: reqwest::Client,
    bearer: Option<Arc<Bearer>>,
    reads: Semaphore,
    writes: Semaphore,
    read_timeout: Arc<ReadTimeout>,
    write_timeout: Duration,
    tally: Arc<Tally>,
}

/// The longest a read may take, which may be set at any time.
#[derive(Debug)]
pub(super) struct ReadTimeout(AtomicU64);

impl ReadTimeout {
    pub fn new(timeout: Duration) -> Self {
        let new = Self(AtomicU64::new(0));
        new.set(timeout);
        new
    }

    pub fn set(&self, timeout: Duration) {
        self.0.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// An answer with a status of 2xx.
#[derive(Debug)]
pub(super) struct Reply {
    service: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// An answer, with the service's own clock at the time.
#[derive(Debug, Clone)]
pub struct Dated<T> {
    /// What it said.
    pub value: T,
    /// Its `Date`, in whole seconds.
    pub date: Option<Timestamp>,
}

/// Whether a call changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only asks.
    Read,
    /// It does.
    Write,
}

/// A request, ready to be sent more than once.
struct Ask<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Vec<u8>>,
}

impl Http {
    /// A service under its root URL; a path in it is kept as prefix.
    pub fn new(
        service: &'static str,
        root: &str,
        client: reqwest::Client,
        bearer: Option<Arc<Bearer>>,
        settings: &ServiceSettings,
        read_timeout: Arc<ReadTimeout>,
    ) -> Result<Self, ClientError> {
        let unusable =
            |why: &str| ClientError::Configuration(format!("the URL of {service} ('{root}') {why}"));
        let root = Url::parse(root).map_err(|error| unusable(&format!("is not a URL: {error}")))?;
        if !matches!(root.scheme(), "http" | "https") || root.cannot_be_a_base() {
            return Err(unusable("must begin with http:// or https://"));
        }
        Ok(Self {
            service,
            root,
            client,
            bearer,
            reads: Semaphore::new(READS_MAX),
            writes: Semaphore::new(WRITES_MAX),
            read_timeout,
            write_timeout: settings.write_timeout,
            tally: Arc::default(),
        })
    }

    /// The same, counted with others.
    pub fn counted(self, tally: Arc<Tally>) -> Self {
        Self { tally, ..self }
    }

    /// Where it is.
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// Who is asked.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Reads with GET.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, ClientError> {
        self.read(&Ask { method: Method::GET, path, query, body: None }).await
    }

    /// Reads with POST: a question too long for a URL.
    pub async fn query(&self, path: &[&str], body: &impl Serialize) -> Result<Reply, ClientError> {
        self.read(&Ask { method: Method::POST, path, query: &[], body: Some(json(body)) }).await
    }

    /// Changes something: one try, and never longer than the write timeout, waiting for our turn included.
    pub async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<Reply, ClientError> {
        let begun = Instant::now();
        // Without half of its time left a call is not begun: cut short, it would be a lost one.
        let _turn = self.turn(&self.writes, begun + self.write_timeout / 2).await?;
        let deadline = begun + self.write_timeout;
        let ask = Ask { method, path, query: &[], body: body.map(json) };
        self.exchange(&ask, Kind::Write, deadline).await
    }

    async fn read(&self, ask: &Ask<'_>) -> Result<Reply, ClientError> {
        let read_timeout = self.read_timeout.get();
        let deadline = Instant::now() + read_timeout;
        let _turn = self.turn(&self.reads, deadline).await?;
        let mut tried = 0;
        loop {
            tried += 1;
            // A first try that hangs (a pod that went away) must leave time for another one.
            let until = if tried == 1 { Instant::now() + read_timeout / 2 } else { deadline };
            let error = match self.exchange(ask, Kind::Read, until.min(deadline)).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let ClientError::Unavailable { retry_after, .. } = &error else { return Err(error) };
            let wait = match retry_after {
                Some(asked) => *asked + random_up_to(BACKOFF_FIRST),
                None => random_up_to(BACKOFF_FIRST * 2_u32.pow(tried)),
            };
            if tried >= READ_TRIES_MAX || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(service = self.service, tried, %error, "asking again");
            self.tally.count(metric::SERVICE_REPEATS, &[("service", self.service)]);
            sleep(wait).await;
        }
    }

    async fn turn<'s>(
        &self,
        lane: &'s Semaphore,
        until: Instant,
    ) -> Result<SemaphorePermit<'s>, ClientError> {
        match timeout_at(until, lane.acquire()).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_) => Err(ClientError::Unavailable {
                service: self.service,
                text: "our other calls to it took too long".to_owned(),
                retry_after: None,
            }),
        }
    }

    async fn exchange(&self, ask: &Ask<'_>, kind: Kind, until: Instant) -> Result<Reply, ClientError> {
        let mut url = self.root.clone();
        url.path_segments_mut().expect("checked to be a base").pop_if_empty().extend(ask.path);
        tracing::debug!(service = self.service, method = %ask.method, path = url.path(), "call");
        let mut request = self.client.request(ask.method.clone(), url);
        if !ask.query.is_empty() {
            request = request.query(ask.query);
        }
        if let Some(token) = self.bearer.as_ref().map(|bearer| bearer.current()) {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let place = otlp::here().map(|here| (here, here.below()));
        if let Some((_, below)) = &place {
            request = request.header("traceparent", below.traceparent());
        }
        let begun = Instant::now();
        let left = until.saturating_duration_since(begun);
        let sent = request.timeout(left).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                self.measured(ask, if never_sent(&error) { "unreachable" } else { "broken" }, begun, place);
                return Err(self.broken(kind, error));
            }
        };
        let status = response.status();
        let headers = response.headers().clone();
        let body = self.body(kind, response).await;
        self.measured(ask, if body.is_ok() { status.as_str() } else { "broken" }, begun, place);
        tracing::debug!(service = self.service, status = status.as_u16(), "answer");
        if status.is_success() {
            return Ok(Reply { service: self.service, headers, body: body? });
        }
        // A refusal is a refusal even if its words are lost.
        let text = body.map(|body| said(&body)).unwrap_or_default();
        Err(refusal(self.service, kind, status, retry_after(&headers), text))
    }

    async fn body(&self, kind: Kind, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(kind, error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                let text = format!("the answer is larger than {} MiB", BODY_BYTES_MAX >> 20);
                return Err(ClientError::Unreadable { service: self.service, text });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Counts an exchange, and tells of it where somebody traces. `place`: where it was made, and its own.
    fn measured(&self, ask: &Ask<'_>, status: &str, begun: Instant, place: Option<(Place, Place)>) {
        let (method, took) = (ask.method.as_str(), begun.elapsed());
        let labels = [("service", self.service), ("method", method), ("status", status)];
        self.tally.measure(metric::SERVICE_REQUEST_SECONDS, &labels, took);
        let Some((above, place)) = place else { return };
        let to = Utc::now();
        let text = |text: &str| Attribute::Text(text.chars().take(TEXT_CHARS_MAX).collect());
        let mut attributes = vec![
            ("server.address", text(self.root.as_str())),
            ("http.request.method", text(method)),
            ("url.path", text(&ask.path.join("/"))),
        ];
        let code: Option<i64> = status.parse().ok();
        attributes.extend(code.map(|code| ("http.response.status_code", Attribute::Number(code))));
        otlp::record(Span {
            place,
            parent: Some(above.span),
            name: format!("{} {method}", self.service),
            is_request: true,
            from: to - chrono::TimeDelta::from_std(took).unwrap_or_default(),
            to,
            attributes,
            error: code.is_none_or(|code| code >= 400).then(|| status.to_owned()),
        });
    }

    fn broken(&self, kind: Kind, error: reqwest::Error) -> ClientError {
        broken(self.service, kind, error)
    }
}

/// What a broken exchange means. Only a connection that was never made is sure not to have carried a write.
pub(super) fn broken(service: &'static str, kind: Kind, error: reqwest::Error) -> ClientError {
    let never_sent = never_sent(&error);
    let text = causes(&error.without_url());
    if kind == Kind::Read || never_sent {
        ClientError::Unavailable { service, text, retry_after: None }
    } else {
        ClientError::Lost { service, text }
    }
}

impl Reply {
    /// The body as the contract has it; may borrow from it.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::Unreadable { service: self.service, text: error.to_string() })
    }

    /// The service's own clock when it answered.
    pub fn date(&self) -> Option<Timestamp> {
        let text = self.headers.get(DATE)?.to_str().ok()?;
        Some(DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc))
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Asks in chunks of at most `most` ids, several at once; the first failure ends it. No ids: no question.
pub(super) async fn in_chunks<'a, T, F>(
    ids: &'a [String],
    most: usize,
    ask: impl Fn(&'a [String]) -> F,
) -> Result<Vec<T>, ClientError>
where
    F: Future<Output = Result<Vec<T>, ClientError>>,
{
    // Collected first: a lazy closure held across an await would not be `Send` for all lifetimes.
    let asking: Vec<F> = ids.chunks(most).map(ask).collect();
    let answers: Vec<Vec<T>> = stream::iter(asking).buffered(READS_MAX).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

fn never_sent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder()
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("our bodies are structs of strings, numbers and lists")
}

/// The name of a refusal.
pub(super) fn refusal(
    service: &'static str,
    kind: Kind,
    status: StatusCode,
    retry_after: Option<Duration>,
    text: String,
) -> ClientError {
    let status = status.as_u16();
    // PCS passes on its etcd's limit as a 500 ("etcdserver: request is too large").
    let too_large = matches!(status, 413 | 414 | 431) || text.to_ascii_lowercase().contains("too large");
    match status {
        _ if too_large => ClientError::TooLarge { service },
        408 | 429 | 503 => ClientError::Unavailable { service, text: worded(status, text), retry_after },
        401 | 403 => ClientError::Unauthorised { service, text: worded(status, text) },
        500.. if kind == Kind::Read => {
            ClientError::Unavailable { service, text: worded(status, text), retry_after }
        }
        500.. => ClientError::Lost { service, text: worded(status, text) },
        _ => ClientError::Refused { service, status, text: worded(status, text) },
    }
}

fn worded(status: u16, text: String) -> String {
    if text.is_empty() { format!("status {status}") } else { text }
}

/// The words of an error body: RFC 7807's `detail` or `title`, IMS' `message`, or the text as it stands.
pub(super) fn said(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let field = |name| json.as_ref()?.get(name)?.as_str().filter(|text| !text.is_empty());
    let text = match field("detail").or_else(|| field("title")).or_else(|| field("message")) {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(&body[..body.len().min(4 * TEXT_CHARS_MAX)]).into_owned(),
    };
    text.trim().chars().take(TEXT_CHARS_MAX).collect()
}

/// How long the service asks us to stay away: seconds, or a date by its own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    let now = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    (at - now).to_std().ok()
}

/// An error with its causes, outermost first.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        inner = cause.source();
    }
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// Full jitter. The standard library's own seed is random enough to keep workers out of step.
fn random_up_to(most: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    most.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: Kind, status: u16, text: &str) -> ClientError {
        let status = StatusCode::from_u16(status).unwrap();
        refusal("pcs", kind, status, Some(Duration::from_secs(7)), text.to_owned())
    }

    #[test]
    fn a_write_is_lost_only_where_it_may_have_been_taken() {
        for status in [500, 502, 504] {
            assert!(matches!(named(Kind::Write, status, ""), ClientError::Lost { .. }), "{status}");
            assert!(matches!(named(Kind::Read, status, ""), ClientError::Unavailable { .. }), "{status}");
        }
        for status in [429, 503] {
            let ClientError::Unavailable { retry_after, .. } = named(Kind::Write, status, "") else {
                panic!("{status}")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        assert!(matches!(named(Kind::Write, 400, "no"), ClientError::Refused { status: 400, .. }));
    }

    #[test]
    fn too_large_is_recognised_in_whatever_dress() {
        for (status, text) in
            [(413, ""), (500, "etcdserver: request is too large"), (400, "The response size is too large")]
        {
            let error = named(Kind::Write, status, text);
            assert!(matches!(error, ClientError::TooLarge { .. }), "{status} {text}");
        }
    }

    #[test]
    fn the_words_of_every_service_are_found() {
        assert_eq!(said(br#"{"type":"about:blank","title":"Not Found","detail":"gone"}"#), "gone");
        assert_eq!(said(br#"{"title":"Not Found"}"#), "Not Found");
        assert_eq!(said(br#"{"message":"bad json"}"#), "bad json");
        assert_eq!(said(b"404 page not found\n"), "404 page not found");
        assert_eq!(said(&[b'x'; 5000]).len(), TEXT_CHARS_MAX);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "3".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
        headers.insert(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:47 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(10)));
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let most = Duration::from_millis(10);
        assert!((0..100).all(|_| random_up_to(most) <= most));
    }
}
