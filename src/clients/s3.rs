//! The store of boot images (radosgw in production; path-style addresses): manifests and small objects, read only.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector},
    path::Path,
};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::{ClientError, S3Endpoint, http::causes};
use crate::model::metric::{self, Tally};

/// The largest manifest: IMS and BOS refuse larger ones.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Most buckets kept open.
const BUCKETS_MAX: usize = 64;
/// An object nobody has: "there is none" is a healthy answer. The bucket is CSM's for boot images.
const PROBE: &str = "s3://boot-images/bosun-health";
/// The service's name in errors.
const SERVICE: &str = "s3";

/// The client.
pub struct S3 {
    endpoint: S3Endpoint,
    transport: reqwest::Client,
    timeout: Duration,
    tally: Arc<Tally>,
    buckets: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({})", self.endpoint.url)
    }
}

/// The list of an image's artifacts. How many of a kind there must be is for the reader to judge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The manifest's own ETag, as the store has it.
    pub etag: Option<String>,
    /// Kernels.
    pub kernel: Vec<ManifestArtifact>,
    /// Initial ramdisks.
    pub initrd: Vec<ManifestArtifact>,
    /// Root file systems.
    pub rootfs: Vec<ManifestArtifact>,
    /// Objects with the image's own kernel parameters.
    pub boot_parameters: Vec<ManifestArtifact>,
}

/// One artifact of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManifestArtifact {
    /// Where it is: `s3://bucket/key`.
    pub path: String,
    /// Its ETag when the manifest was written: opaque, not an md5.
    #[serde(default)]
    pub etag: Option<String>,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its ETag, without quotes.
    pub etag: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct ManifestWire {
    #[serde(default)]
    artifacts: Vec<ArtifactWire>,
}

#[derive(Deserialize)]
struct ArtifactWire {
    r#type: String,
    link: Option<ManifestArtifact>,
}

/// Hands our own transport to `object_store`: one pool, one set of certificates, no proxy.
#[derive(Debug)]
struct OurTransport(reqwest::Client);

impl HttpConnector for OurTransport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl S3 {
    pub(super) fn new(
        endpoint: &S3Endpoint,
        transport: reqwest::Client,
        timeout: Duration,
        tally: Arc<Tally>,
    ) -> Result<Self, ClientError> {
        if !endpoint.url.starts_with("http://") && !endpoint.url.starts_with("https://") {
            let text =
                format!("the URL of {SERVICE} ('{}') must begin with http:// or https://", endpoint.url);
            return Err(ClientError::Configuration(text));
        }
        Ok(Self { endpoint: endpoint.clone(), transport, timeout, tally, buckets: Mutex::default() })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        &self.endpoint.url
    }

