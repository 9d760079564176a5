//! IMS, image management: records of images, with metadata that is changed one key at a time.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Shared;
use super::http::{json, json_with, raw, read};
use super::s3::{BUCKET, S3};
use super::world::World;

/// A link to an image's manifest.
#[derive(Clone, Debug, Serialize)]
struct Link {
    path: String,
    etag: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// An image's record.
#[derive(Clone, Debug, Serialize)]
struct Image {
    id: String,
    /// Local time without a zone.
    created: String,
    name: String,
    link: Option<Link>,
    arch: String,
    metadata: BTreeMap<String, String>,
}

/// IMS's records.
#[derive(Debug, Default)]
pub struct Ims {
    images: BTreeMap<String, Image>,
    deleted: BTreeMap<String, Image>,
}

impl Ims {
    /// One record for each image that the machine starts with.
    pub fn seeded(s3: &S3) -> Self {
        let record = |image: &super::s3::SeededImage| {
            let link = Link { path: image.path.clone(), etag: image.etag.clone(), kind: "s3" };
            let record = Image {
                id: image.id.to_owned(),
                created: "2026-01-02T03:04:05.678900".to_owned(),
                name: image.name.to_owned(),
                link: Some(link),
                arch: "x86_64".to_owned(),
                metadata: BTreeMap::new(),
            };
            (image.id.to_owned(), record)
        };
        Self { images: s3.images().map(record).collect(), deleted: BTreeMap::new() }
    }
}

/// The routes below `/v3`.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/images", get(list).post(create).delete(delete_all))
        .route("/images/{id}", get(one).patch(change).delete(delete))
        .route("/deleted/images", get(list_deleted))
        .route("/deleted/images/{id}", patch(undelete))
}

/// IMS's problems have no `type`, and may say which fields are wrong.
fn problem(status: StatusCode, detail: &str, errors: Option<Value>) -> Response {
    let mut body = json!({
        "title": status.canonical_reason(), "detail": detail, "status": status.as_u16(),
    });
    if let Some(errors) = errors {
        body["errors"] = errors;
    }
    raw(status, "application/problem+json", body.to_string().into_bytes())
}

fn no_such_image() -> Response {
    problem(StatusCode::NOT_FOUND, "Requested resource does not exist. Re-run request with valid ID.", None)
}

fn wrong_field(field: &str, why: &str) -> Response {
    let errors = json!({ field: [why] });
    problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Input data was understood, but failed validation.",
        Some(errors),
    )
}

fn decode(body: &[u8]) -> Result<Map<String, Value>, Response> {
    match read::<Map<String, Value>>(body) {
        Ok(object) if object.is_empty() => {
            Err(problem(StatusCode::BAD_REQUEST, "No post data accompanied the request.", None))
        }
        Ok(object) => Ok(object),
        Err(failure) => {
            let message = json!({"message": format!("Failed to decode JSON object: {failure}")});
            Err(json_with(StatusCode::BAD_REQUEST, &message))
        }
    }
}

async fn list(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.ims.images.values().collect::<Vec<_>>()))
}

async fn list_deleted(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.ims.deleted.values().collect::<Vec<_>>()))
}

