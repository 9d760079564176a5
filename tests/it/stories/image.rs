//! Story 5: a bad image is caught before anything is touched.

use serde_json::{Value, json};

use crate::support::dev::Dev;

async fn create(dev: &Dev, template: &str) -> crate::support::process::Done {
    let line =
        ["session", "create", "--template", template, "--operation", "reboot", "--name", "night", "--wait"];
    dev.bosun(&line).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_is_caught_before_anything_is_touched() {
    let dev = Dev::start(&["--nodes=12"], &[]).await;
    for (image, complaint) in [
        ("no-manifest", "artifact_missing: manifest"),
        ("two-kernels", "artifact_duplicate: 2 of kernel"),
        ("no-initrd", "artifact_missing: initrd"),
    ] {
        let mut template = dev.template(image).await;
        if template["boot_sets"]["compute"]["etag"] == "" {
            template["boot_sets"]["compute"].as_object_mut().unwrap().remove("etag");
        }
        dev.apply(image, &template).await;
        dev.machine.forget_requests().await;
        let done = create(&dev, image).await.expect(5);
        let line = done.complaint();
        assert!(line.contains("boot set compute") && line.contains(complaint), "{line}");
        let changing: Vec<_> =
            dev.machine.requests().await.into_iter().filter(|request| request.changes()).collect();
        assert!(changing.is_empty(), "{changing:?}");
        dev.bosun(&["session", "show", "night"]).await.expect(1);
    }
    let held: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(held, 0);
    assert!(dev.machine.orders().await.is_empty());

    // Mended, the same command succeeds.
    let images = dev.machine.images().await;
    let id = images["no-initrd"]["id"].as_str().unwrap();
    let mut manifest = dev.machine.object(&[id, "manifest.json"]).await;
    let path = format!("{id}/initrd");
    dev.machine.put_object(&[id, "initrd"], &Value::String("an initrd".to_owned())).await;
    manifest["artifacts"].as_array_mut().unwrap().push(json!({
        "type": "application/vnd.cray.image.initrd", "md5": "",
        "link": {"type": "s3", "path": format!("s3://boot-images/{path}"), "etag": ""},
    }));
    dev.machine.put_object(&[id, "manifest.json"], &manifest).await;
    create(&dev, "no-initrd").await.expect(0);
}
