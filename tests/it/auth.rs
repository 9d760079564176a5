//! Who may ask for what: tokens of an issuer of our own, over HTTP; and TLS.

mod issuer;
mod role;
mod tls;
mod token;

use bosun::{config::AuthMode, sim};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{app::fast, server::Server};
use issuer::Issuer;

const AUDIENCE: &str = "bosun";

/// A server that asks for tokens, and who issues them.
struct Guarded {
    server: Server,
    issuer: Issuer,
    http: reqwest::Client,
}

impl Guarded {
    async fn new() -> Self {
        Self::with(fast(2), false).await
    }

    async fn with(machine: sim::Settings, open_reports: bool) -> Self {
        let issuer = Issuer::start().await;
        let server = Server::with(machine, |settings| {
            let auth = &mut settings.auth;
            auth.auth = AuthMode::Jwt;
            auth.jwks_url = Some(issuer.jwks_url());
            auth.jwt_issuer = Some(issuer.url.clone());
            auth.jwt_audience = vec!["other".to_owned(), AUDIENCE.to_owned()];
            auth.jwt_roles_claim = "realm_access.roles".to_owned();
            auth.open_reports = open_reports;
        })
        .await;
        Self { server, issuer, http: reqwest::Client::new() }
    }

    /// Asks with this header Authorization.
    async fn send(&self, authorization: &str, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.server.url));
        if !authorization.is_empty() {
            request = request.header("Authorization", authorization);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    /// Asks with a token; the status and the body.
    async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.send(&format!("Bearer {token}"), method, path, body).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// Looks at the sessions with a token; the status.
    async fn looks(&self, token: &str) -> u16 {
        self.ask(token, Method::GET, "/v2/sessions", None).await.0
    }

    /// What is said where a token is refused; also that it is said in the right way.
    async fn refused(&self, authorization: &str) -> String {
        let answer = self.send(authorization, Method::GET, "/v2/sessions", None).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status().as_u16(), 401, "{authorization}");
        assert_eq!(header("content-type"), "application/problem+json");
        let challenge = header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm=\"bosun\""), "{challenge}");
        assert_eq!(challenge.contains("invalid_token"), !authorization.is_empty(), "{challenge}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!((&problem["title"], &problem["status"]), (&json!("Unauthorized"), &json!(401)));
        problem["detail"].as_str().unwrap().to_owned()
    }
}
