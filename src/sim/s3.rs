//! The object store: path-style buckets with the image artifacts, any signature accepted.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Extract};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Shared;
use super::clock::{Clock, Moment};
use super::http::raw;

/// The bucket of boot images.
pub const BUCKET: &str = "boot-images";

/// An image that the machine starts with.
#[derive(Clone, Debug, Serialize)]
pub struct SeededImage {
    /// What it is for.
    pub name: &'static str,
    /// Its id in IMS.
    pub id: &'static str,
    /// The `path` of a boot set.
    pub path: String,
    /// The manifest's ETag without quotes; empty if there is no manifest.
    pub etag: String,
}

/// An object.
#[derive(Clone, Debug)]
struct Object {
    body: Bytes,
    /// Without quotes. It looks like an md5 and is none; clients must not care.
    etag: String,
    modified: String,
}

/// All buckets.
#[derive(Debug)]
pub struct S3 {
    /// By `bucket/key`.
    objects: BTreeMap<String, Object>,
    images: Vec<SeededImage>,
}

const KERNEL: &str = "application/vnd.cray.image.kernel";
const INITRD: &str = "application/vnd.cray.image.initrd";
const ROOTFS: &str = "application/vnd.cray.image.rootfs.squashfs";
const PARAMETERS: &str = "application/vnd.cray.image.parameters.boot";

/// Types of artifacts and the files they are in.
type Artifacts = &'static [(&'static str, &'static str)];

/// Name, id, and the artifacts of the manifest; an image without artifacts has no manifest at all.
const SEEDS: [(&str, &str, Artifacts); 6] = [
    (
        "image-a",
        "a0000000-0000-4000-8000-00000000000a",
        &[(KERNEL, "kernel"), (INITRD, "initrd"), (ROOTFS, "rootfs"), (PARAMETERS, "boot_parameters")],
    ),
    (
        "image-b",
        "b0000000-0000-4000-8000-00000000000b",
        &[(KERNEL, "kernel"), (INITRD, "initrd"), (ROOTFS, "rootfs")],
    ),
    ("no-initrd", "c0000000-0000-4000-8000-00000000000c", &[(KERNEL, "kernel"), (ROOTFS, "rootfs")]),
    (
        "two-kernels",
        "d0000000-0000-4000-8000-00000000000d",
        &[(KERNEL, "kernel"), (KERNEL, "kernel-debug"), (INITRD, "initrd"), (ROOTFS, "rootfs")],
    ),
    ("no-manifest", "e0000000-0000-4000-8000-00000000000e", &[]),
    (
        "sbps",
        "f0000000-0000-4000-8000-00000000000f",
        &[(KERNEL, "kernel"), (INITRD, "initrd"), (ROOTFS, "rootfs"), (PARAMETERS, "boot_parameters")],
    ),
];

impl S3 {
    /// The bucket of a new machine.
    pub fn seeded(clock: &Clock) -> Self {
        let mut s3 = Self { objects: BTreeMap::new(), images: Vec::new() };
        for (name, id, artifacts) in SEEDS {
            let mut entries = Vec::new();
            for (kind, file) in artifacts {
                let body = match *file {
                    "boot_parameters" => {
                        "console=ttyS0,115200 bad_page=panic crashkernel=360M hugepagelist=2m-2g".to_owned()
                    }
                    file => format!("{file} of {name}\n"),
                };
                let key = format!("{id}/{file}");
                let etag = s3.put(&format!("{BUCKET}/{key}"), body.into(), Moment::START, clock);
                entries.push(json!({
                    "type": kind, "md5": etag,
                    "link": {"type": "s3", "path": format!("s3://{BUCKET}/{key}"), "etag": etag},
                }));
            }
            let mut etag = String::new();
            let key = format!("{BUCKET}/{id}/manifest.json");
            if !entries.is_empty() {
                let manifest: Value =
                    json!({"version": "1.0", "created": "2026-01-02 03:04:05.678900", "artifacts": entries});
                etag = s3.put(&key, manifest.to_string().into(), Moment::START, clock);
            }
            s3.images.push(SeededImage { name, id, path: format!("s3://{key}"), etag });
        }
        s3
    }

    /// The images that the machine started with.
    pub fn images(&self) -> impl Iterator<Item = &SeededImage> {
        self.images.iter()
    }

    /// Whether there is an object at `s3://bucket/key`.
    pub fn has_path(&self, path: &str) -> bool {
        path.strip_prefix("s3://").is_some_and(|key| self.objects.contains_key(key))
    }

    /// The ETag, without quotes, of the object at `s3://bucket/key`.
    pub fn etag(&self, path: &str) -> Option<&str> {
        self.objects.get(path.strip_prefix("s3://")?).map(|object| object.etag.as_str())
    }

    /// Moves everything below one prefix of a bucket to another, as IMS does with deleted images.
    pub fn rename(&mut self, from: &str, to: &str) {
        let keys: Vec<String> = self.objects.keys().filter(|key| key.starts_with(from)).cloned().collect();
        for key in keys {
            if let Some(object) = self.objects.remove(&key) {
                self.objects.insert(format!("{to}{}", &key[from.len()..]), object);
            }
        }
    }

