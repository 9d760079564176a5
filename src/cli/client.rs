//! Our own HTTP client of `/bosun/v1`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::CliError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: admission of a large machine asks several services.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// Longest stream; after it another is opened.
const STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// A stream that says nothing for so long is dead: the server shows every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Where bosun's API is.
#[derive(Args, Debug, Clone)]
pub struct ClientArgs {
    /// The server's root
    #[arg(long, env = "BOSUN_URL", default_value = "http://127.0.0.1:8480", value_name = "URL")]
    pub url: String,
    /// A file with a bearer token; without it the token in BOSUN_TOKEN, if there is one
    #[arg(long, env = "BOSUN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) to be trusted beside the system's
    #[arg(long, env = "BOSUN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The tenant for whom to ask
    #[arg(long, env = "BOSUN_TENANT", value_name = "NAME")]
    pub tenant: Option<String>,
}

/// A connection to bosun's API.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    prefix: &'static [&'static str],
    http: reqwest::Client,
    actor: String,
}

/// An RFC 7807 body; ours says `rejected` where admission refused a session.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    rejected: bool,
    confirm: Option<u64>,
}

impl Client {
    /// A client of the server at `url`.
    ///
    /// # Errors
    /// When `url` is no URL, or the token, the tenant or the certificates cannot be used.
    pub fn new(args: &ClientArgs) -> Result<Self, CliError> {
        let token = match &args.token_file {
            Some(path) => read_token(path)?,
            None => std::env::var("BOSUN_TOKEN").unwrap_or_default(),
        };
        let mut headers = authorization(&token)?;
        if let Some(tenant) = args.tenant.as_deref().filter(|tenant| !tenant.is_empty()) {
            headers.insert("cray-tenant-name", header(tenant, "the tenant")?);
        }
        let http = trusting(reqwest::Client::builder().default_headers(headers), args.ca_file.as_deref())?;
        Self::with(http, &args.url, &["bosun", "v1"])
    }

    /// A client of the BOS whose root is `url`.
    ///
    /// # Errors
    /// When `url` is no URL, or the token or the certificates cannot be used.
    pub fn of_bos(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Self, CliError> {
        let token = token_file.map(read_token).transpose()?.unwrap_or_default();
        let http = reqwest::Client::builder().default_headers(authorization(&token)?);
        Self::with(trusting(http, ca_file)?, url, &["v2"])
    }

    /// A client of what is found below `prefix` at `url`.
    ///
    /// # Errors
    /// When `url` is no URL.
    pub fn at(url: &str, prefix: &'static [&'static str]) -> Result<Self, CliError> {
        Self::with(reqwest::Client::builder(), url, prefix)
    }

    fn with(
        http: reqwest::ClientBuilder,
        url: &str,
        prefix: &'static [&'static str],
    ) -> Result<Self, CliError> {
        let base = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base())
            .ok_or_else(|| {
                CliError::Usage(format!("'{}' is not a server's URL, as in http://host:9000", url))
            })?;
        let http = http
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| CliError::Unreachable { url: url.to_owned(), cause: innermost(&error) })?;
        let actor = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        Ok(Self { base, prefix, http, actor })
    }

    /// Asks.
    ///
    /// # Errors
    /// When nobody answers, the server refuses, or its answer cannot be read.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.send(Method::GET, path, query, None).await
    }

    /// Asks for something to be made or done.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, CliError> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Puts something in its place.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, CliError> {
        self.send(Method::PUT, path, &[], Some(body)).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, CliError> {
        self.send(Method::PATCH, path, &[], Some(body)).await
    }

    /// Takes something away.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, path: &[&str]) -> Result<(), CliError> {
        self.send::<Value>(Method::DELETE, path, &[], None).await.map(drop)
    }

    /// Takes everything away that is there, and says how much that was.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete_all<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, CliError> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// Opens a stream of events; they come as they happen, after the one with this number. None: there will be none.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn stream(&self, path: &[&str], after: i64) -> Result<Option<Lines>, CliError> {
        let url = self.url(path, &[]);
        let request = self.http.get(url.clone()).header("bosun-actor", &self.actor);
        let request = request.header("accept", "text/event-stream").header("last-event-id", after);
        let answer =
            request.timeout(STREAM_TIMEOUT).send().await.map_err(|error| self.unreachable(&error))?;
        match answer.status().as_u16() {
            200 => Ok(Some(Lines { answer, rest: Vec::new() })),
            204 => Ok(None),
            _ => self.read::<Value>(&url, answer).await.map(|_| None),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.prefix).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        CliError::Unreachable { url: self.base.to_string(), cause: innermost(error) }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, CliError> {
        let url = self.url(path, query);
        let mut request = self.http.request(method, url.clone()).header("bosun-actor", &self.actor);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.read(&url, answer).await
    }

    async fn read<T: DeserializeOwned>(&self, url: &Url, answer: reqwest::Response) -> Result<T, CliError> {
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            let problem: Problem = serde_json::from_slice(&bytes).unwrap_or_default();
            return Err(CliError::Refused {
                status: status.as_u16(),
                title: if problem.title.is_empty() {
                    format!("{url} answers {status}")
                } else {
                    problem.title
                },
                detail: problem.detail,
                rejected: problem.rejected,
                confirm: problem.confirm,
            });
        }
        let bytes = if bytes.is_empty() { b"null".as_slice() } else { &bytes };
        serde_json::from_slice(bytes)
            .map_err(|error| CliError::Unreadable { url: url.to_string(), cause: error.to_string() })
    }
}

/// The lines of a stream.
#[derive(Debug)]
pub struct Lines {
    answer: reqwest::Response,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; none at the end, and when the stream broke or fell silent.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            match tokio::time::timeout(SILENCE_MAX, self.answer.chunk()).await {
                Ok(Ok(Some(bytes))) => self.rest.extend(bytes),
                _ => return None,
            }
        }
    }
}

fn read_token(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("cannot read '{}': {error}", path.display())))
}

/// The headers that show a token, if there is one.
fn authorization(token: &str) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    if !token.trim().is_empty() {
        let mut value = header(&format!("Bearer {}", token.trim()), "the token")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Trusts the certificates of this file, beside the system's.
fn trusting(
    http: reqwest::ClientBuilder,
    ca_file: Option<&Path>,
) -> Result<reqwest::ClientBuilder, CliError> {
    let Some(path) = ca_file else { return Ok(http) };
    let unusable =
        |error: String| CliError::Usage(format!("the CA file '{}' cannot be used: {error}", path.display()));
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(innermost(&error)))?;
    Ok(http.tls_certs_merge(trusted))
}

/// The value of a header.
fn header(text: &str, what: &str) -> Result<HeaderValue, CliError> {
    HeaderValue::from_str(text)
        .map_err(|_| CliError::Usage(format!("{what} holds characters that cannot be sent")))
}

/// The cause at the bottom of the chain: "connection refused" rather than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
