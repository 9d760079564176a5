//! CFS: staging, paging, and what is not sent.

use axum::http::Method;
use bosun::clients::cfs::{ConfigurationStatus, Staging};
use serde_json::json;

use super::loopback::{Answer, Loopback, problem};

#[tokio::test]
async fn staging_names_its_components_and_clears_only_what_is_off() {
    let service = Loopback::start(|_| Answer::Json(200, json!({ "component_ids": ["x1c0s0b0n0"] }))).await;
    let services = service.services();
    let ids = ["x1c0s0b0n0".to_owned(), "x1c0s0b0n1".to_owned()];
    let off = Staging { configuration: "day2", session: "s1", enable: false };
    assert_eq!(services.cfs.stage(&ids, &off).await.unwrap(), ["x1c0s0b0n0"]);
    let up = Staging { enable: true, ..off };
    services.cfs.stage(&ids[..1], &up).await.unwrap();
    assert_eq!(services.cfs.stage(&[], &up).await.unwrap(), Vec::<String>::new());
    let asked = service.asked();
    assert_eq!(asked.len(), 2, "an empty filter would change every component");
    assert_eq!((asked[0].method.clone(), asked[0].path.as_str()), (Method::PATCH, "/v3/components"));
    assert_eq!(
        asked[0].body,
        json!({ "patch": { "enabled": false, "desired_config": "day2", "error_count": 0, "state": [],
                           "tags": { "bos_session": "s1" } },
                "filters": { "ids": "x1c0s0b0n0,x1c0s0b0n1" } })
    );
    assert_eq!(
        asked[1].body["patch"],
        json!({ "enabled": true, "desired_config": "day2", "error_count": 0, "tags": { "bos_session": "s1" } })
    );
}

#[tokio::test]
async fn components_are_read_page_by_page() {
    let service = Loopback::start(|asked| {
        let component = |id: &str| {
            json!({ "id": id, "enabled": true, "desired_config": "day2", "configuration_status": "configured",
                    "error_count": 0, "tags": {}, "unheard_of": 1,
                    "state": [{ "clone_url": "u", "playbook": "site.yml", "commit": "c", "status": "applied",
                                "last_updated": "2026-11-22T10:00:00Z", "session_name": "batcher-1" }] })
        };
        if asked.path.contains("after_id=a") {
            Answer::Json(200, json!({ "components": [component("b")], "next": null }))
        } else {
            Answer::Json(
                200,
                json!({ "components": [component("a")], "next": { "after_id": "a", "limit": 1, "status": null } }),
            )
        }
    })
    .await;
    let services = service.services();
    let told = services.cfs.components(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    let ids: Vec<&str> = told.value.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(told.date.is_some());
    let component = &told.value[0];
    assert_eq!(component.status, ConfigurationStatus::Configured);
    assert_eq!(component.layers[0].playbook, "site.yml");
    assert!(component.layers[0].last_updated.is_some());
    assert_eq!(service.asked()[0].path, "/v3/components?ids=a,b&state_details=true&limit=200");
    assert_eq!(services.cfs.components(&[]).await.unwrap().value, []);
    assert_eq!(service.asked().len(), 2, "no ids would mean all components");
}

#[tokio::test]
async fn a_list_whose_next_never_ends_is_given_up() {
    let page = json!({ "components": [], "next": { "after_id": "a" } });
    let service = Loopback::start(move |_| Answer::Json(200, page.clone())).await;
    let error = service.services().cfs.components(&["a".to_owned()]).await.unwrap_err();
    assert!(error.to_string().contains("pages"), "{error}");
}

#[tokio::test]
async fn a_configuration_exists_or_not() {
    let service = Loopback::start(|asked| match asked.path.as_str() {
        "/v3/configurations/day2" => {
            Answer::Json(200, json!({ "name": "day2", "last_updated": "x", "layers": [{}, {}] }))
        }
        _ => problem(404, "Configuration nope could not be found"),
    })
    .await;
    let services = service.services();
    assert_eq!(services.cfs.configuration("day2").await.unwrap().unwrap().layers, 2);
    assert_eq!(services.cfs.configuration("nope").await.unwrap(), None);
}
