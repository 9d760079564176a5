//! What a boot set boots: kernel and initrd out of the image's manifest, and the kernel command line in BOS's order.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{Api, Rejection};
use crate::{
    clients::{
        ClientError, Services,
        ims::Image,
        s3::{Manifest, ManifestArtifact},
    },
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        options::Options,
        plan::SliceArtifacts,
        session_template::{Arch, BootSet},
    },
};

/// The largest object of kernel parameters that is read; a kernel's command line is far shorter.
const PARAMETERS_BYTES_MAX: u64 = 1 << 20;
/// How many images are looked at at once.
const IMAGES_AT_ONCE: usize = 8;

/// Why a boot set cannot be booted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactProblem {
    /// A kind of artifact that is not there.
    #[error("artifact_missing: {kind} ({detail})")]
    Missing {
        /// `manifest`, `kernel`, `initrd`, `rootfs`, `boot_parameters`.
        kind: &'static str,
        /// Where it was looked for.
        detail: String,
    },
    /// A kind of artifact that is there more than once.
    #[error("artifact_duplicate: {count} of {kind} in {manifest}; there has to be exactly one")]
    Duplicate {
        /// `kernel`, …
        kind: &'static str,
        /// How often.
        count: usize,
        /// The manifest.
        manifest: String,
    },
    /// The manifest cannot be used.
    #[error("artifact_unreadable: {0}")]
    Unreadable(String),
    /// The image is somewhere else than in S3.
    #[error("its type is '{0}'; only s3 can be booted")]
    NotInS3(String),
    /// Nobody projects its root file system.
    #[error("Unsupported rootfs_provider ('{0}'); use sbps, or none")]
    UnsupportedProvider(String),
    /// The image is for other nodes.
    #[error("image {image} is for {found}, the boot set's arch is {wanted:?}; change one of them")]
    WrongArchitecture {
        /// The IMS image.
        image: String,
        /// Its architecture, in IMS's words.
        found: String,
        /// The boot set's.
        wanted: Arch,
    },
    /// IMS does not know the image, and has to.
    #[error("IMS has no image {0}, and the option ims_images_must_exist is on")]
    NoImage(String),
    /// IMS could not be asked, and has to.
    #[error("IMS could not be asked about the image ({0}), and the option ims_errors_fatal is on")]
    NoIms(String),
}

/// What a boot set boots, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it boots; the database's number is not known yet.
    pub artifacts: SliceArtifacts,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What the images of these boot sets are, by boot set. Asks S3 and IMS, changes nothing.
pub async fn find(
    services: &Services,
    boot_sets: &[(&str, &BootSet)],
    options: &Options,
    api: Api,
) -> Result<BTreeMap<String, Found>, Rejection> {
    // Boxed: the compiler cannot see that a stream of borrowing closures may be sent.
    let questions: Vec<BoxFuture<'_, Result<(String, Found), Rejection>>> = boot_sets
        .iter()
        .map(|(name, boot_set)| find_named(services, name, boot_set, options, api).boxed())
        .collect();
    stream::iter(questions).buffered(IMAGES_AT_ONCE).try_collect().await
}

async fn find_named(
    services: &Services,
    name: &str,
    boot_set: &BootSet,
    options: &Options,
    api: Api,
) -> Result<(String, Found), Rejection> {
    let found = find_one(services, boot_set, options, api).await.map_err(|error| error.at(name))?;
    Ok((name.to_owned(), found))
}

/// A problem of the image, or of a service.
#[derive(Debug)]
pub(super) enum Failure {
    Problem(ArtifactProblem),
    Service(ClientError),
}

impl Failure {
    fn at(self, boot_set: &str) -> Rejection {
        match self {
            Self::Problem(problem) => Rejection::Artifacts { boot_set: boot_set.to_owned(), problem },
            Self::Service(error) => error.into(),
        }
    }
}

impl From<ArtifactProblem> for Failure {
    fn from(problem: ArtifactProblem) -> Self {
        Self::Problem(problem)
    }
}

