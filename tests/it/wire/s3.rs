//! The store of boot images.

use bosun::clients::{ClientError, s3::ManifestArtifact};
use serde_json::json;

use super::loopback::{Answer, Loopback};

const MANIFEST: &str = "s3://boot-images/one/manifest.json";

async fn store() -> Loopback {
    Loopback::start(|asked| {
        let artifact = |kind: &str, name: &str| {
            json!({ "type": format!("application/vnd.cray.image.{kind}"), "md5": "0",
                    "link": { "type": "s3", "path": format!("s3://boot-images/one/{name}"), "etag": "e" } })
        };
        let etag = |body: Vec<u8>| Answer::With(200, vec![("etag", "\"59-2\"".to_owned())], body);
        match asked.path.as_str() {
            "/boot-images/one/manifest.json" => etag(
                json!({ "version": "1.0", "created": "some day", "artifacts": [
                    artifact("kernel", "kernel"), artifact("initrd", "initrd"),
                    artifact("rootfs.squashfs", "rootfs"), artifact("rootfs.squashfs", "rootfs2"),
                    artifact("debug.kernel", "other") ] })
                .to_string()
                .into_bytes(),
            ),
            "/boot-images/one/boot_parameters" => etag(b"console=ttyS0 quiet\n".to_vec()),
            "/boot-images/one/huge" => etag(vec![b'x'; (1 << 20) + 1]),
            "/boot-images/secret" => {
                Answer::With(403, vec![], b"<Error><Code>AccessDenied</Code></Error>".to_vec())
            }
            _ => Answer::With(404, vec![], b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        }
    })
    .await
}

#[tokio::test]
async fn a_manifest_is_sorted_by_kind() {
    let store = store().await;
    let manifest = store.services().s3.manifest(MANIFEST).await.unwrap();
    assert_eq!(manifest.etag.as_deref(), Some("59-2"), "without quotes");
    let kernel =
        ManifestArtifact { path: "s3://boot-images/one/kernel".to_owned(), etag: Some("e".to_owned()) };
    assert_eq!(manifest.kernel, [kernel]);
    assert_eq!((manifest.initrd.len(), manifest.rootfs.len(), manifest.boot_parameters.len()), (1, 2, 0));
    let asked = &store.asked()[0];
    assert!(asked.authorization.starts_with("AWS4-HMAC-SHA256 Credential=key/"), "{}", asked.authorization);
}

#[tokio::test]
async fn small_objects_are_read_and_large_ones_refused() {
    let store = store().await;
    let s3 = store.services().s3;
    let parameters = s3.text("s3://boot-images/one/boot_parameters", 1 << 16).await.unwrap();
    assert_eq!(parameters, "console=ttyS0 quiet\n");
    let error = s3.manifest("s3://boot-images/one/huge").await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreadable { text, .. } if text.contains("1048577")), "{error}");
    let error = s3.manifest("s3://boot-images/one/boot_parameters").await.unwrap_err();
    assert!(error.to_string().contains("not an image manifest"), "{error}");
}

#[tokio::test]
async fn what_is_missing_forbidden_or_no_address_is_told_apart() {
    let store = store().await;
    let s3 = store.services().s3;
    assert!(s3.manifest("s3://boot-images/two/manifest.json").await.unwrap_err().is_not_found());
    assert_eq!(s3.head("s3://boot-images/two/manifest.json").await.unwrap(), None);
    let head = s3.head("s3://boot-images/one/boot_parameters").await.unwrap().unwrap();
    assert_eq!((head.etag.as_deref(), head.bytes), (Some("59-2"), 20));
    let error = s3.text("s3://boot-images/secret", 10).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorised { .. }), "{error}");
    let asked = store.asked().len();
    for path in ["", "manifest.json", "s3://", "s3://bucket", "s3:///key", "s3://bucket/"] {
        let error = s3.manifest(path).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 400, .. }), "{path}: {error}");
    }
    assert_eq!(store.asked().len(), asked, "nobody was asked");
}
