//! Two replicas of `serve` on one database: whoever is asked, each component is driven once; and what one of them began the
//! other one ends.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    dev::Dev,
    process::{Server, until},
};

const NODES: usize = 8;

/// The machine, and the two that serve it; `dev`, which set all up, is gone.
async fn house() -> (Dev, Server, Server) {
    let mut dev = Dev::start(&[&format!("--nodes={NODES}"), "--boot=1500ms"], &[]).await;
    until("the nodes are known", || async { (records(dev.url()).await.len() == NODES).then_some(()) }).await;
    dev.stop().await;
    let first = dev.replica("first").await;
    let second = dev.replica("second").await;
    dev.machine.introduce(&second.url).await;
    (dev, first, second)
}

async fn ask(url: &str, method: Method, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().request(method, format!("{url}/v2{path}"));
    request.json(body).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

async fn records(url: &str) -> Vec<Value> {
    ask(url, Method::GET, "/components", &json!({})).await.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_both_is_done_once() {
    let (dev, first, second) = house().await;
    // Each record is patched at both, half a breath apart.
    let ids: Vec<String> =
        records(&first.url).await.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    let off = json!({"enabled": true, "desired_state": {"boot_artifacts": {"kernel": "", "initrd": "", "kernel_parameters": ""}}});
    let patches = ids
        .iter()
        .flat_map(|id| [&first, &second].map(|server| (server.url.clone(), format!("/components/{id}"))));
    let patches: Vec<_> = patches.collect();
    futures_util::future::join_all(patches.iter().map(|(url, path)| ask(url, Method::PATCH, path, &off)))
        .await;
    let ended = until("they are driven to their desired state", || async {
        let records = records(&second.url).await;
        records.iter().all(|record| record["enabled"] == false).then_some(records)
    })
    .await;
    for record in &ended {
        assert_eq!(
            (&record["error"], &record["status"]["status"]),
            (&json!(""), &json!("stable")),
            "{record}"
        );
    }
    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for order in dev.machine.orders().await {
        orders.entry(order.xname).or_default().push(order.action);
    }
    assert_eq!(orders.len(), NODES, "{orders:?}");
    assert!(orders.values().all(|actions| *actions == ["off"]), "{orders:?}");
    // No component was a member twice, whoever gathered it.
    let members: i64 =
        sqlx::query_scalar("select sum(members)::int8 from session").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(members, NODES as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_began_the_other_one_ends() {
    let (dev, mut first, mut second) = house().await;
    let wish = json!({"name": "night", "template_name": "demo", "operation": "reboot"});
    ask(&first.url, Method::POST, "/sessions", &wish).await;
    until("nodes are off", || async {
        dev.machine.orders().await.iter().any(|order| order.action == "off").then_some(())
    })
    .await;
    // Whose worker it is we do not ask: one after the other goes, and is replaced by a third.
    first.kill().await;
    let third = dev.replica("third").await;
    dev.machine.introduce(&third.url).await;
    second.kill().await;
    let done = until("the session is complete", || async {
        Some(ask(&third.url, Method::GET, "/sessions/night", &json!({})).await)
            .filter(|session| session["status"]["status"] == "complete")
    })
    .await;
    assert_eq!(done["status"]["error"], Value::Null, "{done}");
    let status = ask(&third.url, Method::GET, "/sessions/night/status", &json!({})).await;
    assert_eq!(status["percent_successful"].as_f64(), Some(100.0), "{status}");
    let times = dev.machine.times_on().await;
    assert!(times.values().all(|times| *times <= 1), "{times:?}");
    assert_eq!(dev.machine.nodes().await.iter().filter(|node| node["powered"] == true).count(), NODES);
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from session").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(sessions, 1);
}
