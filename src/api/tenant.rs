//! The tenant of a request, as the gateway passes it on, and what it may see.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{ApiError, ApiState};
use crate::admit::Scope;

/// The header.
pub const HEADER: &str = "cray-tenant-name";
/// Longest name of a tenant, as BOS has it.
const NAME_CHARS_MAX: usize = 127;

/// `Cray-Tenant-Name`; empty for none. A hint of the gateway's, never a proof.
#[derive(Debug, Clone)]
pub struct Tenant(pub String);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(String::new())) };
        match value.to_str() {
            Ok(name) if name.chars().count() <= NAME_CHARS_MAX && values.next().is_none() => {
                Ok(Self(name.to_owned()))
            }
            _ => Err(ApiError::bad_request(format!(
                "the header Cray-Tenant-Name is not one name of at most {NAME_CHARS_MAX} characters"
            ))),
        }
    }
}

impl Tenant {
    /// Whose records a list shows: without a tenant, everybody's.
    pub fn filter(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }

    /// `for tenant 't' `, as BOS words it.
    pub fn words(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("for tenant '{}' ", self.0) }
    }

    /// Refuses tenants: what is asked for concerns everybody.
    ///
    /// # Errors
    /// 403 for a tenant.
    pub fn nobodys(&self) -> Result<(), ApiError> {
        match self.filter() {
            None => Ok(()),
            Some(_) => {
                Err(ApiError::Forbidden("this concerns everybody, and no tenant may do it".to_owned()))
            }
        }
    }

    /// What this tenant may see and touch.
    ///
    /// # Errors
    /// `unknown` if there is no such tenant; 503 while nobody can tell.
    pub async fn scope(&self, state: &ApiState, unknown: Unknown) -> Result<Scope, ApiError> {
        let scope = state.admit.scope(&self.0).await?;
        scope.ok_or_else(|| unknown.error(&self.0))
    }
}

/// What is unknown to whom: BOS words a tenant that does not exist in four ways. All are 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Whose session or template it was to be.
    Owner,
    /// Whose component it is.
    Component,
    /// Whose components many are, in a PATCH.
    Components,
    /// Whose staged components are to be applied.
    Staged,
}

impl Unknown {
    fn error(self, tenant: &str) -> ApiError {
        let nothing = format!("Data not found for tenant {tenant}");
        match self {
            Self::Owner => ApiError::BadRequest {
                title: "Invalid tenant",
                detail: "The provided tenant does not exist".to_owned(),
            },
            Self::Component => ApiError::BadRequest { title: "Invalid tenant", detail: nothing },
            Self::Components => ApiError::bad_request(nothing),
            Self::Staged => ApiError::bad_request(format!("Error parsing the data provided: {nothing}")),
        }
    }
}
