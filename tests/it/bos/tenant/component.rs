//! Components: each tenant has its own, and those of others do not exist.

use reqwest::Method;
use serde_json::{Value, json};

use super::{COMPONENTS, World};

#[tokio::test(flavor = "multi_thread")]
async fn components_of_others_do_not_exist() {
    let world = World::new().await;
    let bulk = format!("{COMPONENTS}?skip_bad_ids=true");
    for (tenant, own, foreign) in [("blue", 0, 2), ("blue", 1, 3), ("red", 2, 0), ("red", 2, 3)] {
        let before = world.records().await;
        let id = |node: usize| world.xnames[node].clone();
        let path = world.path(foreign);
        let change = || Some(json!({"error": format!("by {tenant}")}));
        let report = Some(json!({"id": id(foreign), "actual_state": {"bss_token": "t"}}));
        let each = |nodes: &[usize]| -> Option<Value> {
            Some(nodes.iter().map(|&node| json!({"id": id(node), "error": format!("by {tenant}")})).collect())
        };
        let by_ids = Some(json!({
            "patch": {"error": "x"}, "filters": {"ids": format!("{},{}", id(own), id(foreign))},
        }));
        for (method, path, body) in [
            (Method::GET, path.as_str(), None),
            (Method::PUT, &path, change()),
            (Method::PATCH, &path, change()),
            (Method::PATCH, &path, report),
            (Method::DELETE, &path, None),
            (Method::PUT, COMPONENTS, each(&[own, foreign])),
            (Method::PATCH, COMPONENTS, each(&[own, foreign])),
            (Method::PATCH, COMPONENTS, by_ids.clone()),
        ] {
            let (title, detail) = world.refused(tenant, method, path, body, 404).await;
            assert_eq!(title, "The resource was not found");
            assert_eq!(detail, format!("Component '{}' does not exist", id(foreign)));
        }
        // Of many, nothing is written if one is another's.
        assert_eq!(world.records().await, before);

        for body in [each(&[own, foreign]), by_ids] {
            let written = world.ok(tenant, Method::PATCH, &bulk, body).await;
            assert_eq!(world.nodes(&written), [own]);
        }
        assert_eq!(world.nodes(&world.ok(tenant, Method::PATCH, &bulk, each(&[foreign])).await), [0; 0]);
        assert_eq!(world.nodes(&world.ok(tenant, Method::PUT, COMPONENTS, each(&[own])).await), [own]);
        assert_eq!(world.nodes(&world.ok(tenant, Method::PATCH, COMPONENTS, each(&[own])).await), [own]);
        for method in [Method::PUT, Method::PATCH] {
            let written = world.ok(tenant, method, &world.path(own), change()).await;
            assert_eq!(written["error"], format!("by {tenant}"));
        }
        let after = world.records().await;
        assert_eq!(after[foreign], before[foreign]);
        assert_eq!(after[own]["error"], format!("by {tenant}"));
    }
    // A tenant's component goes, and comes back by the tenant's PUT; a new one is not the tenant's.
    assert_eq!(world.server.ask_for("red", Method::DELETE, &world.path(2), None).await.0.as_u16(), 204);
    assert_eq!(world.nodes(&world.records().await), [0, 1, 3]);
    world.ok("red", Method::PUT, &world.path(2), Some(json!({"enabled": false}))).await;
    assert_eq!(world.nodes(&world.records().await), [0, 1, 2, 3]);
    world.refused("red", Method::PUT, "/v2/components/new", Some(json!({"enabled": true})), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_a_tenant_its_own() {
    let world = World::new().await;
    let session = Some(world.xnames.iter().map(|id| json!({"id": id, "session": "s"})).collect());
    world.ok("", Method::PATCH, COMPONENTS, session).await;
    let ids = world.xnames.join(",");
    for (tenant, query, expected) in [
        ("", String::new(), vec![0, 1, 2, 3]),
        ("blue", String::new(), vec![0, 1]),
        ("red", String::new(), vec![2]),
        ("blue", format!("?ids={ids}"), vec![0, 1]),
        ("red", format!("?ids={}", world.xnames[0]), vec![]),
        ("blue", "?session=s".to_owned(), vec![0, 1]),
        ("red", "?enabled=false&session=s".to_owned(), vec![2]),
        ("blue", "?page_size=1".to_owned(), vec![0]),
        ("blue", format!("?page_size=1&start_after_id={}", world.xnames[0]), vec![1]),
        ("blue", format!("?start_after_id={}", world.xnames[1]), vec![]),
        ("red", "?status=stable".to_owned(), vec![2]),
    ] {
        let list = world.ok(tenant, Method::GET, &format!("{COMPONENTS}{query}"), None).await;
        assert_eq!(world.nodes(&list), expected, "{tenant} {query}");
    }
    // One PATCH for the components of a session reaches those of the tenant.
    let patch = Some(json!({"patch": {"error": "red's"}, "filters": {"session": "s"}}));
    assert_eq!(world.nodes(&world.ok("red", Method::PATCH, COMPONENTS, patch).await), [2]);
    let records = world.records().await;
    let said: Vec<_> = records.as_array().unwrap().iter().map(|record| record["error"] == "red's").collect();
    assert_eq!(said, [false, false, true, false]);
    // A tenant without nodes has none, and not all.
    world.server.machine.set_tenant("green", &[]);
    assert_eq!(world.ok("green", Method::GET, COMPONENTS, None).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_the_tenants_is_applied() {
    let world = World::new().await;
    let template = Some(world.server.template());
    let stage =
        |name: &str| Some(json!({"name": name, "operation": "boot", "template_name": "t", "stage": true}));
    for tenant in ["blue", "red"] {
        world.ok(tenant, Method::PUT, "/v2/sessiontemplates/t", template.clone()).await;
        world.ok(tenant, Method::POST, "/v2/sessions", stage("st")).await;
        let staged = |_, session: &Value| session["status"]["status"] == "running";
        let shown = world.until(tenant, "/v2/sessions/st", staged).await;
        assert_eq!(shown["status"]["error"], Value::Null);
    }
    let count = async |tenant: &str| {
        let status = world.ok(tenant, Method::GET, "/v2/sessions/st/status", None).await;
        status["managed_components_count"].as_u64().unwrap()
    };
    assert_eq!((count("blue").await, count("red").await), (2, 1));
    assert_eq!(world.records().await[3]["staged_state"], json!({}));
    let all = Some(json!({ "xnames": world.xnames }));
    let applied = world.ok("red", Method::POST, "/v2/applystaged", all).await;
    let ignored = [&world.xnames[0], &world.xnames[1], &world.xnames[3]];
    assert_eq!(applied, json!({"failed": [], "ignored": ignored, "succeeded": [world.xnames[2]]}));
    // Nobody's request finds no session of nobody's that staged it.
    let blues = Some(json!({ "xnames": [world.xnames[0]] }));
    assert_eq!(
        world.ok("", Method::POST, "/v2/applystaged", blues).await["failed"],
        json!([world.xnames[0]])
    );
    world
        .until("red", &world.path(2), |_, record| {
            record["enabled"] == false && record["actual_state"]["boot_artifacts"]["kernel"].is_string()
        })
        .await;
    assert_eq!(world.powered(), [2]);
}
