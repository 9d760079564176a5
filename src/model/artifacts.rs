//! Boot artifacts: what a node boots.

use serde::{Deserialize, Serialize};

/// Kernel, initrd and kernel parameters: all that BSS is told about a node. Stored once and referred to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BootArtifacts {
    /// URL of the kernel (`s3://…`).
    pub kernel: String,
    /// URL of the initrd (`s3://…`).
    pub initrd: String,
    /// The whole kernel command line, composed in BOS's order.
    pub kernel_parameters: String,
}

/// The database's number of one set of boot artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootArtifactsId(pub i32);

/// What a BSS answer calls referral token: it names the boot parameters of one PUT, and comes back in the report
/// of a node that booted with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootToken(pub String);
