//! The log: to stderr, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

use crate::config::{LogArgs, LogFormat};

/// Starts the log. `default` is the filter where none is asked for.
///
/// # Errors
/// When the filter is malformed.
pub fn start(args: &LogArgs, default: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(args.log.as_deref().unwrap_or(default))?;
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match args.log_format {
        LogFormat::Human => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
