//! Components: what we boot.

use serde::{Deserialize, Serialize};

use super::{Timestamp, artifacts::BootArtifactsId, artifacts::BootToken};

/// The database's permanent number of a component. Components are retired, never deleted, so that old history keeps
/// its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentNo(pub i32);

/// What BOS calls phase: what a session is doing with a component, as `/v2` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way off.
    PoweringOff,
    /// On its way up, until it reported that it booted.
    PoweringOn,
    /// Booted; CFS is at work.
    Configuring,
    /// Nothing is being done with it.
    #[serde(rename = "")]
    None,
}

/// What a node last told us about itself (BOS's `actual_state`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The token on its kernel command line.
    pub token: BootToken,
    /// The artifacts that token stands for, when we know it.
    pub artifacts: Option<BootArtifactsId>,
    /// When the report reached us.
    pub at: Timestamp,
}
