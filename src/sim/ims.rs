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

/// Why a request is refused.
#[derive(Debug)]
enum Problem {
    /// The body is no JSON: the only refusal of the five services that is no problem document.
    NotJson(String),
    /// Anything else; it may say which field is wrong. IMS's problems have no `type`.
    Refused { status: StatusCode, detail: &'static str, field: Option<(String, &'static str)> },
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::NotJson(failure) => {
                let message = format!("Failed to decode JSON object: {failure}");
                json_with(StatusCode::BAD_REQUEST, &json!({ "message": message }))
            }
            Self::Refused { status, detail, field } => {
                let mut body =
                    json!({"title": status.canonical_reason(), "detail": detail, "status": status.as_u16()});
                if let Some((field, why)) = field {
                    body["errors"] = json!({ field: [why] });
                }
                raw(status, "application/problem+json", body.to_string().into_bytes())
            }
        }
    }
}

type Answer = Result<Response, Problem>;

fn problem(status: StatusCode, detail: &'static str) -> Problem {
    Problem::Refused { status, detail, field: None }
}

fn no_such_image() -> Problem {
    problem(StatusCode::NOT_FOUND, "Requested resource does not exist. Re-run request with valid ID.")
}

fn wrong_field(field: &str, why: &'static str) -> Problem {
    Problem::Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        detail: "The input was understood but is not valid.",
        field: Some((field.to_owned(), why)),
    }
}

fn decode(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let object: Map<String, Value> = read(body).map_err(Problem::NotJson)?;
    if object.is_empty() {
        return Err(problem(StatusCode::BAD_REQUEST, "The request brought no data."));
    }
    Ok(object)
}

async fn list(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.ims.images.values().collect::<Vec<_>>()))
}

async fn list_deleted(Extract(sim): Extract<Shared>) -> Response {
    sim.with(|world| json(&world.ims.deleted.values().collect::<Vec<_>>()))
}

async fn one(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    sim.with(|world| world.ims.images.get(&id).map(json).ok_or_else(no_such_image))
}

async fn create(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let object = decode(&body)?;
    sim.with(|world| register(world, &object))
}

fn register(world: &mut World, object: &Map<String, Value>) -> Answer {
    if let Some(unknown) =
        object.keys().find(|key| !["name", "link", "arch", "metadata"].contains(&key.as_str()))
    {
        return Err(wrong_field(unknown, "Unknown field."));
    }
    let Some(name) = object.get("name").and_then(Value::as_str) else {
        return Err(wrong_field("name", "Missing data for required field."));
    };
    let arch = object.get("arch").and_then(Value::as_str).unwrap_or("x86_64");
    if !["x86_64", "aarch64"].contains(&arch) {
        return Err(wrong_field("arch", "Must be one of: aarch64, x86_64."));
    }
    let link = match object.get("link").and_then(|link| link["path"].as_str()) {
        None => None,
        Some(path) => {
            if !world.s3.has_path(path) {
                return Err(wrong_field("link", "The artifact does not exist."));
            }
            let same = |image: &Image| image.link.as_ref().is_some_and(|link| link.path == path);
            if world.ims.images.values().any(same) {
                return Err(wrong_field("link", "Another image has this link."));
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
    Ok(response)
}

async fn change(Extract(sim): Extract<Shared>, Path(id): Path<String>, body: Bytes) -> Answer {
    let object = decode(&body)?;
    sim.with(|world| alter(world, &id, &object))
}

fn alter(world: &mut World, id: &str, object: &Map<String, Value>) -> Answer {
    let image = world.ims.images.get_mut(id).ok_or_else(no_such_image)?;
    for (field, value) in object {
        match field.as_str() {
            "metadata" => set_metadata(image, value)?,
            "arch" => value.as_str().unwrap_or_default().clone_into(&mut image.arch),
            "link" => set_link(image, value)?,
            other => return Err(wrong_field(other, "Unknown field.")),
        }
    }
    Ok(json(image))
}

/// Sets or removes the one key that a request can name.
fn set_metadata(image: &mut Image, change: &Value) -> Result<(), Problem> {
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

fn set_link(image: &mut Image, value: &Value) -> Result<(), Problem> {
    let path = value["path"].as_str().unwrap_or_default();
    match &image.link {
        Some(link) if link.path != path => {
            Err(problem(StatusCode::CONFLICT, "The image has a link already."))
        }
        Some(_) => Ok(()),
        None => {
            let etag = value["etag"].as_str().unwrap_or_default().to_owned();
            image.link = Some(Link { path: path.to_owned(), etag, kind: "s3" });
            Ok(())
        }
    }
}

async fn delete(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    let buried = sim.with(|world| bury(world, &id));
    if buried { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(no_such_image()) }
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

async fn undelete(Extract(sim): Extract<Shared>, Path(id): Path<String>) -> Answer {
    sim.with(|world| {
        let image = world.ims.deleted.remove(&id).ok_or_else(no_such_image)?;
        world.s3.rename(&format!("{BUCKET}/deleted/{id}/"), &format!("{BUCKET}/{id}/"));
        world.ims.images.insert(id, image);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}
