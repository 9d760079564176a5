//! Sessions and templates: names are a tenant's own, and a session touches the tenant's nodes only.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::bos::names;

const SESSIONS: &str = "/v2/sessions";
const TEMPLATES: &str = "/v2/sessiontemplates";

#[tokio::test(flavor = "multi_thread")]
async fn names_are_a_tenants_own() {
    let world = World::new().await;
    let template = "/v2/sessiontemplates/t";
    let described = |who: &str| {
        let mut template = world.server.template();
        template["description"] = json!(who);
        Some(template)
    };
    for tenant in ["blue", "red", ""] {
        world.ok(tenant, Method::PUT, template, described(&format!("of {tenant}"))).await;
    }
    let patch = Some(json!({"description": "changed"}));
    assert_eq!(world.ok("red", Method::PATCH, template, patch).await["description"], "changed");
    for (tenant, says, whose) in
        [("blue", "of blue", json!("blue")), ("red", "changed", json!("red")), ("", "of ", Value::Null)]
    {
        let stored = world.ok(tenant, Method::GET, template, None).await;
        assert_eq!((&stored["description"], &stored["tenant"]), (&json!(says), &whose));
        let valid = world.ok(tenant, Method::GET, "/v2/sessiontemplatesvalid/t", None).await;
        assert!(valid.as_str().unwrap().contains("Valid"), "{valid}");
        let list = world.ok(tenant, Method::GET, TEMPLATES, None).await;
        let expected = if tenant.is_empty() { 4 } else { 1 };
        assert_eq!(list.as_array().unwrap().len(), expected, "{tenant}: {list}");
    }
    // The template `demo` is nobody's.
    assert_eq!(
        world.refused("blue", Method::GET, "/v2/sessiontemplates/demo", None, 404).await.1,
        "Session template for tenant 'blue' 'demo' does not exist"
    );
    for (method, path) in [
        (Method::PATCH, "/v2/sessiontemplates/demo"),
        (Method::DELETE, "/v2/sessiontemplates/demo"),
        (Method::GET, "/v2/sessiontemplatesvalid/demo"),
    ] {
        world.refused("blue", method, path, Some(json!({})), 404).await;
    }
    let demo = Some(json!({"operation": "boot", "template_name": "demo"}));
    world.refused("blue", Method::POST, SESSIONS, demo, 400).await;

    for tenant in ["blue", "red", ""] {
        let created = world.ok(tenant, Method::POST, SESSIONS, World::session("s", "shutdown")).await;
        assert_eq!(created["tenant"], if tenant.is_empty() { Value::Null } else { json!(tenant) });
        let whose = if tenant.is_empty() { String::new() } else { format!(" for tenant '{tenant}'") };
        let (title, detail) =
            world.refused(tenant, Method::POST, SESSIONS, World::session("s", "shutdown"), 409).await;
        assert_eq!(title, "The resource to be created already exists");
        assert_eq!(detail, format!("Session 's' already exists{whose}"));
        assert_eq!(world.ended(tenant, "s").await["status"]["error"], Value::Null);
    }
    // Only blue has `own`.
    world.ok("blue", Method::POST, SESSIONS, World::session("own", "shutdown")).await;
    world.ended("blue", "own").await;
    let own = "/v2/sessions/own";
    let list = async |tenant: &str| names(&world.ok(tenant, Method::GET, SESSIONS, None).await, "name");
    assert_eq!(list("blue").await, ["own", "s"]);
    assert_eq!((list("red").await, list("").await.len()), (vec!["s".to_owned()], 4));
    for tenant in ["red", ""] {
        for (method, path) in [
            (Method::GET, own),
            (Method::PATCH, own),
            (Method::DELETE, own),
            (Method::GET, "/v2/sessions/own/status"),
            (Method::POST, "/v2/sessions/own/status"),
        ] {
            let body = (method == Method::PATCH).then(|| json!({}));
            let (_, detail) = world.refused(tenant, method, path, body, 404).await;
            let whose = if tenant.is_empty() { String::new() } else { format!("for tenant '{tenant}' ") };
            assert_eq!(detail, format!("Session {whose}'own' does not exist"));
        }
    }
    let status = world.ok("blue", Method::GET, "/v2/sessions/own/status", None).await;
    assert_eq!(
        (&status["managed_components_count"], &status["percent_successful"]),
        (&json!(2), &json!(100.0))
    );

    // What is deleted is one's own, one by one and all together.
    assert_eq!(world.server.ask_for("red", Method::DELETE, SESSIONS, None).await.0.as_u16(), 204);
    assert_eq!((list("blue").await.len(), list("red").await.len(), list("").await.len()), (2, 0, 3));
    assert_eq!(world.server.ask_for("", Method::DELETE, SESSIONS, None).await.0.as_u16(), 204);
    assert_eq!((list("blue").await.len(), list("").await.len()), (2, 2));
    assert_eq!(world.server.ask_for("blue", Method::DELETE, "/v2/sessions/s", None).await.0.as_u16(), 204);
    assert_eq!(list("").await, ["own"]);
    assert_eq!(world.server.ask_for("red", Method::DELETE, template, None).await.0.as_u16(), 204);
    world.refused("red", Method::GET, template, None, 404).await;
    world.ok("blue", Method::GET, template, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_touches_the_tenants_nodes_only() {
    let world = World::new().await;
    let template = "/v2/sessiontemplates/t";
    // All compute nodes: of these, the tenant's own.
    world.ok("blue", Method::PUT, template, Some(world.server.template())).await;
    world.ok("blue", Method::POST, SESSIONS, World::session("roles", "reboot")).await;
    let ended = world.ended("blue", "roles").await;
    assert_eq!(ended["status"]["error"], Value::Null);
    let mut members: Vec<_> = ended["components"].as_str().unwrap().split(',').collect();
    members.sort_unstable();
    assert_eq!(members, world.xnames[..2]);
    assert_eq!(world.powered(), [0, 1]);

    // A node of others by its name: nothing is done at all.
    let mut named = world.server.template();
    let boot_set = named["boot_sets"]["compute"].as_object_mut().unwrap();
    boot_set.remove("node_roles_groups");
    boot_set.insert("node_list".to_owned(), json!([world.xnames[2], world.xnames[1]]));
    world.ok("red", Method::PUT, template, Some(named)).await;
    world.ok("red", Method::POST, SESSIONS, World::session("named", "reboot")).await;
    let ended = world.ended("red", "named").await;
    let error = ended["status"]["error"].as_str().unwrap();
    assert!(error.contains("do not belong to the tenant") && error.contains(&world.xnames[1]), "{error}");
    assert_eq!((world.powered(), &ended["components"]), (vec![0, 1], &json!("")));

    // A limit cannot reach beyond, either.
    let mut limited = World::session("limited", "reboot");
    limited.as_mut().unwrap()["limit"] = json!(format!("{},{}", world.xnames[0], world.xnames[2]));
    world.ok("blue", Method::POST, SESSIONS, limited).await;
    assert_eq!(world.ended("blue", "limited").await["components"], world.xnames[0]);
    assert_eq!(world.powered(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_is_told_so() {
    let world = World::new().await;
    let template = Some(world.server.template());
    let component = world.path(0);
    let nothing = "Data not found for tenant dummy";
    let change = || Some(json!({"error": "x"}));
    let list = || Some(json!([{"id": world.xnames[0], "error": "x"}]));
    let before = world.records().await;
    for (method, path, body, title, detail) in [
        (
            Method::PUT,
            "/v2/sessiontemplates/t",
            template,
            "Invalid tenant",
            "The provided tenant does not exist",
        ),
        (
            Method::POST,
            SESSIONS,
            World::session("s", "boot"),
            "Invalid tenant",
            "The provided tenant does not exist",
        ),
        // Before the body is looked at.
        (Method::POST, SESSIONS, Some(json!({})), "Invalid tenant", "The provided tenant does not exist"),
        (Method::GET, "/v2/components", None, "Invalid tenant", nothing),
        (Method::GET, &component, None, "Invalid tenant", nothing),
        (Method::PATCH, &component, change(), "Invalid tenant", nothing),
        (Method::PUT, &component, change(), "Invalid tenant", nothing),
        (Method::DELETE, &component, None, "Invalid tenant", nothing),
        (Method::PUT, "/v2/components", list(), "Invalid tenant", nothing),
        (Method::PATCH, "/v2/components", list(), "Bad Request", nothing),
        (
            Method::POST,
            "/v2/applystaged",
            Some(json!({"xnames": []})),
            "Bad Request",
            "Error parsing the data provided: Data not found for tenant dummy",
        ),
    ] {
        let says = world.refused("dummy", method, path, body, 400).await;
        assert_eq!(says, (title.to_owned(), detail.to_owned()), "{path}");
    }
    assert_eq!(world.records().await, before);
    // Reading what is its own needs nobody's word: there is nothing.
    for path in [SESSIONS, TEMPLATES] {
        assert_eq!(world.ok("dummy", Method::GET, path, None).await, json!([]));
    }
    assert_eq!(world.server.ask_for("dummy", Method::DELETE, SESSIONS, None).await.0.as_u16(), 204);
    for (method, path) in [
        (Method::GET, "/v2/sessions/s"),
        (Method::DELETE, "/v2/sessions/s"),
        (Method::GET, "/v2/sessions/s/status"),
        (Method::GET, "/v2/sessiontemplates/demo"),
        (Method::DELETE, "/v2/sessiontemplates/demo"),
    ] {
        world.refused("dummy", method, path, None, 404).await;
    }
    // A name that leads elsewhere in TAPMS, and one that is too long.
    for odd in ["..", ".", "../tenants", "blue/", "blue?x", "%2e%2e", "blue "] {
        world
            .refused(odd, Method::GET, "/v2/components/x", None, if odd == "blue " { 404 } else { 400 })
            .await;
    }
    let long = "t".repeat(128);
    for path in [SESSIONS, TEMPLATES, "/v2/components", "/v2/sessiontemplatesvalid/demo"] {
        assert_eq!(world.refused(&long, Method::GET, path, None, 400).await.0, "Bad Request");
    }
    // A tenant by its UUID is no other way to the same.
    assert_eq!(world.ok("", Method::GET, "/v2/components", None).await, before);
}
