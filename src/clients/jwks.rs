//! The keys (JWKS) of whoever issues bearer tokens to our callers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    ClientError, Endpoints, ServiceSettings,
    http::{Http, ReadTimeout},
    transport,
};

/// The longest a question may take, with all its tries: callers wait for it.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The client.
#[derive(Debug)]
pub struct Jwks {
    http: Http,
}

impl Jwks {
    /// Prepares the client; asks nobody yet. `ca_file`: certificates to be trusted beside the system's.
    ///
    /// # Errors
    /// `Configuration`: the URL or the CA file cannot be used.
    pub fn new(url: &str, ca_file: Option<PathBuf>) -> Result<Self, ClientError> {
        let settings = ServiceSettings { read_timeout: READ_TIMEOUT, ..ServiceSettings::default() };
        let client = transport(&Endpoints { ca_file, ..Endpoints::default() }, &settings)?;
        let timeout = Arc::new(ReadTimeout::new(READ_TIMEOUT));
        Ok(Self { http: Http::new("jwks", url, client, None, &settings, timeout)? })
    }

    /// The keys, as they are published.
    pub async fn keys(&self) -> Result<Value, ClientError> {
        self.http.get(&[], &[]).await?.json()
    }
}
