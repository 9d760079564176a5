//! BOS's API v2, as `reference` clients know it: paths, bodies, status codes and words.
//!
//! Where it differs from BOS on purpose, and what each option means here, is told to users: `ui/document/bos.md`, served
//! at `/ui/documents/bos`. Whoever changes one of these changes that page.

pub mod answer;
mod component;
mod component_view;
mod options;
pub mod session;
mod session_template;
mod session_view;
pub mod shape;
mod staged;
mod time;
pub mod version;

use super::endpoint::Endpoint;

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    [
        version::endpoints(),
        session_template::endpoints(),
        session::endpoints(),
        component::endpoints(),
        options::endpoints(),
        staged::endpoints(),
    ]
    .concat()
}
