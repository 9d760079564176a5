//! What can go wrong with a statement.

/// What can go wrong with a statement. What happens to a component is data, never one of these.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database's URL is none.
    #[error("{0}; write the database URL as in postgres://user@host/bosun")]
    InvalidUrl(String),
    /// No connection can be made.
    #[error(
        "cannot connect to the database at {place}: {cause}; check the database URL and that the server runs"
    )]
    NoConnection {
        /// Host, port and database; never the password.
        place: String,
        /// The driver's words.
        cause: sqlx::Error,
    },
    /// No connection of the pool came free, or it broke: whether the statement was carried out is not known.
    #[error("the database does not answer ({operation}): {cause}")]
    Unreachable {
        /// What was being done.
        operation: &'static str,
        /// The driver's words. Part of ours, so not a source that would be told again.
        cause: sqlx::Error,
    },
    /// It is there already, or in somebody else's hands.
    #[error("{what}")]
    Conflict {
        /// A whole sentence for the user.
        what: String,
    },
    /// It is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for, with its name.
        what: String,
    },
    /// Somebody else has the right to write this session, or nobody.
    #[error("the lease of session {session} is lost: another worker may have it; this one must stop")]
    LeaseLost {
        /// The session's number.
        session: i64,
    },
    /// A stored value that this version does not know. Never guessed (law 11).
    #[error("the database holds {what} '{value}', which this version of bosun does not know; upgrade it")]
    Unknown {
        /// Which column.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// Postgres refused the statement.
    #[error("the database refused to {operation}: {cause}")]
    Query {
        /// What was being done.
        operation: &'static str,
        /// The driver's words. Part of ours, as above.
        cause: sqlx::Error,
    },
}

impl DbError {
    /// Whether the same statement may succeed later, unchanged.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoConnection { .. } => true,
            Self::Query { cause, .. } => cause
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| passes_by_itself(&code)),
            _ => false,
        }
    }

    /// Whether Postgres gave it up so that another one could go on.
    pub(super) fn is_deadlock(&self) -> bool {
        let Self::Query { cause, .. } = self else { return false };
        cause.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40P01")
    }

    /// Whether a unique key refused the statement, and which.
    pub(super) fn unique_key(&self) -> Option<&str> {
        let Self::Query { cause, .. } = self else { return None };
        let error = cause.as_database_error().filter(|error| error.is_unique_violation())?;
        error.constraint()
    }

    /// Turns the violation of this key into a conflict.
    pub(super) fn or_conflict(self, key: &str, what: impl FnOnce() -> String) -> Self {
        if self.unique_key() == Some(key) { Self::Conflict { what: what() } } else { self }
    }
}

/// SQLSTATE classes: connection (08), resources (53), shutdown and cancel (57P, 57014), serialization and deadlock
/// (40), lock not available (55P03), read-only standby after a fail-over (25006).
fn passes_by_itself(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "40" | "53"))
        || code.starts_with("57P")
        || matches!(code, "57014" | "55P03" | "25006")
}

/// Names the operation in a driver's error.
pub(super) fn doing(operation: &'static str) -> impl Fn(sqlx::Error) -> DbError {
    move |cause| match cause {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => DbError::Unreachable { operation, cause },
        cause => DbError::Query { operation, cause },
    }
}