async fn find_one(
    services: &Services,
    boot_set: &BootSet,
    options: &Options,
    api: Api,
) -> Result<Found, Failure> {
    let image = Complete::of(manifest(services, boot_set).await?, &boot_set.path)?;
    let (present, parameters) = tokio::join!(present(services, &image), parameters(services, &image));
    present?;
    let kernel_parameters =
        compose(parameters?.as_deref(), boot_set, &image.rootfs, &options.component_actual_state_ttl, api)?;
    let mut notes = Vec::new();
    if boot_set.etag.is_some() && image.etag.is_some() && boot_set.etag != image.etag {
        notes.push(format!("the ETag of {} is not the one in the template", boot_set.path));
    }
    if let Some(id) = image_id(&boot_set.path) {
        let answer = services.ims.image(id).await;
        notes.extend(judge_image(id, answer, boot_set.arch.unwrap_or_default(), options)?);
    } else {
        notes.push(format!("{} is not the path of an IMS image", boot_set.path));
    }
    let wants_projection = kernel_parameters.contains("root=sbps-s3");
    let managed = image_id(&image.kernel.path);
    if wants_projection && managed.is_none() {
        notes.push(format!(
            "{} belongs to no IMS image, so nothing can be tagged for projection",
            image.kernel.path
        ));
    }
    let artifacts = SliceArtifacts {
        id: BootArtifactsId(0),
        artifacts: BootArtifacts {
            kernel: image.kernel.path.clone(),
            initrd: image.initrd.path.clone(),
            kernel_parameters,
        },
        image: managed.map(str::to_owned),
        projected: wants_projection && managed.is_some(),
    };
    Ok(Found { artifacts, notes })
}

pub(super) async fn manifest(services: &Services, boot_set: &BootSet) -> Result<Manifest, Failure> {
    if boot_set.kind != "s3" {
        return Err(ArtifactProblem::NotInS3(boot_set.kind.clone()).into());
    }
    services.s3.manifest(&boot_set.path).await.map_err(|error| match error {
        ClientError::Refused { status: 404, .. } => {
            missing("manifest", format!("there is no {}", boot_set.path)).into()
        }
        ClientError::Refused { text, .. } | ClientError::Unreadable { text, .. } => {
            ArtifactProblem::Unreadable(text).into()
        }
        error => Failure::Service(error),
    })
}

/// Whether what the manifest names is there.
async fn present(services: &Services, image: &Complete) -> Result<(), Failure> {
    let look = async |kind, artifact: &ManifestArtifact| match services.s3.head(&artifact.path).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(missing(kind, format!("there is no {}", artifact.path)).into()),
        Err(ClientError::Refused { text, .. }) => Err(ArtifactProblem::Unreadable(text).into()),
        Err(error) => Err(Failure::Service(error)),
    };
    let (kernel, initrd, rootfs) = tokio::join!(
        look("kernel", &image.kernel),
        look("initrd", &image.initrd),
        look("rootfs", &image.rootfs)
    );
    kernel.and(initrd).and(rootfs)
}

async fn parameters(services: &Services, image: &Complete) -> Result<Option<String>, Failure> {
    let Some(artifact) = &image.parameters else { return Ok(None) };
    match services.s3.text(&artifact.path, PARAMETERS_BYTES_MAX).await {
        Ok(text) => Ok(Some(text)),
        Err(ClientError::Refused { .. }) => {
            Err(missing("boot_parameters", format!("there is no {}", artifact.path)).into())
        }
        Err(ClientError::Unreadable { text, .. }) => Err(ArtifactProblem::Unreadable(text).into()),
        Err(error) => Err(Failure::Service(error)),
    }
}

/// An image that has all it needs, once.
#[derive(Debug)]
pub(super) struct Complete {
    etag: Option<String>,
    kernel: ManifestArtifact,
    initrd: ManifestArtifact,
    rootfs: ManifestArtifact,
    parameters: Option<ManifestArtifact>,
}

impl Complete {
    pub(super) fn of(manifest: Manifest, path: &str) -> Result<Self, ArtifactProblem> {
        let at_most_one = |kind, mut found: Vec<ManifestArtifact>| match found.len() {
            0 | 1 => Ok(found.pop()),
            count => Err(ArtifactProblem::Duplicate { kind, count, manifest: path.to_owned() }),
        };
        let one = |kind, found| {
            at_most_one(kind, found)?.ok_or_else(|| missing(kind, format!("{path} lists none")))
        };
        Ok(Self {
            etag: manifest.etag,
            kernel: one("kernel", manifest.kernel)?,
            initrd: one("initrd", manifest.initrd)?,
            rootfs: one("rootfs", manifest.rootfs)?,
            parameters: at_most_one("boot_parameters", manifest.boot_parameters)?,
        })
    }
}

