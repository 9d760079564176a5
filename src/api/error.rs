//! Whatever goes wrong in a request, as RFC 7807 tells it. Status codes of errors exist only here.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::body;
use crate::{
    admit::{Claim, FrozenPart, Rejection},
    db::DbError,
    model::xname,
};

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is wrong.
    #[error("{detail}")]
    BadRequest {
        /// What kind of wrong, for clients that show only titles.
        title: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Nobody knows who asks.
    #[error("{detail}")]
    Unauthorized {
        /// Whether a token was given at all.
        given: bool,
        /// What is wrong, or missing.
        detail: String,
    },
    /// Whoever asks may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is no such path.
    #[error("the requested URL was not found on the server")]
    UnknownPath,
    /// The path does not do that.
    #[error("the method is not allowed for the requested URL")]
    MethodNotAllowed,
    /// The body is not JSON.
    #[error("Invalid Content-type ({0}), expected JSON data")]
    UnsupportedMediaType(String),
    /// The body is too large.
    #[error("the request body is larger than this path takes")]
    TooLarge,
    /// Something else is in the way.
    #[error("{detail}")]
    Conflict {
        /// What kind of conflict.
        title: &'static str,
        /// What is in the way.
        detail: String,
        /// Particulars for programs.
        more: Map<String, Value>,
    },
    /// Admission refused the session: nothing was touched.
    #[error(transparent)]
    Rejected(Rejection),
    /// A service or the database does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// The body took too long to come in.
    #[error("the request body did not come in within {0} s")]
    BodyTimedOut(u64),
    /// The answer took too long.
    #[error("the request took longer than {0} s")]
    TimedOut(u64),
    /// Our own mistake.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// 400 with BOS's usual title.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::BadRequest { title: "Bad Request", detail: detail.into() }
    }

    /// 409 without particulars.
    pub fn conflict(title: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { title, detail: detail.into(), more: Map::new() }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimedOut(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::Rejected(rejection) => match rejection {
                Rejection::Claimed(_)
                | Rejection::NameTaken(_)
                | Rejection::PlanChanged(_)
                | Rejection::Frozen(_) => StatusCode::CONFLICT,
                Rejection::Selection(_) | Rejection::Invalid(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Self::Unavailable(_) | Self::TimedOut(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What kind of wrong, in a few words.
    pub fn title(&self) -> &'static str {
        match self {
            Self::BadRequest { title, .. } | Self::Conflict { title, .. } => title,
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden(_) => "Forbidden",
            Self::NotFound(_) => "The resource was not found",
            Self::UnknownPath => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UnsupportedMediaType(_) => "Unsupported Media Type",
            Self::TooLarge => "Request Entity Too Large",
            Self::BodyTimedOut(_) => "Request Timeout",
            Self::Rejected(_) => "The session was rejected",
            Self::Unavailable(_) | Self::TimedOut(_) => "Service Unavailable",
            Self::Internal(_) => "Internal Server Error",
        }
    }

    /// Our own mistakes are told to whoever reads the log.
    pub fn log(&self) {
        if let Self::Internal(what) = self {
            tracing::error!(error = what, "a request failed by our own fault");
        }
    }

    /// RFC 6750: how to ask better.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized { given: false, .. } => Some("Bearer realm=\"bosun\""),
            Self::Unauthorized { given: true, .. } => Some("Bearer realm=\"bosun\", error=\"invalid_token\""),
            Self::Forbidden(_) => Some("Bearer realm=\"bosun\", error=\"insufficient_scope\""),
            _ => None,
        }
    }

    /// The body: BOS's four keys, and particulars of our own where there are any.
    pub fn problem(&self) -> Value {
        let mut problem = match self {
            Self::Conflict { more, .. } => more.clone(),
            Self::Rejected(rejection) => {
                let mut more = Map::from_iter([("rejected".to_owned(), json!(true))]);
                match rejection {
                    Rejection::Claimed(claims) => {
                        more.insert("held".to_owned(), claims.iter().map(held).collect());
                    }
                    Rejection::Unconfirmed { members, .. } => {
                        more.insert("confirm".to_owned(), json!(members));
                    }
                    Rejection::Frozen(parts) => {
                        more.insert("frozen".to_owned(), parts.iter().map(frozen).collect());
                    }
                    Rejection::PlanChanged(changes) => {
                        more.insert("changes".to_owned(), json!(changes));
                    }
                    _ => {}
                }
                more
            }
            _ => Map::new(),
        };
        problem.insert("detail".to_owned(), json!(self.to_string()));
        problem.insert("status".to_owned(), json!(self.status().as_u16()));
        problem.insert("title".to_owned(), json!(self.title()));
        problem.insert("type".to_owned(), json!("about:blank"));
        Value::Object(problem)
    }
}

/// Who holds what, for programs.
fn held(claim: &Claim) -> Value {
    json!({"session": claim.session, "count": claim.components.len(), "components": xname::fold(&claim.components)})
}

/// What is frozen, for programs.
fn frozen(part: &FrozenPart) -> Value {
    let freeze = &part.freeze;
    json!({
        "freeze": freeze.id, "reason": freeze.reason, "actor": freeze.actor, "until": freeze.until,
        "count": part.components.len(), "components": xname::fold(&part.components),
    })
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotFound { .. } => Self::NotFound(error.to_string()),
            DbError::Conflict { what } => Self::conflict("The resource to be created already exists", what),
            error if error.is_transient() => Self::Unavailable(error.to_string()),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Database(error) => error.into(),
            Rejection::Unavailable { .. } => Self::Unavailable(rejection.to_string()),
            rejection => Self::Rejected(rejection),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = match body::text(&self.problem()) {
            Ok(body) => (self.status(), kind, body).into_response(),
            Err(_) => self.status().into_response(),
        };
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_boss_four_keys() {
        insta::assert_json_snapshot!(ApiError::NotFound("Session 'x' does not exist".to_owned()).problem(), @r#"
        {
          "detail": "Session 'x' does not exist",
          "status": 404,
          "title": "The resource was not found",
          "type": "about:blank"
        }
        "#);
    }

    #[test]
    fn a_rejected_session_says_so() {
        assert_eq!(ApiError::from(Rejection::Invalid("no nodes".to_owned())).problem()["rejected"], true);
    }
}
