//! What both APIs do with a session template before it is kept, and how it is shown.

use serde_json::{Value, json};

use super::{
    ApiError, ApiState,
    schema::{self, Shape},
};
use crate::{
    db::session_template::StoredTemplate,
    model::{options::Options, session_template::SessionTemplate},
};

/// Reads a template from a body: checked against `shape`, in the form in which it is kept.
///
/// # Errors
/// 400 that says what is wrong, after `prefix`.
pub fn read(
    shape: &Shape,
    body: Value,
    reject_nids: bool,
    prefix: &str,
) -> Result<SessionTemplate, ApiError> {
    schema::check(shape, &body)?;
    canonical(body, reject_nids, prefix)
}

/// Whether its images are there, as far as BOS's options ask for it; what was only odd is in the log.
///
/// # Errors
/// 400 that says what is wrong, after `prefix`.
pub async fn check_images(
    state: &ApiState,
    template: &SessionTemplate,
    options: &Options,
    prefix: &str,
) -> Result<(), ApiError> {
    let notes = state.admit.check_images(template, options).await;
    for note in notes.map_err(|wrong| ApiError::bad_request(format!("{prefix}{wrong}")))? {
        tracing::warn!("session template accepted: {note}");
    }
    Ok(())
}

/// The form in which a template is kept.
///
/// # Errors
/// 400 that says what is wrong, after `prefix`.
pub fn canonical(body: Value, reject_nids: bool, prefix: &str) -> Result<SessionTemplate, ApiError> {
    let bad = |what: String| ApiError::bad_request(format!("{prefix}{what}"));
    let template: SessionTemplate = serde_json::from_value(body).map_err(|error| bad(error.to_string()))?;
    let (template, warnings) = template.canonical(reject_nids).map_err(|error| bad(error.to_string()))?;
    for warning in warnings {
        tracing::warn!("session template accepted: {warning}");
    }
    Ok(template)
}

/// As BOS shows it: the content with its name and tenant.
pub fn show(template: &StoredTemplate) -> Value {
    let mut shown = json!(template.content);
    shown["name"] = json!(template.name);
    shown["tenant"] = if template.tenant.is_empty() { Value::Null } else { json!(template.tenant) };
    shown
}
