//! bosun's own run-time options, beside BOS's; BOS's clients neither see nor set them.

use serde::{Deserialize, Serialize};

/// The options that a site sets for bosun itself; unknown stored keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteOptions {
    /// A session for more nodes than this has to be confirmed with their number; 0: none has to.
    pub confirm_over: u32,
}
