//! `/`, `/v2`, `/v2/version`, `/v2/healthz`: who answers, and whether its database does.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    api::{ApiState, body::Json},
    db,
};

/// The version of BOS whose contract is kept.
const VERSION: [&str; 3] = ["2", "50", "0"];
/// What the gateway puts before our paths and takes away again.
const GATEWAY_PREFIX: &str = "/apis/bos";

/// The paths below `/v2`.
pub fn router() -> Router<ApiState> {
    Router::new().route("/", get(v2)).route("/version", get(v2)).route("/healthz", get(health))
}

/// `GET /`: a list of one.
pub async fn root(headers: HeaderMap) -> Json<Value> {
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
