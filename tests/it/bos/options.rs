//! §1.6 and §4.

use std::time::Duration;

use bosun::{
    db,
    sim::{FaultKind, Rule, Service},
};
use reqwest::Method;
use serde_json::json;

use super::{refused, until};
use crate::support::{app::fast, server::Server};

const OPTIONS: &str = "/v2/options";

#[tokio::test(flavor = "multi_thread")]
async fn options_have_defaults_bounds_and_a_memory() {
    let server = Server::new(fast(2)).await;
    let defaults = json!({
        "bss_read_timeout": 20, "cfs_read_timeout": 20, "hsm_read_timeout": 20, "ims_read_timeout": 20,
        "pcs_read_timeout": 20, "cleanup_completed_session_ttl": "7d", "clear_stage": false,
        "component_actual_state_ttl": "4h", "default_retry_policy": 3, "discovery_frequency": 300,
        "ims_errors_fatal": false, "ims_images_must_exist": false, "logging_level": "INFO",
        "max_boot_wait_time": 1200, "max_component_batch_size": 2800, "max_power_off_wait_time": 300,
        "max_power_on_wait_time": 120, "polling_frequency": 15, "reject_nids": false,
        "session_limit_required": false,
    });
    assert_eq!(server.ok(Method::GET, OPTIONS, None).await, defaults);
    let patched = server
        .ok(
            Method::PATCH,
            OPTIONS,
            Some(json!({"polling_frequency": 5, "disable_components_on_completion": [1]})),
        )
        .await;
    assert_eq!((&patched["polling_frequency"], &patched["clear_stage"]), (&json!(5), &json!(false)));
    assert_eq!(patched["disable_components_on_completion"], json!([1]));
    let mut kept = defaults.clone();
    kept["polling_frequency"] = json!(5);
    assert_eq!(server.ok(Method::GET, OPTIONS, None).await, kept);
    for (option, least, most) in [
        ("bss_read_timeout", 10, 86_400),
        ("cfs_read_timeout", 10, 86_400),
        ("hsm_read_timeout", 10, 86_400),
        ("ims_read_timeout", 10, 86_400),
        ("pcs_read_timeout", 10, 86_400),
        ("default_retry_policy", 0, 1_048_576),
        ("discovery_frequency", 0, 33_554_432),
        ("max_boot_wait_time", 0, 1_048_576),
        ("max_component_batch_size", 0, 131_071),
        ("max_power_off_wait_time", 0, 1_048_576),
        ("max_power_on_wait_time", 0, 1_048_576),
        ("polling_frequency", 0, 1_048_576),
    ] {
        for good in [least, most] {
            let patched = server.ok(Method::PATCH, OPTIONS, Some(json!({ option: good }))).await;
            assert_eq!(patched[option], good, "{option}");
        }
        for bad in [json!(least - 1), json!(most + 1), json!("20"), json!(20.0), json!(true), json!(null)] {
            refused(&server, Method::PATCH, OPTIONS, Some(json!({ option: bad })), 400).await;
        }
    }
    for option in
        ["clear_stage", "ims_errors_fatal", "ims_images_must_exist", "reject_nids", "session_limit_required"]
    {
        for bad in [json!("true"), json!(1), json!(null)] {
            refused(&server, Method::PATCH, OPTIONS, Some(json!({ option: bad })), 400).await;
        }
    }
    for (option, good, bad) in [
        (
            "cleanup_completed_session_ttl",
            vec!["0", "0d", "7D", "30m", "2w"],
            vec!["", "7", "1.5h", "-1d", "07d", "d"],
        ),
        ("component_actual_state_ttl", vec!["1h", "4H", "2w"], vec!["0", "0h", "30m", "4", "04h", ""]),
        ("logging_level", vec!["debug", "Info", "CRITICAL"], vec!["", "trace", "info "]),
    ] {
        for good in good {
            assert_eq!(server.ok(Method::PATCH, OPTIONS, Some(json!({ option: good }))).await[option], good);
        }
        for bad in bad {
            refused(&server, Method::PATCH, OPTIONS, Some(json!({ option: bad })), 400).await;
        }
    }
    assert_eq!(server.ok(Method::GET, OPTIONS, None).await["logging_level"], "CRITICAL");
    // One that is wrong keeps the others out.
    refused(&server, Method::PATCH, OPTIONS, Some(json!({"clear_stage": true, "reject_nids": 1})), 400).await;
    assert_eq!(server.ok(Method::GET, OPTIONS, None).await["clear_stage"], false);
    for bad in [json!({}), json!([]), json!("x"), json!(1)] {
        refused(&server, Method::PATCH, OPTIONS, Some(bad), 400).await;
    }
    let many: serde_json::Map<_, _> = (0..1025).map(|n| (format!("o{n}"), json!(n))).collect();
    refused(&server, Method::PATCH, OPTIONS, Some(many.into()), 400).await;
    refused(&server, Method::PUT, OPTIONS, Some(json!({"clear_stage": true})), 405).await;
    refused(&server, Method::DELETE, OPTIONS, None, 405).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_used() {
    let server = Server::new(fast(2)).await;
    let session = |limit: &str| json!({"operation": "shutdown", "template_name": "demo", "limit": limit});
    server
        .ok(Method::PATCH, OPTIONS, Some(json!({"session_limit_required": true, "reject_nids": true})))
        .await;
    refused(&server, Method::POST, "/v2/sessions", Some(session("")), 400).await;
    for nids in ["nid000001", "x1c0s0b0n0,nid000002", "&nid1", "!nid1"] {
        let said = refused(&server, Method::POST, "/v2/sessions", Some(session(nids)), 400).await;
        assert!(said.starts_with("reject_nids: "), "{said}");
    }
    let template = json!({"boot_sets": {"c": {"path": "p", "type": "s3", "node_list": ["nid1"]}}});
    let path = "/v2/sessiontemplates/nids";
    let said = refused(&server, Method::PUT, path, Some(template.clone()), 400).await;
    assert_eq!(said, "The session template could not be created: Boot set c: Has NID in 'node_list'");
    server.ok(Method::PATCH, OPTIONS, Some(json!({"reject_nids": false}))).await;
    server.ok(Method::PUT, path, Some(template)).await;
    server.ok(Method::PATCH, OPTIONS, Some(json!({"component_actual_state_ttl": "3h"}))).await;
    let boot = json!({"name": "b", "operation": "boot", "template_name": "demo", "limit": "*"});
    server.ok(Method::POST, "/v2/sessions", Some(boot)).await;
    until(&server, "/v2/sessions/b", |session| session["status"]["status"] == "complete").await;
    let booted = &server.ok(Method::GET, "/v2/components?session=b", None).await[0];
    let parameters = booted["desired_state"]["boot_artifacts"]["kernel_parameters"].as_str().unwrap();
    assert!(parameters.ends_with(" bos_update_frequency=3h"), "{parameters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_looked_at_as_strictly_as_options_say() {
    let server = Server::new(fast(1)).await;
    // IMS cannot say anything about any image: forgiven, unless that is fatal.
    server.machine.set_fault(Rule::new(Service::Ims, "GET", "/", FaultKind::Status));
    let path = "/v2/sessiontemplates/t";
    server.ok(Method::PUT, path, Some(server.template())).await;
    server.ok(Method::PATCH, OPTIONS, Some(json!({"ims_errors_fatal": true}))).await;
    let said = refused(&server, Method::PUT, path, Some(server.template()), 400).await;
    assert!(said.starts_with("The session template could not be created: "), "{said}");
    server.machine.clear_faults();
    server.ok(Method::PUT, path, Some(server.template())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hsm_knows_is_discovered_again_and_again() {
    let server = Server::new(fast(2)).await;
    server.ok(Method::PATCH, OPTIONS, Some(json!({"discovery_frequency": 1}))).await;
    let xname = server.machine.xnames()[0].clone();
    let path = format!("/v2/components/{xname}");
    // More than once: the first look after the change may still be the one of the start.
    for _ in 0..2 {
        until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 2)).await;
        server.ok(Method::PATCH, &path, Some(json!({"error": "mine"}))).await;
        server.ok(Method::PUT, "/v2/components/lamp", Some(json!({"enabled": false}))).await;
        assert_eq!(server.ask(Method::DELETE, &path, None).await.0.as_u16(), 204);
        until(&server, &format!("/v2/components?ids={xname}"), |list| list != &json!([])).await;
        let found = server.ok(Method::GET, &path, None).await;
        assert_eq!(
            (&found["last_action"]["action"], &found["enabled"], &found["error"], &found["session"]),
            (&json!("newly_discovered"), &json!(false), &json!(""), &json!(""))
        );
        // What HSM does not know stays.
        assert_eq!(server.ask(Method::DELETE, "/v2/components/lamp", None).await.0.as_u16(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_reports_expire_and_nothing_is_done_for_it() {
    let server = Server::new(fast(2)).await;
    server
        .ok(
            Method::POST,
            "/v2/sessions",
            Some(json!({"name": "b", "operation": "boot", "template_name": "demo"})),
        )
        .await;
    until(&server, "/v2/sessions/b", |session| session["status"]["status"] == "complete").await;
    let edges = || server.machine.edges().values().map(Vec::len).sum::<usize>();
    let edges_before = edges();
    let mut conn = db::acquire(&server.database.pool).await.unwrap();
    let hour = Duration::from_secs(3_600);
    assert_eq!(db::session::expire(&mut conn, hour).await.unwrap(), 0);
    assert_eq!(db::component::expire_actual(&mut conn, hour).await.unwrap(), 0);
    let path = "/v2/components?session=b";
    let before = server.ok(Method::GET, path, None).await[0].clone();
    assert_ne!(before["actual_state"]["boot_artifacts"]["kernel"], "");
    assert_eq!(db::component::expire_actual(&mut conn, Duration::ZERO).await.unwrap(), 2);
    let after = server.ok(Method::GET, path, None).await[0].clone();
    assert_eq!(
        after["actual_state"]["boot_artifacts"],
        json!({"kernel": "", "initrd": "", "kernel_parameters": ""})
    );
    assert_eq!((&after["actual_state"]["bss_token"], &after["error"]), (&json!(""), &json!("")));
    assert_eq!(after["last_action"]["action"], "actual_state_cleanup");
    for kept in ["desired_state", "status", "event_stats", "enabled", "session"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    // Once is enough.
    assert_eq!(db::component::expire_actual(&mut conn, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(db::session::expire(&mut conn, Duration::ZERO).await.unwrap(), 1);
    refused(&server, Method::GET, "/v2/sessions/b", None, 404).await;
    assert_eq!(edges(), edges_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_says_what_it_does() {
    let server = Server::new(fast(1)).await;
    let ask = async |path: &str| {
        let url = format!("{}{path}", server.url);
        reqwest::Client::new().request(Method::OPTIONS, url).send().await.unwrap()
    };
    for path in ["/v2/components", "/v2/sessions/s", "/v2/applystaged", "/bosun/v1/sessions"] {
        let answer = ask(path).await;
        assert_eq!(answer.status().as_u16(), 204, "{path}");
        assert!(answer.headers().get("content-type").is_none());
        let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();
        assert_eq!(
            allowed.contains("PATCH"),
            path.starts_with("/v2/components") || path.ends_with("/s"),
            "{allowed}"
        );
    }
    assert_eq!(ask("/v2/nothing").await.status().as_u16(), 404);
}
