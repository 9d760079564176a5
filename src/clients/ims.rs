//! Image Management Service (`/v3`): images and their tags.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{
    ClientError, found,
    http::{Http, Reply},
};

/// The tag that makes a root file system projected.
const PROJECT_KEY: &str = "sbps-project";

/// The client.
#[derive(Debug)]
pub struct Ims {
    http: Http,
}

/// An image as IMS has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name; not unique.
    pub name: String,
    /// `x86_64` or `aarch64`; old records have none.
    pub arch: Option<String>,
    /// Its tags.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ImageWire {
    id: String,
    name: Option<String>,
    arch: Option<String>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

/// What became of a request to tag an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// The image has the tag.
    Done,
    /// IMS does not manage this image.
    NotManaged,
}

#[derive(Deserialize)]
struct VersionWire {
    version: String,
}

#[derive(Serialize)]
struct PatchWire {
    metadata: MetadataWire,
}

#[derive(Serialize)]
struct MetadataWire {
    operation: &'static str,
    key: &'static str,
    value: &'static str,
}

impl Ims {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// An image, if IMS manages it.
    pub async fn image(&self, id: &str) -> Result<Option<Image>, ClientError> {
        let Some(reply) = found(self.http.get(&["v3", "images", id], &[]).await)? else { return Ok(None) };
        let wire: ImageWire = reply.json()?;
        let tags = wire.metadata.unwrap_or_default().into_iter();
        Ok(Some(Image {
            id: wire.id,
            name: wire.name.unwrap_or_default(),
            arch: wire.arch,
            metadata: tags.filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect(),
        }))
    }

    /// Marks an image so that its root file system is projected. Saying it twice is harmless.
    pub async fn tag_projected(&self, id: &str) -> Result<Tagged, ClientError> {
        let body = PatchWire { metadata: MetadataWire { operation: "set", key: PROJECT_KEY, value: "true" } };
        let answer = self.http.write(Method::PATCH, &["v3", "images", id], Some(&body)).await;
        Ok(if found(answer)?.is_some() { Tagged::Done } else { Tagged::NotManaged })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        self.http.root().as_str()
    }

    /// Its version, if it tells.
    pub(super) async fn version(&self) -> Option<String> {
        let reply = self.http.get(&["version"], &[]).await.ok()?;
        reply.json::<VersionWire>().ok().map(|wire| wire.version)
    }

    /// Whether IMS is well.
    pub(super) async fn ready(&self) -> Result<Reply, ClientError> {
        self.http.get(&["healthz", "ready"], &[]).await
    }
}
