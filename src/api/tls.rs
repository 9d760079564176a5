//! TLS for the API: certificate and key from files, read again when they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How often the files' age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the certificate '{certificate}' and the key '{key}' cannot be used: {why}")]
pub struct TlsError {
    certificate: String,
    key: String,
    why: String,
}

/// Certificate and key, as their files have them.
#[derive(Debug)]
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    looked_at: Instant,
    modified: [Option<SystemTime>; 2],
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads them for the first time. Both are PEM; the certificate's file holds the whole chain.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let modified = [modified(&certificate), modified(&key)];
        let config = read(&certificate, &key).map_err(|why| TlsError {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            why,
        })?;
        let held = Mutex::new(Held { looked_at: Instant::now(), modified, config });
        Ok(Self { certificate, key, held })
    }

    /// Greets whoever connected.
    ///
    /// # Errors
    /// It speaks no TLS, or hangs.
    pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake takes too long");
        timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(self.current()).accept(stream)).await.map_err(late)?
    }

    /// Files that cannot be read just now, or do not belong together yet, leave things as they were.
    fn current(&self) -> Arc<ServerConfig> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.looked_at.elapsed() >= LOOK_EVERY {
            held.looked_at = Instant::now();
            let modified = [modified(&self.certificate), modified(&self.key)];
            if modified != held.modified {
                match read(&self.certificate, &self.key) {
                    Ok(config) => {
                        held.modified = modified;
                        held.config = config;
                        tracing::info!("serving a new certificate");
                    }
                    Err(why) => tracing::warn!("the new certificate cannot be used yet: {why}"),
                }
            }
        }
        held.config.clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
    // Somebody else (a client of ours) may have installed it already; that is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
