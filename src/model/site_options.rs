//! bosun's own run-time options, beside BOS's; BOS's clients neither see nor set them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::options::age;

/// The options that a site sets for bosun itself; unknown stored keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteOptions {
    /// A session for more nodes than this has to be confirmed with their number; 0: none has to.
    pub confirm_over: u32,
    /// A component that failed in so many sessions in a row goes into quarantine; 0: none does.
    pub quarantine_after: u32,
    /// How long sessions that are over, and all that is known of them, are kept: `400d`; `0`: for ever.
    pub history_ttl: String,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self { confirm_over: 0, quarantine_after: 0, history_ttl: "0".to_owned() }
    }
}

impl SiteOptions {
    /// How long sessions that are over are kept; none: for ever.
    pub fn history_time_to_live(&self) -> Option<Duration> {
        age(&self.history_ttl).filter(|age| !age.is_zero())
    }
}
