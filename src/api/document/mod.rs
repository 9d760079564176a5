//! `/openapi.json`: the OpenAPI 3.1 document of both APIs, and `/openapi/`: the same to browse. Made of the declarations that
//! the router is made of, once; nothing is fetched from anywhere, and the page runs no script.

mod operation;
mod page;
mod schema;

use std::sync::LazyLock;

use axum::{
    extract::OriginalUri,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    endpoint::Endpoint,
    schema::{Shape, text},
};

/// Who may do what with the page: load its own style, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");

/// The document, and the page, as they are sent.
static TEXTS: LazyLock<(String, String)> = LazyLock::new(|| {
    let document = document(&super::endpoints());
    (format!("{document:#}\n"), page::page(&document))
});

const ANY_TEXT: Shape = text(usize::MAX);

/// What is at the root.
pub fn endpoints() -> Vec<Endpoint> {
    let document =
        Endpoint::get("/openapi.json", openapi, "This document").open().answer(200, &Shape::Open(&[]));
    [vec![document], page_at("/openapi")].concat()
}

/// The page, below this path.
pub fn page_at(path: &str) -> Vec<Endpoint> {
    let below = |name: &str| format!("{path}/{name}");
    vec![
        Endpoint::get(path, to_page, "Where the page is").open().empty(308),
        Endpoint::get(&below(""), browse, "This document as a page").open().answer_as(
            200,
            "text/html",
            &ANY_TEXT,
        ),
        Endpoint::get(&below("style.css"), style, "How the page looks")
            .open()
            .answer_as(200, "text/css", &ANY_TEXT),
    ]
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXTS.0.as_str()).into_response()
}

/// Relative: whoever comes through a gateway stays behind it.
async fn to_page(OriginalUri(uri): OriginalUri) -> Response {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{name}/"))]).into_response()
}

async fn browse() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, TEXTS.1.as_str()).into_response()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// The document of these endpoints.
fn document(endpoints: &[Endpoint]) -> Value {
    let mut schemas = schema::Schemas::default();
    let mut paths = json!({});
    for endpoint in endpoints {
        let path = &mut paths[endpoint.path.as_str()];
        if endpoint.path.starts_with("/v2") {
            path["servers"] = json!([{"url": "/"}, {"url": super::GATEWAY_PREFIX}]);
        }
        path[endpoint.method] = operation::operation(endpoint, &mut schemas);
    }
    schemas.of(&operation::PROBLEM);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "bosun",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Boots, reboots, shuts down and configures the nodes of an HPC machine",
            "description": "Below /v2 (and /apis/bos/v2) what the Boot Orchestration Service of HPE Cray offers, version 2; \
                below /bosun/v1 bosun's own API. Whatever goes wrong is answered as RFC 7807 says, with the media type \
                application/problem+json. An unknown path is answered by 404, another method by 405 with the header \
                Allow. No string may contain the character NUL. Parameters of a query that are not known are ignored.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas.named()},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_the_document_refers_to_is_there() {
        let document = document(&crate::api::endpoints());
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for rest in text.split("\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas.contains_key("Problem") && schemas.len() > 20);
    }

    #[test]
    fn operations_are_complete_and_told_apart() {
        let endpoints = crate::api::endpoints();
        let document = document(&endpoints);
        let mut ids = BTreeSet::new();
        for endpoint in &endpoints {
            let operation = &document["paths"][endpoint.path.as_str()][endpoint.method];
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{id} never succeeds");
            let declared = operation["parameters"].as_array().unwrap();
            let in_path = declared.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, endpoint.path.matches('{').count(), "{id}");
        }
    }
}
