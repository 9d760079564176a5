//! §1.2.

use reqwest::Method;
use serde_json::{Value, json};

use super::{names, refused};
use crate::support::{app::fast, server::Server};

const TEMPLATES: &str = "/v2/sessiontemplates";

fn template(boot_set: Value) -> Value {
    let mut whole = json!({"path": "s3://b/k", "type": "s3"});
    whole.as_object_mut().unwrap().extend(boot_set.as_object().unwrap().clone());
    json!({"boot_sets": {"c": whole}})
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_kept_canonically() {
    let server = Server::new(fast(2)).await;
    let path = "/v2/sessiontemplates/t";
    let mut body = template(json!({
        "name": "c", "cfs": {}, "node_list": ["X0001C00S01B00N00", "Lamp", "NID1"], "etag": "e",
        "kernel_parameters": "", "rootfs_provider": "sbps", "rootfs_provider_passthrough": "",
    }));
    body["cfs"] = json!({"configuration": ""});
    body["description"] = json!("d");
    let stored = server.ok(Method::PUT, path, Some(body.clone())).await;
    assert_eq!(
        stored,
        json!({
            "name": "t", "tenant": null, "description": "d",
            "boot_sets": {"c": {
                "path": "s3://b/k", "type": "s3", "arch": "X86", "etag": "e", "kernel_parameters": "",
                "node_list": ["x1c0s1b0n0", "lamp", "nid1"], "rootfs_provider": "sbps",
                "rootfs_provider_passthrough": "",
            }},
        })
    );
    assert_eq!(server.ok(Method::GET, path, None).await, stored);
    assert_eq!(names(&server.ok(Method::GET, TEMPLATES, None).await, "name"), ["demo", "t"]);
    // What is read cannot be written back: three fields are for reading only.
    assert_eq!(
        refused(&server, Method::PUT, path, Some(stored.clone()), 400).await,
        "Property is read-only - 'name'"
    );
    body["boot_sets"]["c"]["node_list"] = json!(["x1"]);
    body.as_object_mut().unwrap().remove("description");
    let replaced = server.ok(Method::PUT, path, Some(body)).await;
    assert_eq!(
        (&replaced["description"], &replaced["boot_sets"]["c"]["node_list"]),
        (&Value::Null, &json!(["x1"]))
    );
    assert_eq!(server.ask(Method::DELETE, path, None).await.0.as_u16(), 204);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(refused(&server, method, path, None, 404).await, "Session template 't' does not exist");
    }
    for bad in ["-", "a-", ".a", "a%20b", &"x".repeat(128)] {
        for method in [Method::GET, Method::DELETE] {
            refused(&server, method, &format!("{TEMPLATES}/{bad}"), None, 400).await;
        }
    }
    server.ok(Method::PUT, &format!("{TEMPLATES}/{}", "x".repeat(127)), Some(server.template())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_template_is_said() {
    let server = Server::new(fast(2)).await;
    let path = "/v2/sessiontemplates/t";
    let nodes = json!(["x1"]);
    let with = |field: &str, value: Value| {
        let mut body = template(json!({"node_list": nodes}));
        body[field] = value;
        body
    };
    let set = |field: &str, value: Value| {
        let mut body = template(json!({"node_list": nodes}));
        body["boot_sets"]["c"][field] = value;
        body
    };
    let long = |chars: usize| json!("x".repeat(chars));
    for (body, part) in [
        (json!({}), "'boot_sets' is a required property"),
        (with("boot_sets", json!({})), "boot_sets"),
        (with("boot_sets", json!([])), "boot_sets"),
        (with("boot_sets", json!({"-": {"path": "p", "type": "s3", "node_list": ["x"]}})), "boot_sets"),
        (
            with("boot_sets", json!({"c": {"type": "s3", "node_list": ["x"]}})),
            "'path' is a required property",
        ),
        (with("boot_sets", json!({"c": {"path": "p", "node_list": ["x"]}})), "'type' is a required property"),
        (with("description", json!("")), "description"),
        (with("description", long(1024)), "description"),
        (with("enable_cfs", json!("true")), "enable_cfs"),
        (with("cfs", json!({"branch": "b"})), "cfs"),
        (with("cfs", json!({"configuration": "x".repeat(128)})), "cfs.configuration"),
        (with("cfs", json!(null)), "cfs"),
        (with("links", json!([])), "read-only - 'links'"),
        (with("tenant", json!("t")), "read-only - 'tenant'"),
        (with("x", json!(1)), "'x' was unexpected"),
        (set("path", json!("")), "path"),
        (set("path", long(4096)), "path"),
        (set("type", json!("")), "type"),
        (set("etag", long(65_537)), "etag"),
        (set("kernel_parameters", long(4097)), "kernel_parameters"),
        (set("kernel_parameters", json!(null)), "kernel_parameters"),
        (set("node_list", json!([])), "node_list"),
        (set("node_list", json!([""])), "node_list.0"),
        (set("node_list", json!(["x", 1])), "node_list.1"),
        (set("node_list", json!("x")), "node_list"),
        (set("node_groups", json!([])), "node_groups"),
        (set("node_roles_groups", json!([])), "node_roles_groups"),
        (set("arch", json!("x86")), "arch"),
        (set("rootfs_provider", json!("")), "rootfs_provider"),
        (set("rootfs_provider", long(512)), "rootfs_provider"),
        (set("rootfs_provider_passthrough", long(4097)), "rootfs_provider_passthrough"),
        (set("network", json!("nmn")), "'network' was unexpected"),
        (set("name", json!("d")), "The session template could not be created: "),
        (template(json!({})), "The session template could not be created: "),
    ] {
        let said = refused(&server, Method::PUT, path, Some(body), 400).await;
        assert!(said.contains(part), "{part}: {said}");
    }
    refused(&server, Method::GET, path, None, 404).await;
    // IMS knows this image's architecture, and that is never forgiven.
    let mut arm = server.template();
    arm["boot_sets"]["compute"]["arch"] = json!("ARM");
    let said = refused(&server, Method::PUT, path, Some(arm.clone()), 400).await;
    assert!(said.starts_with("The session template could not be created: Boot set compute: "), "{said}");
    let patch = json!({"boot_sets": arm["boot_sets"]});
    let said = refused(&server, Method::PATCH, "/v2/sessiontemplates/demo", Some(patch), 400).await;
    assert!(said.starts_with("The session template could not be patched: "), "{said}");
    arm["boot_sets"]["compute"]["arch"] = json!("Other");
    server.ok(Method::PUT, path, Some(arm)).await;
    // What IMS does not know is forgiven, unless an option says otherwise.
    let gone = || {
        Some(template(json!({"path": "s3://boot-images/no-such-image/manifest.json", "node_list": ["x1"]})))
    };
    server.ok(Method::PUT, path, gone()).await;
    server.ok(Method::PATCH, "/v2/options", Some(json!({"ims_images_must_exist": true}))).await;
    refused(&server, Method::PUT, path, gone(), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_patched_by_boss_rules() {
    let server = Server::new(fast(2)).await;
    let path = "/v2/sessiontemplates/t";
    let mut body = template(json!({"node_list": ["x1"], "etag": "e", "cfs": {"configuration": "own"}}));
    body["cfs"] = json!({"configuration": "top"});
    let stored = server.ok(Method::PUT, path, Some(body)).await;
    let patch = async |body: Value| server.ok(Method::PATCH, path, Some(body)).await;
    assert_eq!(patch(json!({})).await, stored);
    let patched = patch(json!({"description": "d", "enable_cfs": false})).await;
    assert_eq!((&patched["description"], &patched["enable_cfs"]), (&json!("d"), &json!(false)));
    assert_eq!(patched["boot_sets"], stored["boot_sets"]);
    let patched = patch(json!({"boot_sets": {
        "c": {"path": "s3://b/other", "type": "s3", "cfs": {}},
        "d": {"path": "s3://b/d", "type": "s3", "node_groups": ["g"], "name": "d"},
    }}))
    .await;
    let c = &patched["boot_sets"]["c"];
    assert_eq!(
        (&c["path"], &c["etag"], &c["cfs"]["configuration"]),
        (&json!("s3://b/other"), &json!("e"), &json!("own"))
    );
    assert_eq!(
        patched["boot_sets"]["d"],
        json!({"path": "s3://b/d", "type": "s3", "node_groups": ["g"], "arch": "X86"})
    );
    assert_eq!(patch(json!({"cfs": {"configuration": ""}})).await["cfs"], Value::Null);
    assert_eq!(server.ok(Method::GET, path, None).await["boot_sets"], patched["boot_sets"]);
    for (bad, part) in [
        (json!({"name": "t"}), "Additional properties"),
        (json!({"tenant": null}), "Additional properties"),
        (json!({"boot_sets": {"c": {"path": "p"}}}), "'type' is a required property"),
        (json!({"boot_sets": {"c": {"type": "s3"}}}), "'path' is a required property"),
        (json!({"boot_sets": {}}), "boot_sets"),
        (
            json!({"boot_sets": {"e": {"path": "p", "type": "s3"}}}),
            "The session template could not be patched: ",
        ),
        (
            json!({"boot_sets": {"c": {"path": "p", "type": "s3", "name": "d"}}}),
            "The session template could not be patched: ",
        ),
        (json!([]), "is not of type 'object'"),
    ] {
        let said = refused(&server, Method::PATCH, path, Some(bad), 400).await;
        assert!(said.contains(part), "{part}: {said}");
    }
    let nowhere = "/v2/sessiontemplates/nowhere";
    refused(&server, Method::PATCH, nowhere, Some(json!({"x": 1})), 400).await;
    refused(&server, Method::PATCH, nowhere, Some(json!({})), 404).await;
    // Many at once: no change is lost.
    let changes = (0..6).map(|n| {
        let set = json!({"path": "s3://b/k", "type": "s3", "node_list": ["x1"]});
        patch(json!({"boot_sets": {format!("n{n}"): set}}))
    });
    futures_util::future::join_all(changes).await;
    assert_eq!(server.ok(Method::GET, path, None).await["boot_sets"].as_object().unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_validated_on_request() {
    let server = Server::new(fast(2)).await;
    let valid = async |name: &str| {
        let said = server.ok(Method::GET, &format!("/v2/sessiontemplatesvalid/{name}"), None).await;
        said.as_str().unwrap().to_owned()
    };
    assert_eq!(valid("demo").await, "Valid");
    let put = async |body: Value| server.ok(Method::PUT, "/v2/sessiontemplates/t", Some(body)).await;
    put(template(json!({"path": "s3://boot-images/none/manifest.json", "node_list": ["x1"]}))).await;
    let said = valid("t").await;
    assert!(
        said.starts_with("Session template: 't' boot set: 'c': Can't find boot artifacts. Error: "),
        "{said}"
    );
    let mut odd = server.template();
    odd["boot_sets"]["compute"]["rootfs_provider"] = json!("cpss3");
    odd["boot_sets"]["compute"]["node_list"] = json!(["nid1"]);
    put(odd).await;
    assert_eq!(
        valid("t").await,
        "Session template: 't' boot set: 'compute': Has NID in 'node_list'; Session template: 't' boot set: 'compute': \
         Unsupported rootfs_provider ('cpss3') will cause boot/reboot sessions to fail"
    );
    // A manifest without a kernel, and one without an initrd.
    let lacking = async |kind: &str| {
        let s3 = format!("{}/s3/boot-images", server.machine.url());
        let image = server.machine.images()[0].path.clone();
        let manifest = format!("{s3}/{}", image.rsplit("boot-images/").next().unwrap());
        let http = reqwest::Client::new();
        let mut document: Value = http.get(&manifest).send().await.unwrap().json().await.unwrap();
        let artifacts = document["artifacts"].as_array_mut().unwrap();
        artifacts.retain(|artifact| artifact["type"] != format!("application/vnd.cray.image.{kind}"));
        let put = http.put(format!("{s3}/lacking-{kind}/manifest.json")).json(&document);
        put.send().await.unwrap().error_for_status().unwrap();
        let path = format!("s3://boot-images/lacking-{kind}/manifest.json");
        server
            .ok(
                Method::PUT,
                "/v2/sessiontemplates/t",
                Some(template(json!({"path": path, "node_list": ["x1"]}))),
            )
            .await;
        valid("t").await
    };
    let said = lacking("kernel").await;
    assert!(said.contains("Can't find kernel in s3://boot-images/lacking-kernel/manifest.json"), "{said}");
    let said = lacking("initrd").await;
    assert!(said.contains("lacking-initrd/manifest.json doesn't contain a initrd"), "{said}");
    refused(&server, Method::GET, "/v2/sessiontemplatesvalid/none", None, 404).await;
    refused(&server, Method::GET, "/v2/sessiontemplatesvalid/-", None, 400).await;
    // A session is not made from what does not pass, unless it boots nothing.
    put(template(json!({"path": "s3://boot-images/none/manifest.json", "node_list": ["x1"]}))).await;
    for operation in ["boot", "reboot"] {
        let body = json!({"operation": operation, "template_name": "t"});
        let said = refused(&server, Method::POST, "/v2/sessions", Some(body), 400).await;
        assert!(said.to_lowercase().starts_with("session template fails check: "), "{said}");
    }
    server
        .ok(Method::POST, "/v2/sessions", Some(json!({"operation": "shutdown", "template_name": "t"})))
        .await;
    let skeleton = server.ok(Method::GET, "/v2/sessiontemplatetemplate", None).await;
    assert_eq!((&skeleton["enable_cfs"], &skeleton["name"]), (&json!(true), &Value::Null));
    let set = &skeleton["boot_sets"]["name_your_boot_set"];
    assert_eq!((&set["type"], &set["rootfs_provider"]), (&json!("s3"), &json!("sbps")));
    assert_eq!(set["node_list"], json!(["xname1", "xname2", "xname3"]));
}
