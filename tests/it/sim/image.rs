//! Images: IMS's metadata, and the object store as its usual client sees it.

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use super::{Machine, machine, settings};

fn store(machine: &Machine, endpoint: &str) -> impl ObjectStore {
    AmazonS3Builder::new()
        .with_endpoint(format!("{}{endpoint}", machine.handle.url()))
        .with_bucket_name("boot-images")
        .with_region("us-east-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_allow_http(true)
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_store_speaks_as_its_client_expects() {
    let machine = machine(settings()).await;
    let images = machine.handle.images();
    let key = format!("{}/manifest.json", images[0].id).into();
    for endpoint in ["", "/s3"] {
        let store = store(&machine, endpoint);
        let got = store.get(&key).await.unwrap();
        assert_eq!(got.meta.e_tag.as_deref(), Some(format!("\"{}\"", images[0].etag).as_str()));
        let manifest: Value = serde_json::from_slice(&got.bytes().await.unwrap()).unwrap();
        assert_eq!(manifest["artifacts"].as_array().unwrap().len(), 4);
        assert_eq!(store.head(&key).await.unwrap().e_tag, Some(format!("\"{}\"", images[0].etag)));
        let missing = store.get(&format!("{}/nothing", images[0].id).into()).await;
        assert!(matches!(missing, Err(object_store::Error::NotFound { .. })), "{missing:?}");
    }
    let store = store(&machine, "");
    store.put(&key, "{}".into()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "{}");
}

#[tokio::test]
async fn ims_changes_one_key_at_a_time() {
    let machine = machine(settings()).await;
    let image = format!("/v3/images/{}", machine.handle.images()[0].id);
    let tag = json!({"metadata": {"operation": "set", "key": "sbps-project", "value": "true"}});
    let (status, record) = machine.send("PATCH", &image, &tag).await;
    assert_eq!((status, &record["metadata"]), (200, &json!({"sbps-project": "true"})));
    let untag = json!({"metadata": {"operation": "remove", "key": "sbps-project"}});
    for _ in 0..2 {
        let (status, record) = machine.send("PATCH", &image, &untag).await;
        assert_eq!((status, &record["metadata"]), (200, &json!({})));
    }
    let (status, answer) = machine.get("/apis/ims/v3/images/none").await;
    assert_eq!(status, 404);
    assert!(answer.get("type").is_none());
    assert_eq!(machine.send("PATCH", &image, &json!({"name": "other"})).await.0, 422);
}

#[tokio::test]
async fn a_deleted_image_breaks_its_path_until_it_is_undeleted() {
    let machine = machine(settings()).await;
    let id = machine.handle.images()[0].id;
    let manifest = format!("/boot-images/{id}/manifest.json");
    assert_eq!(machine.send("DELETE", &format!("/v3/images/{id}"), &Value::Null).await.0, 204);
    assert_eq!(machine.get(&manifest).await.0, 404);
    let undelete = json!({"operation": "undelete"});
    assert_eq!(machine.send("PATCH", &format!("/v3/deleted/images/{id}"), &undelete).await.0, 204);
    assert_eq!(machine.get(&manifest).await.0, 200);
}
