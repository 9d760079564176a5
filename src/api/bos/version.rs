//! `/`, `/v2`, `/v2/version`, `/v2/healthz`: who answers, and whether its database does.

use axum::{
    extract::State,
    http::{HeaderMap, header},
};
use serde_json::{Value, json};

use super::answer;
use crate::{
    api::{ApiState, GATEWAY_PREFIX, body::Json, endpoint::Endpoint},
    db,
};

/// The version of BOS whose contract is kept.
const VERSION: [&str; 3] = ["2", "50", "0"];

/// What is at the root.
pub fn root_endpoint() -> Endpoint {
    Endpoint::get("/", root, "The versions of BOS's API").open().answer(200, &answer::VERSIONS)
}

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/", v2, "The version of BOS's API").open().answer(200, &answer::VERSION),
        Endpoint::get("/version", v2, "The version of BOS's API").open().answer(200, &answer::VERSION),
        Endpoint::get("/healthz", health, "Whether the API and its database are well")
            .open()
            .answer(200, &answer::HEALTH),
    ]
}

/// `GET /`: a list of one.
async fn root(headers: HeaderMap) -> Json<Value> {
    let base = base(&headers);
    Json::ok(json!([version(&[("self", format!("{base}/"))])]))
}

async fn v2(headers: HeaderMap) -> Json<Value> {
    let base = base(&headers);
    Json::ok(version(&[("self", format!("{base}/")), ("versions", format!("{base}/v2"))]))
}

/// 200 whatever is the matter, as BOS does it.
async fn health(State(state): State<ApiState>) -> Json<Value> {
    let database = if db::is_alive(&state.pool).await { "ok" } else { "not_available" };
    Json::ok(json!({"apiStatus": "ok", "dbStatus": database}))
}

fn version(links: &[(&str, String)]) -> Value {
    let [major, minor, patch] = VERSION;
    let links: Vec<_> = links.iter().map(|(rel, href)| json!({"rel": rel, "href": href})).collect();
    json!({"major": major, "minor": minor, "patch": patch, "links": links})
}

/// Links are absolute; whoever comes through the gateway gets them with the gateway's prefix.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let prefix = if headers.contains_key("x-forwarded-for") { GATEWAY_PREFIX } else { "" };
    format!("http://{host}{prefix}")
}
