//! Why a session is not admitted: what is wrong, with what, and what to do next.

use super::{artifacts::ArtifactProblem, freeze::FrozenPart};
use crate::{
    clients::ClientError,
    db::DbError,
    model::xname::{self, Xname},
    plan::{Mistake, members::SelectionError},
};

/// Why a session is not admitted. Nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// No such session template.
    #[error("session template '{0}' does not exist; see 'bosun template list'")]
    NoTemplate(String),
    /// No such operation.
    #[error("there is no operation '{operation}'{hint}; there are {known}")]
    NoOperation {
        /// What was asked for.
        operation: String,
        /// What might be meant.
        hint: String,
        /// What there is.
        known: String,
    },
    /// Something in the request contradicts itself or what exists.
    #[error("{0}")]
    Invalid(String),
    /// The members cannot be found.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A boot set cannot be booted.
    #[error("boot set {boot_set}: {problem}")]
    Artifacts {
        /// The boot set.
        boot_set: String,
        /// What is wrong with it.
        problem: ArtifactProblem,
    },
    /// A configuration that CFS does not have.
    #[error(
        "boot set {boot_set}: CFS has no configuration '{configuration}'; create it, or change the template"
    )]
    NoConfiguration {
        /// The boot set.
        boot_set: String,
        /// The configuration.
        configuration: String,
    },
    /// The workflow does not fit.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))]
    Plan(Vec<Mistake>),
    /// Others hold components of it.
    #[error(
        "{}; take them over (preempt), wait, skip them, or cancel what holds them", holders(.0)
    )]
    Claimed(Vec<Claim>),
    /// More components than whoever asks expects.
    #[error(
        "the session would be for {}, and {most} at most are expected; see 'bosun plan', narrow it with --limit, or \
         expect more", nodes(*.members)
    )]
    TooMany {
        /// For how many it would be.
        members: usize,
        /// How many were expected.
        most: u32,
    },
    /// The site wants sessions for so many components to be confirmed.
    #[error(
        "the session would be for {}, and more than {most} have to be confirmed (confirm_over); see 'bosun plan', then \
         type their number, or give --yes", nodes(*.members)
    )]
    Unconfirmed {
        /// For how many it would be.
        members: usize,
        /// How many need no confirmation.
        most: u32,
    },
    /// The plan is not the one that was shown.
    #[error("the plan is not what was shown any more: {}; look at it again with 'bosun plan'", .0.join("; "))]
    PlanChanged(Vec<String>),
    /// A maintenance lock keeps it out.
    #[error("{}; nothing was changed: wait until it is lifted, or leave them out with --limit", frozen(.0))]
    Frozen(Vec<FrozenPart>),
    /// A session of this name exists.
    #[error("session '{0}' exists already; choose another name")]
    NameTaken(String),
    /// A service does not answer: ask again later.
    #[error("{service} does not answer: {text}; nothing was changed, ask again when it is back")]
    Unavailable {
        /// Who was asked.
        service: &'static str,
        /// What was seen.
        text: String,
    },
    /// The database does not answer, or refuses.
    #[error(transparent)]
    Database(DbError),
}

/// What another session holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The session's name.
    pub session: String,
    /// What it holds of what was asked for, in natural order.
    pub components: Vec<Xname>,
    /// It holds nothing yet: it came first, and waits for them.
    pub waits: bool,
}

impl Claim {
    /// In words: who holds or waits for how many, and for which.
    pub fn told(&self) -> String {
        let verb = if self.waits { "came first and waits for" } else { "holds" };
        format!("session '{}' {verb} {}", self.session, some(&self.components))
    }
}

impl Rejection {
    /// Whether the same request may be admitted later, without anybody changing it.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Database(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<ClientError> for Rejection {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unavailable { service, text, .. }
            | ClientError::Unreadable { service, text }
            | ClientError::Lost { service, text } => Self::Unavailable { service, text },
            ClientError::Unauthorised { service, text } => Self::Unavailable {
                service,
                text: format!(
                    "it does not accept our credentials ({text}); check the token file or the keys"
                ),
            },
            ClientError::Refused { service, status, text } => {
                Self::Unavailable { service, text: format!("it answered {status}: {text}") }
            }
            ClientError::TooLarge { service } => {
                Self::Unavailable { service, text: "the question was too large for it".to_owned() }
            }
            ClientError::Configuration(text) => Self::Unavailable { service: "bosun", text },
        }
    }
}

impl From<DbError> for Rejection {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// How much of a message names what others hold.
const SHOWN_CHARS_MAX: usize = 2_000;

fn frozen(parts: &[FrozenPart]) -> String {
    let told = |part: &FrozenPart| match part.components.is_empty() {
        true => part.freeze.told(),
        false => format!("{} (it covers {})", part.freeze.told(), some(&part.components)),
    };
    parts.iter().map(told).collect::<Vec<_>>().join("; ")
}

fn nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// How many, and as far as there is room, who.
fn some(components: &[Xname]) -> String {
    let mut names = xname::fold(components);
    if names.len() > SHOWN_CHARS_MAX {
        names.truncate(SHOWN_CHARS_MAX);
        names.push('…');
    }
    match components.len() {
        1 => format!("1 component: {names}"),
        count => format!("{count} components: {names}"),
    }
}

fn holders(claims: &[Claim]) -> String {
    claims.iter().map(Claim::told).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_holder_and_components() {
        let components = vec!["x1000c0s0b0n0".parse().unwrap(), "x1000c0s0b0n1".parse().unwrap()];
        let claimed =
            Rejection::Claimed(vec![Claim { session: "night".to_owned(), components, waits: false }]);
        assert_eq!(
            claimed.to_string(),
            "session 'night' holds 2 components: x1000c0s0b0n[0-1]; take them over (preempt), wait, skip them, or \
             cancel what holds them"
        );
    }
}
