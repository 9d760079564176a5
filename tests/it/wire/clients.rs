//! HSM, BSS and IMS: what is asked, and how answers are read.

use axum::http::Method;
use bosun::{
    clients::{
        hsm::{Group, HsmState, Partition},
        ims::Tagged,
    },
    model::{artifacts::BootArtifacts, verb::CallError},
};
use serde_json::json;

use super::loopback::{Answer, Loopback, problem};

#[tokio::test]
async fn hsm_components_are_read_with_whatever_fields_they_have() {
    let service = Loopback::start(|_| {
        Answer::Json(
            200,
            json!({ "Components": [
                { "ID": "x1000c0s0b0n0", "Type": "Node", "State": "Ready", "Flag": "OK", "Enabled": true,
                  "Role": "Compute", "SubRole": "Worker", "NID": 1000, "NetType": "Sling", "Arch": "X86",
                  "Class": "Mountain", "Locked": true },
                { "ID": "x1000c0s0b0n1", "Type": "Node", "State": "Bogus", "Enabled": false, "NID": "7",
                  "ReservationDisabled": true },
            ] }),
        )
    })
    .await;
    let services = service.services();
    let nodes = services.hsm.nodes().await.unwrap();
    assert_eq!(service.asked()[0].path, "/hsm/v2/State/Components?type=node");
    let [full, bare] = nodes.as_slice() else { panic!("{nodes:?}") };
    assert_eq!((full.id.as_str(), full.state, full.nid), ("x1000c0s0b0n0", HsmState::Ready, Some(1000)));
    assert_eq!((full.arch.as_deref(), full.sub_role.as_deref()), (Some("X86"), Some("Worker")));
    assert!(full.enabled && full.locked && !full.reservation_disabled);
    assert_eq!((bare.state, bare.nid, &bare.arch), (HsmState::Unknown, Some(7), &None));
    assert!(!bare.enabled && !bare.locked && bare.reservation_disabled);
}

#[tokio::test]
async fn hsm_is_asked_for_ids_in_the_body_and_never_for_none() {
    let service = Loopback::start(|_| Answer::Json(200, json!({ "Components": null }))).await;
    let services = service.services();
    assert_eq!(services.hsm.nodes_by_id(&[]).await.unwrap(), []);
    assert!(service.asked().is_empty(), "no ids would mean all components");
    let ids: Vec<String> = (0..8_001).map(|number| format!("x1c0s0b0n{number}")).collect();
    assert_eq!(services.hsm.nodes_by_id(&ids).await.unwrap(), []);
    let asked = service.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.path == "/hsm/v2/State/Components/Query"));
    let sent: usize = asked.iter().map(|asked| asked.body["ComponentIDs"].as_array().unwrap().len()).sum();
    assert_eq!((sent, &asked[0].body["type"]), (8_001, &json!(["node"])));
}

#[tokio::test]
async fn hsm_groups_partitions_and_locks() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/hsm/v2/groups" => Answer::Json(
            200,
            json!([{ "label": "blue", "description": "", "members": { "ids": ["x1c0s0b0n0"] } },
                   { "label": "empty" }]),
        ),
        "/hsm/v2/partitions" => {
            Answer::Json(200, json!([{ "name": "p1", "members": { "ids": ["x1c0s0b0n0"] } }]))
        }
        "/hsm/v2/locks/status?type=Node&locked=true" => Answer::Json(
            200,
            json!({ "Components": [{ "ID": "x1c0s0b0n0", "Locked": true, "Reserved": false },
                                   { "ID": "x1c0s0b0n1", "Locked": false }] }),
        ),
        other => problem(404, other),
    })
    .await;
    let services = service.services();
    let members = vec!["x1c0s0b0n0".to_owned()];
    let group =
        |label: &str, members: &[String]| Group { label: label.to_owned(), members: members.to_vec() };
    assert_eq!(services.hsm.groups().await.unwrap(), [group("blue", &members), group("empty", &[])]);
    let partition = Partition { name: "p1".to_owned(), members: members.clone() };
    assert_eq!(services.hsm.partitions().await.unwrap(), [partition]);
    assert_eq!(services.hsm.locked_nodes().await.unwrap(), members);
}

