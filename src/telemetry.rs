//! The log: to stderr, for people or as JSON. Where no filter is asked for, BOS's option `logging_level` says how much.

use std::{io::IsTerminal, sync::OnceLock};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

use crate::{
    config::{LogArgs, LogFormat},
    model::options::Options,
};

/// Puts another filter in the place of the one there is.
type Reload = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// The log that heeds options; none where a filter was asked for.
static FOLLOWS: OnceLock<Follows> = OnceLock::new();

struct Follows {
    /// The filter of BOS's `INFO`.
    default: String,
    reload: Reload,
}

/// Starts the log. `default` is the filter where none is asked for.
///
/// # Errors
/// When the filter is malformed.
pub fn start(args: &LogArgs, default: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(args.log.as_deref().unwrap_or(default))?;
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let reload: Reload = match args.log_format {
        LogFormat::Human => {
            let log = log.with_target(false).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            // It is gone only when the log is.
            Box::new(move |filter| drop(handle.reload(filter)))
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
    };
    if args.log.is_none() {
        // The log starts once in a process.
        let _ = FOLLOWS.set(Follows { default: default.to_owned(), reload });
    }
    Ok(())
}

/// Logs as much as BOS's option says from now on, unless a filter was asked for when the log was started.
pub fn heed(options: &Options) {
    if let Some(follows) = FOLLOWS.get()
        && let Ok(filter) = EnvFilter::try_new(filter(&options.logging_level, &follows.default))
    {
        (follows.reload)(filter);
    }
}

/// The filter of one of BOS's levels: debug, info, warning, error and critical, in any case.
fn filter<'a>(level: &str, default: &'a str) -> &'a str {
    match level.to_ascii_lowercase().as_str() {
        "debug" => "info,bosun=debug",
        "warning" => "warn",
        "error" | "critical" => "error",
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_bos_is_a_filter() {
        for (level, expected) in [
            ("Debug", "info,bosun=debug"),
            ("INFO", "bosun=info"),
            ("warning", "warn"),
            ("error", "error"),
            ("CRITICAL", "error"),
        ] {
            assert_eq!(filter(level, "bosun=info"), expected);
            assert!(EnvFilter::try_new(filter(level, "bosun=info")).is_ok());
        }
    }
}
