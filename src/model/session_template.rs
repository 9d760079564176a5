//! Session templates: named boot sets with what they boot and how they are configured. All BOS v2 fields, and three of
//! our own (`boot_ordinal`, `shutdown_ordinal`, `partition`), left out of answers when unset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A session template's content, as BOS keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTemplate {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether nodes are configured by CFS; true where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_cfs: Option<bool>,
    /// The configuration of boot sets that name none themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cfs: Option<Configuration>,
    /// Only members of this HSM partition take part, however they are named. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// By name.
    pub boot_sets: BTreeMap<String, BootSet>,
}

/// `cfs: {configuration: …}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// A CFS configuration's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
}

/// Components and the one set of artifacts they boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSet {
    /// Accepted only when equal to its key, and dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of the image's manifest.
    pub path: String,
    /// Where the manifest is; only `s3` can be booted.
    #[serde(rename = "type")]
    pub kind: String,
    /// ETag of the manifest; opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Added after the image's own kernel parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_parameters: Option<String>,
    /// This boot set's own configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cfs: Option<Configuration>,
    /// Components by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_list: Option<Vec<String>>,
    /// Components by HSM role (`Compute`) or role and sub-role (`Application_UAN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_roles_groups: Option<Vec<String>>,
    /// Components by HSM group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_groups: Option<Vec<String>>,
    /// Only components of this architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Who projects the root file system: `sbps`, or nobody (`cpss3` in version 1 templates).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_provider: Option<String>,
    /// Passed on to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_provider_passthrough: Option<String>,
    /// Boot sets boot in this order; one without goes last. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ordinal: Option<u32>,
    /// Boot sets shut down in this order; one without goes first. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_ordinal: Option<u32>,
}

/// An architecture, in BOS's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "HSM's own words")]
pub enum Arch {
    #[default]
    X86,
    #[serde(rename = "ARM")]
    Arm,
    Other,
    Unknown,
}

impl SessionTemplate {
    /// The configuration wanted for a boot set: its own, else the template's, and none where CFS is not enabled.
    pub fn configuration<'a>(&'a self, boot_set: &'a BootSet) -> Option<&'a str> {
        if self.enable_cfs == Some(false) {
            return None;
        }
        let named = |cfs: &'a Option<Configuration>| {
            cfs.as_ref().and_then(|cfs| cfs.configuration.as_deref()).filter(|name| !name.is_empty())
        };
        named(&boot_set.cfs).or_else(|| named(&self.cfs))
    }
}
