//! §1.4 and §2.

use reqwest::Method;
use serde_json::{Value, json};

use super::{is_time, names, refused, until};
use crate::support::{app::fast, server::Server};

const COMPONENTS: &str = "/v2/components";

async fn put(server: &Server, id: &str, body: Value) -> Value {
    server.ok(Method::PUT, &format!("{COMPONENTS}/{id}"), Some(body)).await
}

async fn patch(server: &Server, id: &str, body: Value) -> Value {
    server.ok(Method::PATCH, &format!("{COMPONENTS}/{id}"), Some(body)).await
}

async fn get(server: &Server, id: &str) -> Value {
    server.ok(Method::GET, &format!("{COMPONENTS}/{id}"), None).await
}

/// A server whose only components are those that are put there.
async fn server() -> Server {
    let server = Server::new(fast(1)).await;
    let xname = server.machine.xnames()[0].clone();
    until(&server, COMPONENTS, |list| list.as_array().is_some_and(|list| list.len() == 1)).await;
    let discovered = get(&server, &xname).await;
    assert_eq!(
        (&discovered["enabled"], &discovered["session"], &discovered["error"]),
        (&json!(false), &json!(""), &json!(""))
    );
    assert_eq!(discovered["last_action"]["action"], "newly_discovered");
    assert_eq!(server.ask(Method::DELETE, &format!("{COMPONENTS}/{xname}"), None).await.0.as_u16(), 204);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_listed_by_every_filter() {
    let server = server().await;
    let items = json!([
        {"id": "c", "enabled": true, "session": "s1", "status": {"phase": "powering_on"},
         "last_action": {"action": "powering_on"}},
        {"id": "a", "enabled": false, "session": "s1"},
        {"id": "a b", "enabled": false, "staged_state": {"session": "s2"}},
        {"id": "d", "session": "s3", "status": {"phase": "powering_off", "status_override": "failed"}},
        {"id": "e", "error": "first"}, {"id": "e", "error": "last"},
    ]);
    let stored = server.ok(Method::PUT, COMPONENTS, Some(items)).await;
    assert_eq!(names(&stored, "id"), ["a", "a b", "c", "d", "e"]);
    assert_eq!(stored[4], json!({"id": "e", "error": "last"}));
    assert_eq!(server.ok(Method::PUT, COMPONENTS, Some(json!([]))).await, json!([]));
    let list = async |query: &str| {
        names(&server.ok(Method::GET, &format!("{COMPONENTS}?{query}"), None).await, "id").join("|")
    };
    for (query, expected) in [
        ("", "a|a b|c|d|e"),
        ("ids=c,a,nobody", "a|c"),
        ("ids=a%20b", "a b"),
        ("session=s1", "a|c"),
        ("session=none", ""),
        ("staged_session=s2", "a b"),
        ("enabled=true", "c"),
        ("enabled=false", "a|a b|c|d|e"),
        ("enabled=False&ids=a,c", "a|c"),
        ("enabled=false&session=s1", "a"),
        ("phase=", "a|a b|c|d|e"),
        ("phase=powering_off", "d"),
        ("phase=powering_on&session=s3", ""),
        ("status=stable", "a|a b|e"),
        ("status=failed,on_hold", "c|d"),
        ("start_after_id=a", "a b|c|d|e"),
        ("start_after_id=b", "c|d|e"),
        ("page_size=2", "a|a b"),
        ("page_size=0", "a|a b|c|d|e"),
        ("page_size=1&start_after_id=a&status=stable", "a b"),
        ("page_size=1&page_size=3", "a|a b|c"),
        ("nonsense=1", "a|a b|c|d|e"),
    ] {
        assert_eq!(list(query).await, expected, "{query}");
    }
    let long: Vec<String> = (0..500).map(|n| format!("x{n}")).collect();
    assert_eq!(list(&format!("ids=c,{}", long.join(","))).await, "c");
    let long = "s".repeat(513);
    for bad in [
        "ids=",
        "enabled=yes",
        "enabled=",
        "enabled=1",
        "session=",
        "session=-",
        "staged_session=a/b",
        "phase=on",
        "page_size=-1",
        "page_size=x",
        "page_size=1048577",
        "page_size=",
        "page_size=99999999999999999999",
        "start_after_id=",
        &format!("status={long}"),
        &format!("start_after_id={long}"),
    ] {
        refused(&server, Method::GET, &format!("{COMPONENTS}?{bad}"), None, 400).await;
    }
    assert_eq!(
        refused(&server, Method::GET, "/v2/components/x", None, 404).await,
        "Component 'x' does not exist"
    );
    refused(&server, Method::GET, &format!("{COMPONENTS}/{}", "x".repeat(128)), None, 400).await;
    assert_eq!(server.ask(Method::DELETE, "/v2/components/a%20b", None).await.0.as_u16(), 204);
    refused(&server, Method::DELETE, "/v2/components/a%20b", None, 404).await;
    assert_eq!(list("").await, "a|c|d|e");
    assert_eq!(put(&server, "a%20b", json!({"error": ""})).await, json!({"id": "a b", "error": ""}));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stay_sparse_and_status_is_computed() {
    let server = server().await;
    assert_eq!(
        put(&server, "a", json!({"enabled": false, "id": "other"})).await,
        json!({"id": "a", "enabled": false})
    );
    assert_eq!(
        get(&server, "a").await,
        json!({"id": "a", "enabled": false, "status": {"phase": "", "status": "stable", "status_override": ""}})
    );
    for (phase, action, failed, status) in [
        ("powering_on", "powering_on", false, "power_on_called"),
        ("powering_on", "powering_on", true, "power_on_pending"),
        ("powering_on", "session_setup", false, "power_on_pending"),
        ("powering_off", "powering_off_gracefully", false, "power_off_gracefully_called"),
        ("powering_off", "powering_off_forcefully", true, "power_off_forcefully_called"),
        ("powering_off", "powering_on", false, "power_off_pending"),
        ("configuring", "powering_on", false, "configuring"),
        ("", "powering_on", false, "stable"),
    ] {
        let body = json!({"status": {"phase": phase}, "last_action": {"action": action, "failed": failed}});
        let stored = put(&server, "a", body).await;
        assert!(is_time(&stored["last_action"]["last_updated"]), "{stored}");
        let shown = get(&server, "a").await;
        assert_eq!(
            shown["status"],
            json!({"phase": phase, "status": status, "status_override": ""}),
            "{action}"
        );
    }
    put(&server, "a", json!({"status": {"phase": "configuring", "status_override": "failed"}})).await;
    assert_eq!(get(&server, "a").await["status"]["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_merges_and_sets_what_boss_sets() {
    let server = server().await;
    let artifacts = json!({"kernel": "k", "initrd": "i", "kernel_parameters": "p"});
    put(
        &server,
        "a",
        json!({"session": "s", "desired_state": {"boot_artifacts": artifacts, "configuration": "c"}}),
    )
    .await;
    let merged = patch(&server, "a", json!({"desired_state": {"boot_artifacts": {"kernel": "k2"}}})).await;
    let desired = &merged["desired_state"];
    assert_eq!(desired["boot_artifacts"], json!({"kernel": "k2", "initrd": "i", "kernel_parameters": "p"}));
    assert_eq!(desired["configuration"], "c");
    assert!(is_time(&desired["last_updated"]));
    // A new desired state belongs to nobody, unless it says to whom; attempts begin again.
    assert_eq!(merged["session"], "");
    let none =
        json!({"power_off_forceful_attempts": 0, "power_off_graceful_attempts": 0, "power_on_attempts": 0});
    assert_eq!(merged["event_stats"], none);
    let named = patch(&server, "a", json!({"session": "t", "desired_state": {"bss_token": "x"}})).await;
    assert_eq!((&named["session"], &named["desired_state"]["bss_token"]), (&json!("t"), &json!("x")));
    assert_eq!(patch(&server, "a", json!({"desired_state": {}})).await["session"], "");
    let stats = patch(&server, "a", json!({"event_stats": {"power_on_attempts": 2}})).await;
    assert_eq!(
        (&stats["event_stats"]["power_on_attempts"], &stats["event_stats"]["power_off_graceful_attempts"]),
        (&json!(2), &json!(0))
    );
    let both = json!({"event_stats": {"power_on_attempts": 7}, "desired_state": {"configuration": "d"}});
    assert_eq!(patch(&server, "a", both).await["event_stats"], none);

    let staged =
        patch(&server, "a", json!({"staged_state": {"session": "st", "boot_artifacts": {"kernel": "k"}}}))
            .await;
    assert!(is_time(&staged["staged_state"]["last_updated"]), "{staged}");
    let staged = patch(
        &server,
        "a",
        json!({"staged_state": {"configuration": "c", "boot_artifacts": {"initrd": "i"}}}),
    )
    .await;
    assert_eq!(staged["staged_state"]["boot_artifacts"], json!({"kernel": "k", "initrd": "i"}));
    assert_eq!(
        (&staged["staged_state"]["session"], &staged["staged_state"]["configuration"]),
        (&json!("st"), &json!("c"))
    );

    let action = patch(&server, "a", json!({"last_action": {"action": "apply_staged"}})).await;
    let action = (&action["last_action"]["action"], is_time(&action["last_action"]["last_updated"]));
    assert_eq!(action, (&json!("apply_staged"), true));
    let enabled =
        patch(&server, "a", json!({"enabled": true, "status": {"status_override": "failed"}})).await;
    assert_eq!(enabled["status"]["status_override"], "on_hold");
    assert_eq!(enabled["last_action"]["action"], "apply_staged");
    let disabled = patch(&server, "a", json!({"enabled": false, "error": "e", "retry_policy": 5})).await;
    assert_eq!(
        (&disabled["status"]["status_override"], &disabled["error"]),
        (&json!("on_hold"), &json!("e"))
    );
    assert_eq!(disabled["retry_policy"], 5);
    // A report of a token that nobody knows is kept, and is no news of what is booted.
    let report = patch(&server, "a", json!({"id": "a", "actual_state": {"bss_token": "unknown"}})).await;
    assert_eq!(report["actual_state"], json!({"bss_token": "unknown"}));
    let actual = patch(&server, "a", json!({"actual_state": {"boot_artifacts": {"kernel": "k"}}})).await;
    assert!(is_time(&actual["actual_state"]["last_updated"]));
    assert_eq!(put(&server, "a", json!({"error": ""})).await, json!({"id": "a", "error": ""}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_409_rule_holds_for_single_patches() {
    let server = server().await;
    let report = || Some(json!({"id": "a", "actual_state": {"bss_token": "t"}}));
    let full = || Some(json!({"enabled": false, "actual_state": {"boot_artifacts": {"kernel": "k"}}}));
    put(&server, "a", json!({"enabled": true, "last_action": {"action": "session_setup"}})).await;
    for body in [report(), full()] {
        let (status, problem) = server.ask(Method::PATCH, "/v2/components/a", body).await;
        assert_eq!((status.as_u16(), &problem["title"]), (409, &json!("Actual state can not be updated.")));
    }
    // Not even what had no action at all is our own fault.
    put(&server, "a", json!({"enabled": true})).await;
    refused(&server, Method::PATCH, "/v2/components/a", full(), 409).await;
    let bulk = json!([{"id": "a", "actual_state": {"bss_token": "t"}}]);
    assert_eq!(names(&server.ok(Method::PATCH, COMPONENTS, Some(bulk)).await, "id"), ["a"]);
    patch(&server, "a", json!({"last_action": {"action": "powering_on"}})).await;
    server.ok(Method::PATCH, "/v2/components/a", report()).await;
    server.ok(Method::PATCH, "/v2/components/a", full()).await;
    put(&server, "a", json!({"error": ""})).await;
    server.ok(Method::PATCH, "/v2/components/a", report()).await;
    refused(&server, Method::PATCH, "/v2/components/nobody", report(), 404).await;
    refused(&server, Method::PATCH, "/v2/components/nobody", full(), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_patches_have_two_forms() {
    let server = server().await;
    server
        .ok(
            Method::PUT,
            COMPONENTS,
            Some(json!([{"id": "a", "session": "s"}, {"id": "b", "session": "s"}, {"id": "c"}])),
        )
        .await;
    let bulk = async |query: &str, body: Value| {
        server.ok(Method::PATCH, &format!("{COMPONENTS}{query}"), Some(body)).await
    };
    let bad =
        async |body: Value, status| refused(&server, Method::PATCH, COMPONENTS, Some(body), status).await;
    assert_eq!(bulk("", json!([])).await, json!([]));
    let twice = bulk("", json!([{"id": "a", "error": "1"}, {"id": "a", "error": "2"}])).await;
    assert_eq!(twice, json!([{"id": "a", "session": "s", "error": "2"}]));
    let said = bad(json!([{"id": "b", "error": "x"}, {"id": "z", "error": "x"}]), 404).await;
    assert_eq!(said, "Component 'z' does not exist");
    assert_eq!(get(&server, "b").await["error"], Value::Null);
    let skipped =
        bulk("?skip_bad_ids=true", json!([{"id": "b", "error": "x"}, {"id": "z", "error": "x"}])).await;
    assert_eq!(names(&skipped, "id"), ["b"]);
    assert_eq!(bulk("?skip_bad_ids=True", json!([{"id": "z", "error": "x"}])).await, json!([]));

    let one = |filters: Value| json!({"patch": {"id": "ignored", "error": "e"}, "filters": filters});
    assert_eq!(names(&bulk("", one(json!({"ids": "a,c"}))).await, "id"), ["a", "c"]);
    assert_eq!(names(&bulk("", one(json!({"ids": "c", "session": ""}))).await, "id"), ["c"]);
    let by_session = bulk("", one(json!({"session": "s", "ids": null}))).await;
    assert_eq!(names(&by_session, "id"), ["a", "b"]);
    assert_eq!(by_session[0]["status"], json!({"phase": "", "status": "stable", "status_override": ""}));
    assert_eq!(bulk("", one(json!({"session": "none"}))).await, json!([]));
    assert_eq!(bad(one(json!({"ids": "a, c"})), 404).await, "Component ' c' does not exist");
    assert_eq!(names(&bulk("?skip_bad_ids=true", one(json!({"ids": "a, c"}))).await, "id"), ["a"]);
    for body in [
        one(json!({})),
        one(json!({"ids": "", "session": null})),
        one(json!({"ids": "a", "session": "s"})),
        one(json!({"ids": ["a"]})),
        one(json!({"session": "-"})),
        one(json!({"other": "s"})),
        one(json!(null)),
        json!({"patch": {}, "filters": {"ids": "a"}}),
        json!({"patch": {"error": "e"}}),
        json!({"filters": {"ids": "a"}}),
        json!({"patch": {"error": "e"}, "filters": {"ids": "a"}, "more": 1}),
        json!([{"error": "e"}]),
        json!([{"id": "", "error": "e"}]),
        json!([1]),
        json!(1),
    ] {
        bad(body, 400).await;
    }
    refused(&server, Method::PATCH, "/v2/components?skip_bad_ids=yes", Some(json!([])), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_have_bounds() {
    let server = server().await;
    put(&server, "a", json!({"error": ""})).await;
    for (body, place) in [
        (json!({}), ""),
        (json!({"enabled": null}), "enabled"),
        (json!({"enabled": "true"}), "enabled"),
        (json!({"error": null}), "error"),
        (json!({"error": "x".repeat(65_537)}), "error"),
        (json!({"session": null}), "session"),
        (json!({"session": "-"}), "session"),
        (json!({"retry_policy": -1}), "retry_policy"),
        (json!({"retry_policy": 1_048_577}), "retry_policy"),
        (json!({"retry_policy": 1e30}), "retry_policy"),
        (json!({"retry_policy": 3.0}), "retry_policy"),
        (json!({"status": {"status": "stable"}}), "status.status"),
        (json!({"status": {"phase": "off"}}), "status.phase"),
        (json!({"status": {"phase": null}}), "status.phase"),
        (json!({"actual_state": {"last_updated": "now"}}), "actual_state.last_updated"),
        (json!({"actual_state": {"configuration": "c"}}), "actual_state"),
        (json!({"actual_state": {"bss_token": "x".repeat(65_536)}}), "actual_state.bss_token"),
        (json!({"desired_state": {"last_updated": "now"}}), "desired_state.last_updated"),
        (json!({"desired_state": {"configuration": "x".repeat(128)}}), "desired_state.configuration"),
        (
            json!({"desired_state": {"boot_artifacts": {"kernel": "x".repeat(4096)}}}),
            "desired_state.boot_artifacts.kernel",
        ),
        (json!({"desired_state": {"boot_artifacts": {"rootfs": "x"}}}), "desired_state.boot_artifacts"),
        (json!({"desired_state": []}), "desired_state"),
        (json!({"staged_state": {"bss_token": "t"}}), "staged_state"),
        (json!({"staged_state": {"session": "-"}}), "staged_state.session"),
        (json!({"staged_state": {"last_updated": "t"}}), "staged_state.last_updated"),
        (json!({"last_action": {"action": "sleeping"}}), "last_action.action"),
        (json!({"last_action": {"failed": 1}}), "last_action.failed"),
        (json!({"last_action": {"last_updated": "t"}}), "last_action.last_updated"),
        (json!({"event_stats": {"power_on_attempts": 1_048_577}}), "event_stats.power_on_attempts"),
        (json!({"event_stats": {"other": 1}}), "event_stats"),
        (json!({"links": []}), "links"),
    ] {
        for method in [Method::PUT, Method::PATCH] {
            let said = refused(&server, method, "/v2/components/a", Some(body.clone()), 400).await;
            assert!(said.contains(place), "{place}: {said}");
        }
    }
    assert_eq!(get(&server, "a").await["error"], "");
}
