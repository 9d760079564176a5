//! Components that a client enables, and a server that dies before anybody was admitted for them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{dev::Dev, process::until};

const NODE: &str = "x1000c0s0b0n0";

async fn ask(dev: &Dev, method: Method, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().request(method, format!("{}/v2/components{path}", dev.url()));
    request.json(body).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_between_the_patch_and_the_admission_forgets_nobody() {
    let mut dev = Dev::start(&["--nodes=4"], &[]).await;
    until("the nodes are known", || async {
        let known = ask(&dev, Method::GET, "", &json!({})).await;
        (known.as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    let path = format!("/{NODE}");
    // Others may join for two seconds, so nobody is admitted yet.
    let patched = ask(&dev, Method::PATCH, &path, &json!({"enabled": true})).await;
    dev.kill().await;
    assert_eq!(patched["status"]["status_override"], "on_hold");
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from session").fetch_one(&dev.pool).await.unwrap();
    assert_eq!(sessions, 0, "it was not killed in time");
    assert!(dev.machine.orders().await.is_empty());
    dev.restart().await;
    let end = until("it is driven to its desired state", || async {
        Some(ask(&dev, Method::GET, &path, &json!({})).await).filter(|record| record["enabled"] == false)
    })
    .await;
    assert_eq!((&end["error"], &end["status"]["status"]), (&json!(""), &json!("stable")), "{end}");
    let orders = dev.machine.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!((orders[0].xname.as_str(), orders[0].action.as_str()), (NODE, "off"));
    let members: Vec<i32> =
        sqlx::query_scalar("select members from session").fetch_all(&dev.pool).await.unwrap();
    assert_eq!(members, [1]);
}