    fn put(&mut self, key: &str, body: Bytes, now: Moment, clock: &Clock) -> String {
        let digest = Sha256::digest(&body);
        let etag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let modified = clock.calendar(now).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.objects.insert(key.to_owned(), Object { body, etag: etag.clone(), modified });
        etag
    }
}

/// Below `/s3` any bucket, and at the root the one of boot images.
pub fn routes() -> Router<Shared> {
    let any = get(read_any).put(write_any).delete(remove_any);
    let boot = get(read_boot).put(write_boot).delete(remove_boot);
    Router::new().route("/s3/{bucket}/{*key}", any).route("/boot-images/{*key}", boot)
}

async fn read_any(sim: Extract<Shared>, path: Path<(String, String)>, headers: HeaderMap) -> Response {
    fetch(&sim, &format!("{}/{}", path.0.0, path.0.1), &headers)
}

async fn read_boot(sim: Extract<Shared>, key: Path<String>, headers: HeaderMap) -> Response {
    fetch(&sim, &format!("{BUCKET}/{}", key.0), &headers)
}

async fn write_any(sim: Extract<Shared>, path: Path<(String, String)>, body: Bytes) -> Response {
    store(&sim, &format!("{}/{}", path.0.0, path.0.1), body)
}

async fn write_boot(sim: Extract<Shared>, key: Path<String>, body: Bytes) -> Response {
    store(&sim, &format!("{BUCKET}/{}", key.0), body)
}

async fn remove_any(sim: Extract<Shared>, path: Path<(String, String)>) -> StatusCode {
    sim.with(|world| world.s3.objects.remove(&format!("{}/{}", path.0.0, path.0.1)));
    StatusCode::NO_CONTENT
}

async fn remove_boot(sim: Extract<Shared>, key: Path<String>) -> StatusCode {
    sim.with(|world| world.s3.objects.remove(&format!("{BUCKET}/{}", key.0)));
    StatusCode::NO_CONTENT
}

fn store(sim: &Shared, key: &str, body: Bytes) -> Response {
    let etag = sim.with(|world| {
        let (now, clock) = (world.now, world.clock);
        world.s3.put(key, body, now, &clock)
    });
    (StatusCode::OK, [(ETAG, format!("\"{etag}\""))]).into_response()
}

fn fetch(sim: &Shared, key: &str, headers: &HeaderMap) -> Response {
    let Some(object) = sim.with(|world| world.s3.objects.get(key).cloned()) else {
        let (bucket, key) = key.split_once('/').unwrap_or((key, ""));
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><BucketName>{bucket}</BucketName>\
             <Key>{key}</Key><RequestId>tx0</RequestId></Error>"
        );
        return raw(StatusCode::NOT_FOUND, "application/xml", xml.into_bytes());
    };
    let total = object.body.len();
    let range = headers.get(RANGE).and_then(|value| parse_range(value.to_str().ok()?, total));
    let (status, body) = match range {
        Some((first, last)) => (StatusCode::PARTIAL_CONTENT, object.body.slice(first..=last)),
        None => (StatusCode::OK, object.body),
    };
    let length = body.len();
    let mut response = (status, Body::from(body)).into_response();
    let out = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.insert(name, value);
        }
    };
    set(ETAG, format!("\"{}\"", object.etag));
    set(LAST_MODIFIED, object.modified);
    set(CONTENT_LENGTH, length.to_string());
    set(ACCEPT_RANGES, "bytes".to_owned());
    set(CONTENT_TYPE, "application/octet-stream".to_owned());
    if let Some((first, last)) = range {
        set(CONTENT_RANGE, format!("bytes {first}-{last}/{total}"));
    }
    response
}

/// First and last byte of `bytes=a-b` within an object of `total` bytes.
fn parse_range(value: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let last =
        if last.is_empty() { total.checked_sub(1)? } else { last.parse::<usize>().ok()?.min(total - 1) };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_objects_that_exist() {
        let s3 = S3::seeded(&Clock::start());
        let good = s3.images().find(|image| image.name == "image-a").unwrap();
        let manifest: Value =
            serde_json::from_slice(&s3.objects[good.path.trim_start_matches("s3://")].body).unwrap();
        let artifacts = manifest["artifacts"].as_array().unwrap();
        assert_eq!(artifacts.len(), 4);
        for artifact in artifacts {
            let path = artifact["link"]["path"].as_str().unwrap();
            assert_eq!(s3.etag(path), artifact["link"]["etag"].as_str());
        }
        let none = s3.images().find(|image| image.name == "no-manifest").unwrap();
        assert!(!s3.has_path(&none.path));
    }

    #[test]
    fn ranges_stay_within_the_object() {
        assert_eq!(parse_range("bytes=0-3", 10), Some((0, 3)));
        assert_eq!(parse_range("bytes=4-", 10), Some((4, 9)));
        assert_eq!(parse_range("bytes=4-99", 10), Some((4, 9)));
        assert_eq!(parse_range("bytes=10-", 10), None);
    }
}
