//! Why a client command fails.

use std::path::PathBuf;

use super::Exit;

/// Why a client command fails, in words for who typed it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody answers.
    #[error("no bosun answers at {url} ({cause}); give --url or BOSUN_URL, or start one with 'bosun dev'")]
    Unreachable {
        /// Where it was asked for.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The BOS that was to be read cannot be.
    #[error("{0}")]
    Bos(String),
    /// The server said no.
    #[error("{}", if .detail.is_empty() { .title } else { .detail })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What kind of refusal.
        title: String,
        /// What is wrong with this request.
        detail: String,
        /// Whether admission refused the session.
        rejected: bool,
        /// Whether it would be admitted if somebody confirmed that it is for so many nodes.
        confirm: Option<u64>,
    },
    /// What came back cannot be read.
    #[error("cannot read the answer of {url}: {cause}")]
    Unreadable {
        /// Who answered.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The result cannot be written.
    #[error("cannot write to stdout: {0}")]
    Output(#[from] std::io::Error),
}

impl CliError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { rejected: true, .. } => Exit::Rejected,
            Self::Usage(_) => Exit::Usage,
            _ => Exit::Error,
        }
    }

    /// What to type next, where the error does not say so itself: what there is instead of what there is not, or how to
    /// show a token. `list` is the command that lists what was asked for.
    pub fn hint(&self, list: Option<&str>) -> Option<String> {
        let (status, said) = match self {
            Self::Refused { status, title, detail, .. } => {
                (*status, if detail.is_empty() { title } else { detail })
            }
            _ => return None,
        };
        if said.contains("'bosun ") {
            return None;
        }
        match status {
            404 => list.map(|list| format!("'{list}' shows what there is")),
            401 => Some("give a token, with --token-file or in BOSUN_TOKEN".to_owned()),
            403 => Some("ask for the role it takes, or use another token (--token-file)".to_owned()),
            _ => None,
        }
    }

    /// Whether nobody reads on, as after `| head`: then there is nobody to complain to.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether asking again later may help: the server restarts, or is overloaded.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }
}
