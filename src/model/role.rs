//! What a caller may do.

/// What a caller may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Report what a node booted; whoever is known may.
    Report,
    /// Look at everything.
    View,
    /// Create and command sessions, keep templates, change components.
    Operate,
    /// What concerns everybody: options, a restored database.
    Admin,
}

impl Role {
    /// Its name, for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::View => "view",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}
