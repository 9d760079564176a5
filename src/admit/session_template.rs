//! Validates a session template against the outside, as BOS does on request and before a session.

use super::{
    Admit, Rejection,
    artifacts::{self, Failure},
};
use crate::{
    db,
    model::{
        options::Options,
        session_template::{BootSet, SessionTemplate},
    },
};

/// What was found in a template. BOS shows its errors, or else its warnings, or else `Valid`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateFindings {
    /// What would make a session fail; the first of each boot set.
    pub errors: Vec<String>,
    /// What is odd.
    pub warnings: Vec<String>,
}

impl TemplateFindings {
    /// What BOS answers.
    pub fn text(&self) -> String {
        match (self.errors.first(), self.warnings.is_empty()) {
            (Some(error), _) => error.clone(),
            (None, false) => self.warnings.join("; "),
            (None, true) => "Valid".to_owned(),
        }
    }
}

impl Admit {
    /// What BOS would find in a template. `boots`: whether it is asked for an operation that boots, so that images are
    /// looked at.
    pub async fn validate_template(
        &self,
        name: &str,
        template: &SessionTemplate,
        boots: bool,
    ) -> Result<TemplateFindings, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let options = db::options::get(&mut conn).await?;
        drop(conn);
        let mut findings = TemplateFindings::default();
        for (key, boot_set) in &template.boot_sets {
            let mut warnings = Vec::new();
            let outcome = self.validate_boot_set(boot_set, boots, &options, &mut warnings).await;
            let at = |message: String| format!("Session template: '{name}' boot set: '{key}': {message}");
            findings.warnings.extend(warnings.into_iter().map(at));
            if let Err(message) = outcome {
                findings.errors.push(at(message));
            }
        }
        Ok(findings)
    }

    /// What IMS thinks of a template's images, as BOS asks before it keeps one: what is odd. The image must be made for
    /// the boot set's architecture.
    ///
    /// # Errors
    /// What is wrong with the first boot set that cannot be kept, in words.
    pub async fn check_images(
        &self,
        template: &SessionTemplate,
        options: &Options,
    ) -> Result<Vec<String>, String> {
        let mut notes = Vec::new();
        for (key, boot_set) in &template.boot_sets {
            let at = |message: String| format!("Boot set {key}: {message}");
            let note = self.check_image(boot_set, options).await.map_err(at)?;
            notes.extend(note.map(at));
        }
        Ok(notes)
    }

    async fn check_image(&self, boot_set: &BootSet, options: &Options) -> Result<Option<String>, String> {
        match artifacts::image_id(&boot_set.path) {
            None => Ok(Some(format!("{} is not the path of an IMS image", boot_set.path))),
            Some(id) => {
                let answer = self.services.ims.image(id).await;
                let arch = boot_set.arch.unwrap_or_default();
                artifacts::judge_image(id, answer, arch, options).map_err(|error| error.to_string())
            }
        }
    }

    async fn validate_boot_set(
        &self,
        boot_set: &BootSet,
        boots: bool,
        options: &Options,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        if boot_set.names_nobody() {
            return Err(
                "No non-empty hardware specifier field found (node_list, node_roles_groups, node_groups)"
                    .to_owned(),
            );
        }
        if boot_set.names_nids() {
            let message = "Has NID in 'node_list'".to_owned();
            if options.reject_nids {
                return Err(message);
            }
            warnings.push(message);
        }
        if !boots {
            return Ok(());
        }
        match boot_set.rootfs_provider.as_deref() {
            None | Some("" | "sbps") => {}
            Some(other) => warnings.push(format!(
                "Unsupported rootfs_provider ('{other}') will cause boot/reboot sessions to fail"
            )),
        }
        let manifest = artifacts::manifest(&self.services, boot_set)
            .await
            .map_err(|failure| format!("Can't find boot artifacts. Error: {}", words(failure)))?;
        let path = &boot_set.path;
        match manifest.kernel.as_slice() {
            [kernel] => match self.services.s3.head(&kernel.path).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Err(format!("Can't find kernel in {path}. Error: there is no {}", kernel.path));
                }
                Err(error) => return Err(format!("Can't find kernel in {path}. Error: {error}")),
            },
            kernels => {
                let count = kernels.len();
                return Err(format!("Can't find kernel in {path}. Error: it lists {count}, not one"));
            }
        }
        if manifest.initrd.len() != 1 {
            let count = manifest.initrd.len();
            warnings.push(match count {
                0 => format!("{path} doesn't contain a initrd"),
                count => format!("{path} contains {count} of initrd"),
            });
        }
        warnings.extend(self.check_image(boot_set, options).await?);
        Ok(())
    }
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Problem(problem) => problem.to_string(),
        Failure::Service(error) => error.to_string(),
    }
}