async fn one(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Response {
    sim.with(|world| world.ims.images.get(&id).map_or_else(no_such_image, json))
}

async fn create(Extract(sim): Extract<Shared>, body: Bytes) -> Response {
    let object = match decode(&body) {
        Ok(object) => object,
        Err(refusal) => return refusal,
    };
    sim.with(|world| register(world, &object))
}

fn register(world: &mut World, object: &Map<String, Value>) -> Response {
    if let Some(unknown) =
        object.keys().find(|key| !["name", "link", "arch", "metadata"].contains(&key.as_str()))
    {
        return wrong_field(unknown, "Unknown field.");
    }
    let Some(name) = object.get("name").and_then(Value::as_str) else {
        return wrong_field("name", "Missing data for required field.");
    };
    let arch = object.get("arch").and_then(Value::as_str).unwrap_or("x86_64");
    if !["x86_64", "aarch64"].contains(&arch) {
        return wrong_field("arch", "Must be one of: aarch64, x86_64.");
    }
    let link = match object.get("link").and_then(|link| link["path"].as_str()) {
        None => None,
        Some(path) => {
            if !world.s3.has_path(path) {
                return wrong_field("link", "The artifact does not exist.");
            }
            let same = |image: &Image| image.link.as_ref().is_some_and(|link| link.path == path);
            if world.ims.images.values().any(same) {
                return wrong_field("link", "Another image has this link.");
            }
            let etag = world.s3.etag(path).unwrap_or_default().to_owned();
            Some(Link { path: path.to_owned(), etag, kind: "s3" })
        }
    };
    let mut metadata = BTreeMap::new();
    if let Some(pair) = object.get("metadata")
        && let (Some(key), Some(value)) = (pair["key"].as_str(), pair["value"].as_str())
    {
        metadata.insert(key.to_owned(), value.to_owned());
    }
    let image = Image {
        id: Uuid::new_v4().to_string(),
        created: world.clock.calendar(world.now).format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        name: name.to_owned(),
        link,
        arch: arch.to_owned(),
        metadata,
    };
    let response = json_with(StatusCode::CREATED, &image);
    world.ims.images.insert(image.id.clone(), image);
    response
}

async fn change(Extract(sim): Extract<Shared>, Path(id): Path<String>, body: Bytes) -> Response {
    let object = match decode(&body) {
        Ok(object) => object,
        Err(refusal) => return refusal,
    };
    sim.with(|world| {
        let Some(image) = world.ims.images.get_mut(&id) else { return no_such_image() };
        for (field, value) in &object {
            let done = match field.as_str() {
                "metadata" => set_metadata(image, value),
                "arch" => {
                    value.as_str().unwrap_or_default().clone_into(&mut image.arch);
                    Ok(())
                }
                "link" => set_link(image, value),
                other => Err(wrong_field(other, "Unknown field.")),
            };
            if let Err(refusal) = done {
                return refusal;
            }
        }
        json(image)
    })
}

/// Sets or removes the one key that a request can name.
#[allow(clippy::result_large_err, reason = "the error is the answer")]
fn set_metadata(image: &mut Image, change: &Value) -> Result<(), Response> {
    let Some(key) = change["key"].as_str() else {
        return Err(wrong_field("metadata", "Missing key."));
    };
    match change["operation"].as_str() {
        Some("set") => {
            let value = change["value"].as_str().unwrap_or_default();
            image.metadata.insert(key.to_owned(), value.to_owned());
            Ok(())
        }
        Some("remove") => {
            image.metadata.remove(key);
            Ok(())
        }
        _ => Err(wrong_field("metadata", "operation must be one of: set, remove.")),
    }
}

#[allow(clippy::result_large_err, reason = "the error is the answer")]
fn set_link(image: &mut Image, value: &Value) -> Result<(), Response> {
    let path = value["path"].as_str().unwrap_or_default();
    match &image.link {
        Some(link) if link.path != path => {
            Err(problem(StatusCode::CONFLICT, "The image has a link already.", None))
        }
        Some(_) => Ok(()),
        None => {
            let etag = value["etag"].as_str().unwrap_or_default().to_owned();
            image.link = Some(Link { path: path.to_owned(), etag, kind: "s3" });
            Ok(())
        }
    }
}

async fn delete(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Response {
    sim.with(|world| if bury(world, &id) { StatusCode::NO_CONTENT.into_response() } else { no_such_image() })
}

async fn delete_all(Extract(sim): Extract<Shared>) -> StatusCode {
    sim.with(|world| {
        let ids: Vec<String> = world.ims.images.keys().cloned().collect();
        ids.iter().for_each(|id| _ = bury(world, id));
        StatusCode::NO_CONTENT
    })
}

/// Moves an image and its artifacts to where deleted ones are: a boot set's path breaks.
fn bury(world: &mut World, id: &str) -> bool {
    let Some(image) = world.ims.images.remove(id) else { return false };
    world.s3.rename(&format!("{BUCKET}/{id}/"), &format!("{BUCKET}/deleted/{id}/"));
    world.ims.deleted.insert(id.to_owned(), image);
    true
}

async fn undelete(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Response {
    sim.with(|world| {
        let Some(image) = world.ims.deleted.remove(&id) else { return no_such_image() };
        world.s3.rename(&format!("{BUCKET}/deleted/{id}/"), &format!("{BUCKET}/{id}/"));
        world.ims.images.insert(id, image);
        StatusCode::NO_CONTENT.into_response()
    })
}
