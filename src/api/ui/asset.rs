//! The style sheet, the script and the icon: in the binary, under names that change with their content.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::api::{ApiError, ApiState};

/// A browser may keep an asset for a year: another content has another name.
const CACHE: &str = "public, max-age=31536000, immutable";

/// A file of the dashboard.
struct Asset {
    content_type: &'static str,
    text: &'static str,
    /// Its name in URLs.
    name: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("ui", "css", "text/css; charset=utf-8", include_str!("assets/ui.css")),
        asset("ui", "js", "text/javascript; charset=utf-8", include_str!("assets/ui.js")),
        asset("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ]
});

fn asset(stem: &str, extension: &str, content_type: &'static str, text: &'static str) -> Asset {
    let hash = Sha256::digest(text.as_bytes());
    let short: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Asset { content_type, text, name: format!("{stem}.{short}.{extension}") }
}

/// Where the asset with this extension is.
pub fn url(extension: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name.ends_with(extension));
    found.map_or_else(String::new, |asset| format!("/ui/assets/{}", asset.name))
}

/// The path of the assets.
pub fn router() -> Router<ApiState> {
    Router::new().route("/ui/assets/{name}", get(serve))
}

async fn serve(Path(name): Path<String>) -> Result<Response, Failure> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or(ApiError::UnknownPath)?;
    Ok(([(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, CACHE)], asset.text)
        .into_response())
}
