//! An endpoint as an operation of the document.

use serde_json::{Map, Value, json};

use super::schema::Schemas;
use crate::api::{
    bos::shape::COMPONENT_ID,
    bosun::answer,
    endpoint::{Endpoint, Parameter},
    schema::{Shape, optional, required, text},
};

const TEXT: Shape = text(usize::MAX);

/// Whatever goes wrong: BOS's four keys, and what programs may want to know of a session that was not admitted.
pub const PROBLEM: Shape = Shape::Named(
    "Problem",
    &Shape::Object(&[
        required("detail", &TEXT),
        required("status", &Shape::Integer { min: 400, max: 599 }),
        required("title", &TEXT),
        required("type", &Shape::Word(&["about:blank"])),
        optional("rejected", &Shape::Boolean),
        optional("held", &Shape::Many(&answer::HOLDER)),
        optional("frozen", &Shape::Many(&answer::FROZEN)),
        optional("confirm", &answer::COUNT),
        optional("changes", &Shape::Many(&TEXT)),
    ]),
);

/// What every endpoint may answer.
const ALWAYS: [u16; 3] = [400, 500, 503];

/// What the status codes of errors mean.
fn meaning(status: u16) -> &'static str {
    match status {
        200 => "As asked",
        201 => "Created",
        202 => "Kept; somebody will see to it",
        204 => "Done",
        308 => "Elsewhere",
        400 => "The request is wrong",
        401 => "Nobody knows who asks: a bearer token is missing, or is not accepted",
        403 => "Whoever asks may not do this",
        404 => "There is no such thing",
        408 => "The body did not come in time",
        409 => "Something else is in the way",
        413 => "The body is too large",
        414 => "The URL is too long",
        415 => "The body is not JSON",
        422 => "The session cannot be admitted",
        500 => "Our own mistake",
        503 => "The database, or a service, does not answer; or too many ask at once",
        _ => "See the problem",
    }
}

/// An operation, and the schemas it refers to.
pub fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let in_path = names_in(&endpoint.path).map(|name| {
        let own = endpoint.path_shapes.iter().find(|(of, _)| *of == name);
        let shape = own.map_or(if name == "id" { &COMPONENT_ID } else { &Shape::Name }, |(_, shape)| shape);
        json!({"name": name, "in": "path", "required": true, "schema": schemas.of(shape)})
    });
    let mut parameters: Vec<Value> = in_path.collect();
    parameters.extend(endpoint.query.iter().map(|query| parameter("query", query, schemas)));
    parameters.extend(endpoint.headers.iter().map(|header| parameter("header", header, schemas)));
    let mut shown = json!({
        "operationId": id(endpoint),
        "tags": [tag(&endpoint.path)],
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses(endpoint, schemas),
    });
    if !endpoint.description.is_empty() {
        shown["description"] = json!(endpoint.description);
    }
    if let Some(shape) = endpoint.body {
        shown["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schemas.of(shape)}}});
    }
    shown
}

fn parameter(place: &str, parameter: &Parameter, schemas: &mut Schemas) -> Value {
    json!({
        "name": parameter.name, "in": place, "description": parameter.what, "schema": schemas.of(parameter.shape),
    })
}

fn responses(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for answer in &endpoint.answers {
        let response = responses
            .entry(answer.status.to_string())
            .or_insert_with(|| json!({"description": meaning(answer.status)}));
        if !answer.media.is_empty() {
            response["content"][answer.media] = json!({"schema": schemas.of(answer.shape)});
        }
    }
    let guarded: &[u16] = if endpoint.role.is_some() { &[401, 403] } else { &[] };
    for status in ALWAYS.iter().chain(guarded).chain(&endpoint.errors) {
        let content = json!({"application/problem+json": {"schema": schemas.of(&PROBLEM)}});
        responses.insert(status.to_string(), json!({"description": meaning(*status), "content": content}));
    }
    // What reads requests refuses a longer URL before anybody here sees it, and says nothing more.
    if !endpoint.query.is_empty() {
        responses.insert("414".to_owned(), json!({"description": meaning(414)}));
    }
    Value::Object(responses)
}

/// The names between braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let end = if endpoint.path.len() > 1 && endpoint.path.ends_with('/') { "_page" } else { "" };
    std::iter::once(endpoint.method).chain(words).collect::<Vec<_>>().join("_") + end
}

/// The noun, by the API it is part of.
fn tag(path: &str) -> String {
    let noun = |rest: &str| rest.split('/').find(|word| !word.is_empty()).unwrap_or("version").to_owned();
    if let Some(rest) = path.strip_prefix("/v2") {
        format!("BOS v2: {}", noun(rest))
    } else if let Some(rest) = path.strip_prefix("/bosun/v1") {
        format!("bosun: {}", noun(rest))
    } else {
        "The server".to_owned()
    }
}
