//! Session templates: named boot sets with what they boot and how they are configured. All BOS v2 fields, and three of
//! our own (`boot_ordinal`, `shutdown_ordinal`, `partition`), left out of answers when unset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{session::Name, xname};

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

/// Why a template cannot be kept. The texts are what follows BOS's `The session template could not be created: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A value is too long, too short, or too many; the path leads to it.
    #[error("{path}: {text}")]
    Field {
        /// `boot_sets.compute.path`
        path: String,
        /// What is wrong with it.
        text: String,
    },
    /// A boot set says another name than its key.
    #[error("boot_sets key ({key}) does not match 'name' field of boot set ({name})")]
    OtherName {
        /// Its key.
        key: String,
        /// What it says.
        name: String,
    },
    /// A boot set names no component in any way.
    #[error(
        "Boot set {0}: needs at least one of node_list, node_roles_groups and node_groups, and it may not be empty"
    )]
    NoHardware(String),
    /// Nodes named by number instead of xname.
    #[error("Boot set {0}: Has NID in 'node_list'")]
    Nid(String),
}

impl SessionTemplate {
    /// The form in which a template is kept: names checked, empty configurations dropped, architectures written out,
    /// xnames canonical. Beside it, what is odd about it and yet accepted.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn canonical(mut self, reject_nids: bool) -> Result<(Self, Vec<String>), InvalidTemplate> {
        let mut warnings = Vec::new();
        self.check_sizes()?;
        for (key, boot_set) in &mut self.boot_sets {
            if let Some(name) = boot_set.name.take().filter(|name| name != key) {
                return Err(InvalidTemplate::OtherName { key: key.clone(), name });
            }
            boot_set.arch.get_or_insert_default();
            drop_empty(&mut boot_set.cfs);
            if boot_set.names_nobody() {
                return Err(InvalidTemplate::NoHardware(key.clone()));
            }
            if boot_set.names_nids() {
                let nid = InvalidTemplate::Nid(key.clone());
                if reject_nids {
                    return Err(nid);
                }
                warnings.push(nid.to_string());
            }
            for id in boot_set.node_list.iter_mut().flatten() {
                *id = xname::canonical(id);
            }
        }
        for key in self.boot_sets.keys() {
            if let Err(invalid) = key.parse::<Name>() {
                return Err(InvalidTemplate::Field {
                    path: "boot_sets".to_owned(),
                    text: invalid.to_string(),
                });
            }
        }
        drop_empty(&mut self.cfs);
        Ok((self, warnings))
    }

    /// BOS's bounds on every field.
    fn check_sizes(&self) -> Result<(), InvalidTemplate> {
        let check = |path: &str, length: Option<usize>, least: usize, most: usize| match length {
            Some(length) if !(least..=most).contains(&length) => Err(InvalidTemplate::Field {
                path: path.to_owned(),
                text: format!("has the length {length}; {least} to {most} are allowed"),
            }),
            _ => Ok(()),
        };
        let text = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
        let configuration =
            |cfs: &Option<Configuration>| cfs.as_ref().and_then(|cfs| text(&cfs.configuration));
        check("description", text(&self.description), 1, 1023)?;
        check("cfs.configuration", configuration(&self.cfs), 0, 127)?;
        check("partition", text(&self.partition), 1, 127)?;
        check("boot_sets", Some(self.boot_sets.len()), 1, 127)?;
        for (key, boot_set) in &self.boot_sets {
            let check = |field: &str, length, least, most| {
                check(&format!("boot_sets.{key}.{field}"), length, least, most)
            };
            check("path", Some(boot_set.path.chars().count()), 1, 4095)?;
            check("type", Some(boot_set.kind.chars().count()), 1, 127)?;
            check("etag", text(&boot_set.etag), 0, 65_536)?;
            check("kernel_parameters", text(&boot_set.kernel_parameters), 0, 4096)?;
            check("cfs.configuration", configuration(&boot_set.cfs), 0, 127)?;
            check("rootfs_provider", text(&boot_set.rootfs_provider), 1, 511)?;
            check("rootfs_provider_passthrough", text(&boot_set.rootfs_provider_passthrough), 0, 4096)?;
            for (field, names, most) in [
                ("node_list", &boot_set.node_list, 65_535),
                ("node_roles_groups", &boot_set.node_roles_groups, 1023),
                ("node_groups", &boot_set.node_groups, 4095),
            ] {
                check(field, names.as_ref().map(Vec::len), 1, most)?;
                for (index, name) in names.iter().flatten().enumerate() {
                    check(&format!("{field}.{index}"), Some(name.chars().count()), 1, 127)?;
                }
            }
        }
        Ok(())
    }

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

impl BootSet {
    /// Whether it has no component, role or group at all.
    pub fn names_nobody(&self) -> bool {
        [&self.node_list, &self.node_roles_groups, &self.node_groups]
            .into_iter()
            .all(|names| names.as_ref().is_none_or(Vec::is_empty))
    }

    /// Whether its list of nodes holds what BOS takes for a NID: a word that begins with `nid`, in small letters.
    pub fn names_nids(&self) -> bool {
        self.node_list.iter().flatten().any(|id| id.starts_with("nid"))
    }
}

fn drop_empty(cfs: &mut Option<Configuration>) {
    let names_nothing = |cfs: &Configuration| cfs.configuration.as_deref().is_none_or(str::is_empty);
    *cfs = cfs.take().filter(|cfs| !names_nothing(cfs));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(boot_set: &str) -> SessionTemplate {
        serde_json::from_str(&format!(
            r#"{{"cfs": {{"configuration": ""}}, "boot_sets": {{"c": {{"path": "p", "type": "s3", {boot_set}}}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn the_kept_form_is_canonical() {
        let (kept, warnings) = template(r#""name": "c", "cfs": {}, "node_list": ["X01C0S0B0N00", "Lamp"]"#)
            .canonical(true)
            .unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(
            serde_json::to_string(&kept).unwrap(),
            r#"{"boot_sets":{"c":{"path":"p","type":"s3","node_list":["x1c0s0b0n0","lamp"],"arch":"X86"}}}"#
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |boot_set: &str| template(boot_set).canonical(true).unwrap_err().to_string();
        assert!(refused(r#""node_list": []"#).starts_with("boot_sets.c.node_list: has the length 0"));
        assert!(refused(r#""arch": "ARM""#).starts_with("Boot set c: needs at least one of"));
        assert!(refused(r#""name": "d", "node_groups": ["g"]"#).contains("(c)"));
        assert_eq!(refused(r#""node_list": ["nid000001"]"#), "Boot set c: Has NID in 'node_list'");
        let (_, warnings) = template(r#""node_list": ["nid000001"]"#).canonical(false).unwrap();
        assert_eq!(warnings, ["Boot set c: Has NID in 'node_list'"]);
        let bad_key = serde_json::from_str::<SessionTemplate>(
            r#"{"boot_sets": {"-": {"path": "p", "type": "s3", "node_groups": ["g"]}}}"#,
        );
        assert!(bad_key.unwrap().canonical(false).unwrap_err().to_string().contains("'-' is not a name"));
    }
}
