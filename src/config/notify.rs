//! Who is told when a session ends, halts or gets stuck.

use std::path::PathBuf;

use clap::Args;

/// Who is told of sessions.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Notifications")]
pub struct NotifyArgs {
    /// Where JSON is posted when a session ends, halts or gets stuck
    #[arg(long, env = "BOSUN_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub webhook_url: Option<String>,
    /// A file with the secret that signs it (header Bosun-Signature: sha256=HMAC of the body); read for each call
    #[arg(long, env = "BOSUN_WEBHOOK_SECRET_FILE", value_name = "FILE", requires = "webhook_url")]
    pub webhook_secret_file: Option<PathBuf>,
}
