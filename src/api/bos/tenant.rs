//! The tenant of a request, as the gateway passes it on.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::api::ApiError;

/// Longest name of a tenant, as BOS has it.
const NAME_CHARS_MAX: usize = 127;

/// `Cray-Tenant-Name`; empty for none. A hint of the gateway's, never a proof.
#[derive(Debug, Clone)]
pub struct Tenant(pub String);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("cray-tenant-name") else { return Ok(Self(String::new())) };
        match value.to_str() {
            Ok(name) if name.chars().count() <= NAME_CHARS_MAX => Ok(Self(name.to_owned())),
            _ => Err(ApiError::bad_request(format!(
                "the header Cray-Tenant-Name is not a name of at most {NAME_CHARS_MAX} characters"
            ))),
        }
    }
}

impl Tenant {
    /// Whose records a list shows: without a tenant, everybody's.
    pub fn filter(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }

    /// Refuses every tenant: this version cannot ask whose nodes are whose, and acting on everybody's is worse.
    ///
    /// # Errors
    /// 400, as BOS answers a tenant that it does not know.
    pub fn refuse(&self) -> Result<(), ApiError> {
        match self.filter() {
            None => Ok(()),
            Some(tenant) => Err(ApiError::BadRequest {
                title: "Invalid tenant",
                detail: format!(
                    "Data not found for tenant {tenant}: this version of bosun does not know tenants; ask without \
                     Cray-Tenant-Name"
                ),
            }),
        }
    }

    /// `for tenant 't' `, as BOS words it.
    pub fn words(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("for tenant '{}' ", self.0) }
    }
}
