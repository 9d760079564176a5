//! BOS's API v2, as `reference` clients know it: paths, bodies, status codes and words.

mod component;
mod component_view;
mod options;
mod session;
mod session_template;
mod session_view;
pub mod shape;
mod staged;
mod tenant;
mod time;
pub mod version;

use axum::Router;

use super::ApiState;

/// The paths below `/v2`.
pub fn router() -> Router<ApiState> {
    version::router()
        .merge(session_template::router())
        .merge(session::router())
        .merge(component::router())
        .merge(options::router())
        .merge(staged::router())
}
