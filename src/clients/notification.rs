//! A site's webhook: told of sessions in JSON, signed, by POST. Whoever receives it answers 2xx once it is in safe hands.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use ring::hmac;
use serde_json::Value;

use super::ClientError;

/// Longest time for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How the service is called in errors.
const NAME: &str = "the webhook";
/// Where the signature stands: `sha256=` and the HMAC-SHA256 of the body in lower-case hex, as with GitHub's webhooks.
const SIGNATURE: &str = "bosun-signature";
/// Where the news' number stands; the same one may come twice.
const NUMBER: &str = "bosun-notification";

/// Where to tell, and how to sign.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The URL that is posted to.
    pub url: String,
    /// A file with the secret that signs; read again for each call. None: nothing is signed.
    pub secret_file: Option<PathBuf>,
    /// Certificates (PEM) to be trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// The client.
#[derive(Debug, Clone)]
pub struct Webhook {
    url: Url,
    secret_file: Option<PathBuf>,
    http: reqwest::Client,
}

impl Webhook {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// When the URL is none, or the files cannot be used.
    pub fn new(settings: WebhookSettings) -> Result<Self, ClientError> {
        let unusable = |what: String| ClientError::Configuration(what);
        let url = Url::parse(&settings.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                unusable(format!("'{}' is no URL for a webhook, as in https://host/path", settings.url))
            })?;
        signature(settings.secret_file.as_deref(), b"")?;
        let mut http = reqwest::Client::builder().timeout(CALL_TIMEOUT);
        if let Some(file) = &settings.ca_file {
            let pem = fs::read(file).map_err(|error| unusable(format!("{}: {error}", file.display())))?;
            let trusted = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| unusable(format!("{}: {error}", file.display())))?;
            http = http.tls_certs_merge(trusted);
        }
        let http = http.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Self { url, secret_file: settings.secret_file, http })
    }

    /// Tells once. Nothing is said twice here: whether it is tried again is for the outbox to know.
    pub async fn tell(&self, number: i64, news: &Value) -> Result<(), ClientError> {
        let body = news.to_string();
        let mut request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(NUMBER, number);
        if let Some(signature) = signature(self.secret_file.as_deref(), body.as_bytes())? {
            request = request.header(SIGNATURE, signature);
        }
        let answer = request
            .body(body)
            .send()
            .await
            .map_err(|error| ClientError::Lost { service: NAME, text: error.without_url().to_string() })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(ClientError::Refused {
                service: NAME,
                status: status.as_u16(),
                text: status.canonical_reason().unwrap_or_default().to_owned(),
            }),
        }
    }
}

fn signature(secret_file: Option<&Path>, body: &[u8]) -> Result<Option<String>, ClientError> {
    let Some(file) = secret_file else { return Ok(None) };
    let secret = fs::read_to_string(file)
        .map_err(|error| ClientError::Configuration(format!("{}: {error}", file.display())))?;
    Ok(Some(sign(secret.trim(), body)))
}

fn sign(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // RFC 4231, test case 2.
        assert_eq!(
            sign("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_cannot_be_told_is_refused_at_the_start() {
        let at = |url: &str, secret: Option<&str>| {
            Webhook::new(WebhookSettings {
                url: url.to_owned(),
                secret_file: secret.map(PathBuf::from),
                ca_file: None,
            })
        };
        assert!(at("ftp://host/", None).is_err() && at("host", None).is_err());
        assert!(at("http://host/", Some("/nowhere/at/all")).is_err());
    }
}
