//! Many at once: no change is lost, and nobody waits for somebody who waits for him.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::until;
use crate::support::{app::fast, server::Server};

const WRITERS: usize = 100;
const ROUNDS: usize = 5;

/// Where a writer writes: fields that no rule of BOS's sets by itself.
const FIELDS: [&str; 10] = [
    "/error",
    "/staged_state/configuration",
    "/staged_state/boot_artifacts/kernel",
    "/staged_state/boot_artifacts/initrd",
    "/staged_state/boot_artifacts/kernel_parameters",
    "/actual_state/boot_artifacts/kernel",
    "/actual_state/boot_artifacts/initrd",
    "/actual_state/boot_artifacts/kernel_parameters",
    "/retry_policy",
    "/event_stats/power_on_attempts",
];

/// A PATCH of one field.
fn patch(field: &str, value: &Value) -> Value {
    field
        .rsplit('/')
        .filter(|name| !name.is_empty())
        .fold(value.clone(), |inner, name| json!({ name: inner }))
}

fn value(field: &str, writer: usize, round: usize) -> Value {
    let number = writer * ROUNDS + round + 1;
    if field.starts_with("/retry") || field.starts_with("/event") {
        json!(number)
    } else {
        json!(format!("w{number}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_writers_lose_no_change() {
    let server = Server::new(fast(1)).await;
    let path = "/v2/components/shared";
    server.ok(Method::PUT, path, Some(json!({"enabled": false}))).await;
    let writers = (0..WRITERS).map(|writer| {
        let (server, field) = (&server, FIELDS[writer % FIELDS.len()]);
        async move {
            for round in 0..ROUNDS {
                let written = value(field, writer, round);
                // Every other writer goes the way of many.
                let answer = if writer % 2 == 0 {
                    server.ok(Method::PATCH, path, Some(patch(field, &written))).await
                } else {
                    let mut item = patch(field, &written);
                    item["id"] = json!("shared");
                    server.ok(Method::PATCH, "/v2/components", Some(json!([item]))).await[0].clone()
                };
                assert_eq!(answer.pointer(field), Some(&written), "{field}");
            }
        }
    });
    join_all(writers).await;
    let record = server.ok(Method::GET, path, None).await;
    for (at, field) in FIELDS.iter().enumerate() {
        // The last change of a field is the last one of one of its writers; an older one would be a lost change.
        let last: Vec<Value> =
            (at..WRITERS).step_by(FIELDS.len()).map(|writer| value(field, writer, ROUNDS - 1)).collect();
        let found = record.pointer(field).unwrap();
        assert!(last.contains(found), "{field} is {found}, and none of {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_reports_and_checkpoints_get_on() {
    let server = Server::new(fast(60)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 60)).await;
    let xnames = server.machine.xnames();
    let (driven, idle) = xnames.split_at(40);
    let body =
        json!({"name": "s", "operation": "reboot", "template_name": "demo", "limit": driven.join(",")});
    server.ok(Method::POST, "/v2/sessions", Some(body)).await;
    let ended =
        async { until(&server, "/v2/sessions/s", |session| session["status"]["status"] == "complete").await };

    // Bulk changes over all nodes, in an order of its own each, while the session writes its checkpoints.
    let bulk = |task: usize| {
        let (server, xnames) = (&server, &xnames);
        async move {
            let mut order: Vec<&String> = xnames.iter().collect();
            if task % 2 == 1 {
                order.reverse();
            }
            order.rotate_left(task * 7);
            let field = FIELDS[1 + task];
            for round in 0..40 {
                let items = order.iter().map(|xname| {
                    let mut item = patch(field, &value(field, task, round));
                    item["id"] = json!(xname);
                    item
                });
                let items: Vec<Value> = items.collect();
                let written = server.ok(Method::PATCH, "/v2/components", Some(json!(items))).await;
                assert_eq!(written.as_array().unwrap().len(), 60);
            }
            (field, value(field, task, 39))
        }
    };
    // Reports of nodes that no session holds.
    let reports = idle.iter().map(|xname| {
        let server = &server;
        async move {
            for number in 0..20 {
                let report = json!({"id": xname, "actual_state": {"bss_token": format!("token-{number}")}});
                server.ok(Method::PATCH, &format!("/v2/components/{xname}"), Some(report)).await;
            }
        }
    });
    let (written, _, ended) = tokio::join!(join_all((0..4).map(bulk)), join_all(reports), ended);
    assert_eq!(ended["status"]["error"], Value::Null);
    let status = server.ok(Method::GET, "/v2/sessions/s/status", None).await;
    assert_eq!(
        (&status["percent_successful"], &status["managed_components_count"]),
        (&json!(100.0), &json!(40))
    );
    let records = server.ok(Method::GET, "/v2/components", None).await;
    for record in records.as_array().unwrap() {
        for (field, last) in &written {
            assert_eq!(record.pointer(field), Some(last), "{field} of {}", record["id"]);
        }
        if idle.iter().any(|xname| record["id"] == *xname) {
            assert_eq!(record["actual_state"]["bss_token"], "token-19", "{}", record["id"]);
        }
    }
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&server.database.pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}
