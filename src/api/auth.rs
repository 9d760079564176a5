//! Who may ask for what. Off: a gateway has looked at tokens, and everybody who comes through may do everything. On: a
//! bearer token says who asks, and each endpoint says what that takes ([`super::endpoint::Endpoint::role`]).
//!
//! A node reports what it booted (PATCH of its component) with any token that is accepted, or, if the site says so, with
//! none: the BSS token in the report is what proves it. A token that is bound to a tenant asks for that tenant only.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{ApiError, ApiState, tenant};
use crate::{
    admit::{Caller, TokenError, Tokens},
    model::role::Role,
};

/// How callers are known.
#[derive(Debug)]
pub enum Authentication {
    /// A gateway has looked at them.
    Off,
    /// By tokens.
    Tokens {
        /// What checks them.
        tokens: Box<Tokens>,
        /// Whether nodes report without.
        open_reports: bool,
    },
}

/// What stands before an endpoint.
#[derive(Debug, Clone)]
pub struct Door {
    pub state: ApiState,
    /// What a caller has to be.
    pub role: Role,
}

/// Whether a request may do more than report; absent where callers are not authenticated.
#[derive(Debug, Clone, Copy)]
struct OnlyReports;

/// Lets a request through that may; the handler finds the [`Caller`] in its extensions, and the tenant in the header.
pub async fn pass(State(door): State<Door>, request: Request, next: Next) -> Response {
    let for_all = door.role == Role::Admin;
    enter(&door, for_all, request, next).await
}

/// The same before the pages of the dashboard, which show everybody's sessions: no tenant's token is for them.
pub async fn pass_page(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let role = if request.method().is_safe() { Role::View } else { Role::Operate };
    enter(&Door { state, role }, true, request, next).await
}

/// `for_all`: what concerns everybody, and so is no tenant's.
async fn enter(door: &Door, for_all: bool, mut request: Request, next: Next) -> Response {
    if let Authentication::Tokens { tokens, open_reports } = door.state.auth.as_ref() {
        let reports = door.role == Role::Report;
        let admitted = match bearer(request.headers()) {
            Err(error) => Err(error),
            Ok(None) if reports && *open_reports => {
                request.extensions_mut().insert(OnlyReports);
                Ok(())
            }
            Ok(None) => Err(ApiError::Unauthorized {
                given: false,
                detail: "a bearer token is needed; see BOSUN_TOKEN or --token-file".to_owned(),
            }),
            Ok(Some(token)) => match tokens.check(token).await {
                Ok(caller) => admit(caller, door.role, for_all, &mut request),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = admitted {
            return error.into_response();
        }
    }
    next.run(request).await
}

/// The token, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let odd = |detail: &str| ApiError::Unauthorized { given: true, detail: detail.to_owned() };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(odd("there is more than one header Authorization"));
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| odd("the header Authorization is not 'Bearer' and a token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(odd("the header Authorization is not 'Bearer' and a token"));
    }
    Ok(Some(token.trim()))
}

fn admit(caller: Caller, needed: Role, for_all: bool, request: &mut Request) -> Result<(), ApiError> {
    if caller.role < needed {
        return Err(ApiError::Forbidden(format!(
            "this takes the role '{}', and '{}' has '{}'",
            needed.label(),
            caller.subject,
            caller.role.label()
        )));
    }
    if let Some(tenant) = &caller.tenant {
        if for_all {
            return Err(ApiError::Forbidden("this concerns everybody, and no tenant may do it".to_owned()));
        }
        let named = request.headers().get_all(tenant::HEADER).iter();
        if let Some(other) =
            named.map(HeaderValue::as_bytes).find(|name| *name != tenant.as_bytes() && !name.is_empty())
        {
            return Err(ApiError::Forbidden(format!(
                "the token is for tenant '{tenant}', and Cray-Tenant-Name says '{}'",
                String::from_utf8_lossy(other)
            )));
        }
        let value = HeaderValue::from_str(tenant)
            .map_err(|_| ApiError::Forbidden("the token's tenant is not a name".to_owned()))?;
        request.headers_mut().insert(tenant::HEADER, value);
    }
    if caller.role < Role::Operate {
        request.extensions_mut().insert(OnlyReports);
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused(_) => Self::Unauthorized { given: true, detail: error.to_string() },
            TokenError::Unavailable(_) | TokenError::Configuration(_) => Self::Unavailable(error.to_string()),
        }
    }
}

/// What the caller may do where an endpoint takes reports and more.
#[derive(Debug, Clone, Copy)]
pub struct BeyondReports(bool);

impl<S: Sync> FromRequestParts<S> for BeyondReports {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<OnlyReports>().is_none()))
    }
}

impl BeyondReports {
    /// For what is more than a report.
    ///
    /// # Errors
    /// 403.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0 {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "this takes the role '{}': it is more than a node's report",
            Role::Operate.label()
        )))
    }
}