fn missing(kind: &'static str, detail: String) -> ArtifactProblem {
    ArtifactProblem::Missing { kind, detail }
}

/// The kernel command line, in BOS's order; what stands later wins on the node.
fn compose(
    image_parameters: Option<&str>,
    boot_set: &BootSet,
    rootfs: &ManifestArtifact,
    update_frequency: &str,
    api: Api,
) -> Result<String, ArtifactProblem> {
    let etag = rootfs.etag.as_deref().unwrap_or_default();
    let passthrough = boot_set.rootfs_provider_passthrough.as_deref().filter(|text| !text.is_empty());
    let projected = |protocol: &str| {
        let through = passthrough.map(|text| format!(":{text}")).unwrap_or_default();
        let root = format!("root={protocol}:{}:{etag}{through}", rootfs.path);
        (root, format!("nmd_data=url={},etag={etag}", rootfs.path))
    };
    let (root, nmd_data) = match boot_set.rootfs_provider.as_deref().unwrap_or_default() {
        "sbps" => projected("sbps-s3"),
        // BOS dropped it; version 1 templates still name it.
        "cpss3" if api == Api::Bosun => projected("craycps-s3"),
        "" => (passthrough.map(|text| format!("root=::{text}")).unwrap_or_default(), String::new()),
        other => return Err(ArtifactProblem::UnsupportedProvider(other.to_owned())),
    };
    let image_parameters =
        image_parameters.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = [
        image_parameters,
        boot_set.kernel_parameters.clone().unwrap_or_default(),
        root,
        nmd_data,
        format!("bos_update_frequency={update_frequency}"),
    ];
    Ok(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// The IMS image an S3 path belongs to: the first part of the key, if there is more behind it.
pub(super) fn image_id(path: &str) -> Option<&str> {
    let (_, key) = path.strip_prefix("s3://")?.split_once('/')?;
    let (id, rest) = key.split_once('/')?;
    // IMS moves the objects of deleted images under `deleted/`.
    (!id.is_empty() && !rest.is_empty() && id != "deleted").then_some(id)
}

/// What IMS's answer means for a boot set: a note, a problem, or nothing.
pub(super) fn judge_image(
    id: &str,
    answer: Result<Option<Image>, ClientError>,
    wanted: Arch,
    options: &Options,
) -> Result<Option<String>, ArtifactProblem> {
    let image = match answer {
        Ok(Some(image)) => image,
        Ok(None) if options.ims_images_must_exist => return Err(ArtifactProblem::NoImage(id.to_owned())),
        Ok(None) => return Ok(Some(format!("IMS has no image {id}"))),
        Err(error) if options.ims_errors_fatal => return Err(ArtifactProblem::NoIms(error.to_string())),
        Err(error) => return Ok(Some(format!("IMS could not be asked about image {id}: {error}"))),
    };
    // Records from before IMS knew architectures are x86_64.
    let found = image.arch.as_deref().filter(|arch| !arch.is_empty()).unwrap_or("x86_64");
    let fits = match wanted {
        Arch::X86 | Arch::Unknown => found == "x86_64",
        Arch::Arm => found == "aarch64",
        Arch::Other => {
            return Ok(Some(format!(
                "the boot set's arch is Other; image {id} is for {found} and was not compared"
            )));
        }
    };
    if fits {
        return Ok(None);
    }
    Err(ArtifactProblem::WrongArchitecture { image: id.to_owned(), found: found.to_owned(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_set(more: &str) -> BootSet {
        serde_json::from_str(&format!(
            r#"{{"path": "s3://boot-images/i/manifest.json", "type": "s3"{more}}}"#
        ))
        .unwrap()
    }

    fn artifact(name: &str) -> ManifestArtifact {
        ManifestArtifact { path: format!("s3://boot-images/i/{name}"), etag: Some(format!("{name}-etag")) }
    }

    fn composed(more: &str, api: Api) -> Result<String, ArtifactProblem> {
        compose(Some("console=ttyS0\n  quiet "), &boot_set(more), &artifact("rootfs"), "4h", api)
    }

    #[test]
    fn kernel_parameters_stand_in_boss_order() {
        let sbps = r#", "kernel_parameters": "ip=dhcp  x", "rootfs_provider": "sbps",
                       "rootfs_provider_passthrough": "sbps:v1:iqn""#;
        assert_eq!(
            composed(sbps, Api::V2).unwrap(),
            "console=ttyS0 quiet ip=dhcp  x root=sbps-s3:s3://boot-images/i/rootfs:rootfs-etag:sbps:v1:iqn \
             nmd_data=url=s3://boot-images/i/rootfs,etag=rootfs-etag bos_update_frequency=4h"
        );
        assert_eq!(composed("", Api::V2).unwrap(), "console=ttyS0 quiet bos_update_frequency=4h");
        assert_eq!(
            composed(r#", "rootfs_provider_passthrough": "p""#, Api::V2).unwrap(),
            "console=ttyS0 quiet root=::p bos_update_frequency=4h"
        );
    }

    #[test]
    fn version_1_templates_may_name_cps() {
        let cps = r#", "rootfs_provider": "cpss3", "rootfs_provider_passthrough": "dvs:gateway:300:nmn0""#;
        assert_eq!(
            composed(cps, Api::Bosun).unwrap(),
            "console=ttyS0 quiet \
             root=craycps-s3:s3://boot-images/i/rootfs:rootfs-etag:dvs:gateway:300:nmn0 \
             nmd_data=url=s3://boot-images/i/rootfs,etag=rootfs-etag bos_update_frequency=4h"
        );
        assert!(matches!(composed(cps, Api::V2), Err(ArtifactProblem::UnsupportedProvider(_))));
    }

    #[test]
    fn an_image_has_everything_exactly_once() {
        let full = Manifest {
            etag: None,
            kernel: vec![artifact("kernel")],
            initrd: vec![artifact("initrd")],
            rootfs: vec![artifact("rootfs")],
            boot_parameters: Vec::new(),
        };
        assert!(Complete::of(full.clone(), "s3://b/i/m").is_ok());
        let lacking = Manifest { initrd: Vec::new(), ..full.clone() };
        assert_eq!(
            Complete::of(lacking, "s3://b/i/m").unwrap_err().to_string(),
            "artifact_missing: initrd (s3://b/i/m lists none)"
        );
        let twice = Manifest { kernel: vec![artifact("kernel"), artifact("kernel2")], ..full };
        assert_eq!(
            Complete::of(twice, "s3://b/i/m").unwrap_err().to_string(),
            "artifact_duplicate: 2 of kernel in s3://b/i/m; there has to be exactly one"
        );
    }

    #[test]
    fn an_images_architecture_has_to_fit() {
        let judge = |arch: Option<&str>, wanted, options: &Options| {
            let image = Image {
                id: "i".to_owned(),
                name: "n".to_owned(),
                arch: arch.map(str::to_owned),
                metadata: BTreeMap::new(),
            };
            judge_image("i", Ok(Some(image)), wanted, options)
        };
        let options = Options::default();
        assert_eq!(judge(Some("x86_64"), Arch::X86, &options), Ok(None));
        assert_eq!(judge(None, Arch::X86, &options), Ok(None));
        assert_eq!(judge(Some("aarch64"), Arch::Arm, &options), Ok(None));
        assert!(judge(Some("aarch64"), Arch::X86, &options).is_err());
        assert!(judge(None, Arch::Arm, &options).is_err());
        assert!(judge(Some("aarch64"), Arch::Other, &options).unwrap().is_some());
        assert!(judge_image("i", Ok(None), Arch::X86, &options).unwrap().is_some());
        let strict = Options { ims_images_must_exist: true, ..Options::default() };
        assert_eq!(
            judge_image("i", Ok(None), Arch::X86, &strict),
            Err(ArtifactProblem::NoImage("i".to_owned()))
        );
    }

    #[test]
    fn an_image_is_the_first_part_of_a_key() {
        assert_eq!(image_id("s3://boot-images/abc/manifest.json"), Some("abc"));
        assert_eq!(image_id("s3://boot-images/manifest.json"), None);
        assert_eq!(image_id("s3://boot-images/deleted/abc/kernel"), None);
    }
}