#[tokio::test]
async fn bss_gives_the_token_of_the_put() {
    let service = Loopback::start(|asked| match asked.body["hosts"][0].as_str() {
        Some("x1c0s0b0n0") => Answer::With(200, vec![("BSS-Referral-Token", "abc".to_owned())], vec![]),
        _ => Answer::With(200, vec![], vec![]),
    })
    .await;
    let services = service.services();
    let artifacts = BootArtifacts {
        kernel: "s3://boot-images/1/kernel".to_owned(),
        initrd: "s3://boot-images/1/initrd".to_owned(),
        kernel_parameters: "console=ttyS0".to_owned(),
    };
    let hosts = ["x1c0s0b0n0".to_owned()];
    let token = services.bss.put_boot_parameters(&hosts, &artifacts).await.unwrap();
    assert_eq!(token.0, "abc");
    let asked = &service.asked()[0];
    assert_eq!((asked.method.clone(), asked.path.as_str()), (Method::PUT, "/boot/v1/bootparameters"));
    assert_eq!(
        asked.body,
        json!({ "hosts": ["x1c0s0b0n0"], "params": "console=ttyS0", "kernel": "s3://boot-images/1/kernel",
                "initrd": "s3://boot-images/1/initrd" })
    );
    let error = services.bss.put_boot_parameters(&["x".to_owned()], &artifacts).await.unwrap_err();
    assert!(matches!(CallError::from(error), CallError::Rejected { text, .. } if text.contains("token")
        || text.contains("Token")));
}

#[tokio::test]
async fn ims_tags_an_image_it_manages() {
    let service = Loopback::start(|asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v3/images/one") => Answer::Json(
            200,
            json!({ "id": "one", "arch": "aarch64", "metadata": { "a": "b", "odd": 1 }, "link": null }),
        ),
        ("PATCH", "/v3/images/one") => Answer::Json(200, json!({ "id": "one" })),
        _ => problem(404, "Requested resource does not exist. Re-run request with valid ID."),
    })
    .await;
    let services = service.services();
    let image = services.ims.image("one").await.unwrap().unwrap();
    assert_eq!((image.arch.as_deref(), image.metadata["a"].as_str()), (Some("aarch64"), "b"));
    assert_eq!(services.ims.image("two").await.unwrap(), None);
    assert_eq!(services.ims.tag_projected("one").await.unwrap(), Tagged::Done);
    assert_eq!(services.ims.tag_projected("a/../b").await.unwrap(), Tagged::NotManaged);
    let asked = service.asked();
    assert_eq!(
        asked[2].body,
        json!({ "metadata": { "operation": "set", "key": "sbps-project", "value": "true" } })
    );
    assert_eq!(asked[3].path, "/v3/images/a%2F..%2Fb", "an id is one segment, whatever it holds");
}

#[tokio::test]
async fn the_health_of_all_is_asked_at_once() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/readiness" => problem(400, "no"),
        "/boot-images/bosun-health" => problem(404, "no such key"),
        _ => Answer::With(204, vec![], vec![]),
    })
    .await;
    let health = service.services().health().await;
    let well: Vec<_> = health.iter().map(|(service, answer)| (*service, answer.is_ok())).collect();
    assert_eq!(
        well,
        [("hsm", true), ("pcs", false), ("bss", true), ("cfs", true), ("ims", true), ("s3", true)]
    );
}

#[tokio::test]
async fn tapms_says_what_a_tenant_has_and_not_what_it_is_to_have() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/v1alpha3/tenants/blue" => Answer::Json(
            200,
            json!({
                "metadata": {"name": "blue"},
                "spec": {"tenantresources": [{"type": "compute", "xnames": ["x9c0s0b0n0"]}]},
                "status": {"uuid": "u", "tenantresources": [
                    {"type": "compute", "xnames": ["X1000c0s0b0n1", "x1000c0s0b0n0"]},
                    {"type": "application", "xnames": ["x1000c0s0b0n0"]}, {"type": "none"}, {"xnames": null},
                ]},
            }),
        ),
        "/v1alpha3/tenants/new" => Answer::Json(200, json!({"metadata": {"name": "new"}})),
        // TAPMS finds tenants by their UUID, too.
        "/v1alpha3/tenants/u" => Answer::Json(200, json!({"metadata": {"name": "blue"}, "status": {}})),
        "/v1alpha3/tenants/down" => Answer::Json(500, json!({"message": "failed to get tenant list"})),
        "/v1alpha3/tenants/odd" => Answer::Json(200, json!(["not a tenant"])),
        _ => Answer::Json(404, json!("no such tenant")),
    })
    .await;
    let tapms = service.services().tapms;
    let blue = ["x1000c0s0b0n0", "x1000c0s0b0n1"].map(str::to_owned).to_vec();
    assert_eq!(tapms.components("blue").await.unwrap(), Some(blue));
    assert_eq!(tapms.components("new").await.unwrap(), Some(Vec::new()));
    for unknown in ["u", "red", "..", "", "a/b", "blue/"] {
        assert_eq!(tapms.components(unknown).await.unwrap(), None, "{unknown}");
    }
    assert!(service.asked().iter().all(|asked| asked.path.starts_with("/v1alpha3/tenants/")));
    for broken in ["down", "odd"] {
        tapms.components(broken).await.unwrap_err();
    }
}
