//! The OpenAPI document, and whether what the server does is what it says.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

/// The document of the server at `url`; all servers have the same.
pub async fn document(url: &str) -> &'static Value {
    let ask = || async { reqwest::get(format!("{url}/openapi.json")).await.unwrap().json().await.unwrap() };
    DOCUMENT.get_or_init(ask).await
}

/// Reads an answer, and fails if the document does not allow it.
pub async fn checked(url: &str, method: &Method, path: &str, answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (media, allow) = (header("content-type"), header("allow"));
    let text = answer.text().await.unwrap();
    let wrong = fault(document(url).await, method, path, status.as_u16(), &media, &allow, &text);
    assert_eq!(
        wrong, None,
        "{method} {path} answered {status} {text}\nif this is as it should be, change what the endpoint declares \
         (its `endpoints()` and shapes in src/api)"
    );
    (status, text)
}

/// What about an answer is not as the document says.
pub fn fault(
    document: &Value,
    method: &Method,
    path: &str,
    status: u16,
    media: &str,
    allow: &str,
    text: &str,
) -> Option<String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let media = media.split(';').next().unwrap_or_default();
    let Some(item) = item_of(document, path) else {
        return (![400, 404].contains(&status)).then(|| "the path is not documented".to_owned());
    };
    let verb = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
    let Some(operation) = item.get(&verb) else {
        let refused = status == 405 && !allow.is_empty() || status == 400;
        return (!refused).then(|| format!("the method is not documented; Allow: '{allow}'"));
    };
    let Some(response) = operation["responses"].get(status.to_string()) else {
        return Some(format!("status {status} is not documented"));
    };
    if status < 300
        && let Some(unknown) = undeclared(operation, query)
    {
        return Some(format!("the query parameter '{unknown}' is not documented"));
    }
    if *method == Method::HEAD {
        return None;
    }
    let Some(contents) = response["content"].as_object() else {
        return (!text.is_empty()).then(|| "a body where none is documented".to_owned());
    };
    let Some(content) = contents.get(media) else {
        return Some(format!("the media type '{media}' is not documented"));
    };
    if !media.ends_with("json") {
        return None;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Some("the body is not JSON".to_owned());
    };
    let told = |error: jsonschema::ValidationError<'_>| {
        let words: String = error.to_string().chars().take(500).collect();
        format!("the body at '{}': {words}", error.instance_path())
    };
    validator(document, &content["schema"]).iter_errors(&value).next().map(told)
}

/// A query parameter that was taken and is not declared; `unknown` and `nonsense` are meant to be ignored.
fn undeclared(operation: &Value, query: &str) -> Option<String> {
    let declared = operation["parameters"].as_array()?;
    let known =
        |name: &str| declared.iter().any(|parameter| parameter["in"] == "query" && parameter["name"] == name);
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    names.find(|name| !["unknown", "nonsense"].contains(&name.as_str()) && !known(name))
}

/// The path of the document that a path belongs to.
fn item_of<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix("/apis/bos").unwrap_or(path);
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        wanted.len() == given.len()
            && wanted
                .iter()
                .zip(&given)
                .all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()))
    };
    let paths = document["paths"].as_object().unwrap();
    paths.get(path).or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))
}

/// A schema of the document, with what it refers to. Made once.
pub fn validator(document: &Value, schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let make = || {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": document["components"],
        });
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap())
    };
    MADE.lock().unwrap().entry(schema.to_string()).or_insert_with(make).clone()
}
