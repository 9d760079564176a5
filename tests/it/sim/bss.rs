//! BSS: tokens told once, and writes that stop halfway.

use serde_json::{Value, json};

use super::{machine, settings};

#[tokio::test]
async fn bss_tells_a_token_once_and_a_new_one_each_time() {
    let machine = machine(settings()).await;
    let parameters = "/boot/v1/bootparameters";
    assert_eq!(machine.get(parameters).await, (200, Value::Null));
    let nodes = [&machine.xnames[0], &machine.xnames[1]];
    let first = machine.boot_parameters(&nodes).await;
    let second = machine.boot_parameters(&nodes).await;
    assert_ne!(first, second);
    let (_, records) = machine.get(parameters).await;
    assert_eq!(records.as_array().unwrap().len(), 2);
    assert!(!records.to_string().contains(&second));
    let script = machine.http.get(machine.url(&format!("/boot/v1/bootscript?name={}", nodes[0])));
    let script = script.send().await.unwrap().text().await.unwrap();
    assert!(script.contains(&format!("bss_referral_token={second}")), "{script}");
    assert!(script.contains("X-Amz-Signature="), "{script}");
    let patch = json!({"hosts": nodes, "params": "quiet"});
    let patched = machine.http.patch(machine.url(parameters)).json(&patch).send().await.unwrap();
    assert!(!patched.headers().contains_key("bss-referral-token"));
    let (_, record) = machine.get(&format!("{parameters}?name={}", nodes[0])).await;
    assert_eq!(record[0]["params"], "quiet");
}

#[tokio::test]
async fn bss_is_neither_atomic_nor_careful() {
    let machine = machine(settings()).await;
    let parameters = "/boot/v1/bootparameters";
    let both = json!({"hosts": ["x1"], "nids": [1005], "kernel": "k", "initrd": "i"});
    assert_eq!(machine.send("PUT", parameters, &both).await.0, 200);
    assert_eq!(machine.get(&format!("{parameters}?nid=1005")).await.0, 404);
    let (status, answer) = machine.post(parameters, both).await;
    assert_eq!((status, &answer["detail"]), (400, &json!("Bad Request: Already exists: x1")));
    let put = json!({"hosts": ["x2"], "kernel": "k"});
    assert_eq!(machine.send("PUT", parameters, &put).await.0, 200);
    let (status, _) = machine.send("DELETE", parameters, &json!({"hosts": ["x1", "x9", "x2"]})).await;
    assert_eq!(status, 400);
    assert_eq!(machine.get(parameters).await.1, Value::Null);
    let empty = machine.http.put(machine.url(parameters)).json(&json!({})).send().await.unwrap();
    assert!(empty.status() == 200 && !empty.headers().contains_key("bss-referral-token"));
}