    /// The manifest at `s3://bucket/key`.
    ///
    /// # Errors
    /// `Refused` with 404 if there is none; `Unreadable` if it is too large or not a manifest.
    pub async fn manifest(&self, path: &str) -> Result<Manifest, ClientError> {
        let (body, etag) = self.read(path, MANIFEST_BYTES_MAX).await?;
        let wire: ManifestWire = serde_json::from_slice(&body)
            .map_err(|error| unreadable(format!("{path} is not an image manifest: {error}")))?;
        let mut manifest = Manifest { etag, ..Manifest::default() };
        for artifact in wire.artifacts {
            let kind = match artifact.r#type.as_str() {
                "application/vnd.cray.image.kernel" => &mut manifest.kernel,
                "application/vnd.cray.image.initrd" => &mut manifest.initrd,
                "application/vnd.cray.image.rootfs.squashfs" => &mut manifest.rootfs,
                "application/vnd.cray.image.parameters.boot" => &mut manifest.boot_parameters,
                _ => continue,
            };
            kind.extend(artifact.link);
        }
        Ok(manifest)
    }

    /// A small object as text.
    ///
    /// # Errors
    /// `Refused` with 404 if there is none; `Unreadable` if it is larger than `bytes_max` or not UTF-8.
    pub async fn text(&self, path: &str, bytes_max: u64) -> Result<String, ClientError> {
        let (body, _) = self.read(path, bytes_max).await?;
        String::from_utf8(body).map_err(|_| unreadable(format!("{path} is not text")))
    }

    /// What is known of an object; none if there is no such object.
    pub async fn head(&self, path: &str) -> Result<Option<ObjectHead>, ClientError> {
        let (bucket, key) = self.place(path)?;
        let head = self.within("HEAD", path, async { bucket.head(&key).await }).await;
        let head = super::found(head)?;
        Ok(head.map(|head| ObjectHead { etag: head.e_tag.map(unquoted), bytes: head.size }))
    }

    /// Whether the store answers, and accepts our keys.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.head(PROBE).await.map(drop)
    }

    async fn read(&self, path: &str, bytes_max: u64) -> Result<(Vec<u8>, Option<String>), ClientError> {
        let (bucket, key) = self.place(path)?;
        let got = self.within("GET", path, async { bucket.get(&key).await }).await?;
        if got.meta.size > bytes_max {
            let size = got.meta.size;
            return Err(unreadable(format!("{path} has {size} bytes; at most {bytes_max} are read")));
        }
        let etag = got.meta.e_tag.clone().map(unquoted);
        let body = self.in_time(path, got.bytes()).await?;
        Ok((body.to_vec(), etag))
    }

    /// The same, counted.
    async fn within<T>(
        &self,
        method: &str,
        path: &str,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, ClientError> {
        tracing::debug!(service = SERVICE, path, "call");
        let begun = Instant::now();
        let answer = self.in_time(path, asked).await;
        let status = match &answer {
            Ok(_) => "200",
            Err(ClientError::Refused { status: 404, .. }) => "404",
            Err(ClientError::Unauthorised { .. }) => "403",
            // The library tried several times, and tells only in words what came of it.
            Err(_) => "broken",
        };
        let labels = [("service", SERVICE), ("method", method), ("status", status)];
        self.tally.measure(metric::SERVICE_REQUEST_SECONDS, &labels, begun.elapsed());
        answer
    }

    async fn in_time<T>(
        &self,
        path: &str,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, ClientError> {
        match timeout(self.timeout, asked).await {
            Ok(answer) => answer.map_err(|error| failure(path, error)),
            Err(_) => Err(ClientError::Unavailable {
                service: SERVICE,
                text: format!("no answer within {} s", self.timeout.as_secs_f32()),
                retry_after: None,
            }),
        }
    }

    /// The bucket's client and the object's key.
    fn place(&self, path: &str) -> Result<(Arc<AmazonS3>, Path), ClientError> {
        let refused = |why: String| ClientError::Refused { service: SERVICE, status: 400, text: why };
        let (bucket, key) = path
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .ok_or_else(|| refused(format!("'{path}' does not name an object (s3://bucket/key)")))?;
        let key = Path::parse(key).map_err(|error| refused(format!("'{path}': {error}")))?;
        let mut buckets = self.buckets.lock().expect("nothing panics while it is held");
        if let Some(known) = buckets.get(bucket) {
            return Ok((known.clone(), key));
        }
        if buckets.len() >= BUCKETS_MAX {
            buckets.clear();
        }
        let client = Arc::new(self.bucket(bucket)?);
        buckets.insert(bucket.to_owned(), client.clone());
        Ok((client, key))
    }

    fn bucket(&self, name: &str) -> Result<AmazonS3, ClientError> {
        let builder = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint.url)
            .with_bucket_name(name)
            // radosgw has no regions; the signature wants one.
            .with_region("us-east-1")
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: 3,
                retry_timeout: self.timeout,
            })
            .with_http_connector(OurTransport(self.transport.clone()));
        let builder = if self.endpoint.access_key.is_empty() {
            builder.with_skip_signature(true)
        } else {
            builder
                .with_access_key_id(&self.endpoint.access_key)
                .with_secret_access_key(&self.endpoint.secret_key)
        };
        builder.build().map_err(|error| ClientError::Configuration(causes(&error)))
    }
}

fn unquoted(etag: String) -> String {
    etag.trim_matches('"').to_owned()
}

fn unreadable(text: String) -> ClientError {
    ClientError::Unreadable { service: SERVICE, text }
}

fn failure(path: &str, error: object_store::Error) -> ClientError {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => {
            ClientError::Refused { service: SERVICE, status: 404, text: format!("there is no {path}") }
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            ClientError::Unauthorised { service: SERVICE, text: format!("{path} is not for us to read") }
        }
        other => ClientError::Unavailable { service: SERVICE, text: causes(&other), retry_after: None },
    }
}
