//! The nodes: what they boot, what they report, what is wrong with them.

use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::patch;
use axum::{Json, Router};
use serde_json::{Value, json};

use bosun::sim::Initially;

use super::{machine, settings, settings_with};

#[tokio::test]
async fn a_node_is_rebooted_into_new_boot_parameters() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    let off = machine.transition("Soft-Off", &[node]).await;
    let off = machine.completed(&off).await;
    assert_eq!(off["tasks"][0]["taskStatusDescription"], "Transition confirmed, gracefulshutdown");
    let token = machine.boot_parameters(&[node]).await;
    let on = machine.transition("On", &[node]).await;
    machine.completed(&on).await;
    let up = machine.until(&format!("/sim/nodes/{node}"), |view| view["hsm_state"] == "Ready").await;
    assert_eq!(up["running"]["bss_token"], token.as_str());
    let edges = machine.handle.edges();
    let powers: Vec<&str> = edges[node].iter().map(|edge| edge.power).collect();
    assert_eq!(powers, ["off", "on"]);
}

#[tokio::test]
async fn a_report_is_repeated_until_it_is_taken() {
    let machine = machine(settings()).await;
    let reports: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = Router::new().route(
        "/v2/components/{xname}",
        patch(async move |Path(xname): Path<String>, Json(body): Json<Value>| {
            let mut reports = reports.lock().unwrap();
            reports.push((xname, body.clone()));
            if reports.len() == 1 {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            told.send(body).unwrap();
            StatusCode::OK
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    machine.handle.set_bosun_url(&format!("http://{}/", listener.local_addr().unwrap()));
    tokio::spawn(async { axum::serve(listener, app).await });
    let node = &machine.xnames[0];
    let token = machine.boot_parameters(&[node]).await;
    machine.post(&format!("/sim/nodes/{node}"), json!({"power": "off"})).await;
    machine.post(&format!("/sim/nodes/{node}"), json!({"power": "on"})).await;
    let body = heard.recv().await.unwrap();
    assert_eq!(body, json!({"id": node, "actual_state": {"bss_token": token}}));
}

#[tokio::test]
async fn a_node_boots_what_is_in_force_at_power_on() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    let view = format!("/sim/nodes/{node}");
    machine.post(&view, json!({"power": "off"})).await;
    let on = machine.post(&view, json!({"power": "on"})).await.1;
    assert_eq!((&on["powered"], &on["up"]), (&json!(true), &json!(false)));
    // It has nothing to boot, and asks again until it has.
    let token = machine.boot_parameters(&[node]).await;
    machine.until("/boot/v1/endpoint-history", |history| history[0]["name"] == node.as_str()).await;
    let late = machine.boot_parameters(&[node]).await;
    let up = machine.until(&view, |view| view["up"] == true).await;
    assert_eq!(up["running"]["bss_token"], token.as_str());
    assert_ne!(token, late);
    let component = machine.get(&format!("/v3/components/{node}")).await.1;
    assert_eq!(component["enabled"], true);
}

#[tokio::test]
async fn nodes_disobey_in_their_own_ways() {
    let machine = machine(settings_with(|s| {
        s.refuse_soft_off = "x1000c0s0b0n0".parse().unwrap();
        s.never_boots = "x1000c0s0b0n1".parse().unwrap();
        s.boots_old_image = "x1000c0s0b1n0".parse().unwrap();
        s.fail_power_on = "x1000c0s0b1n1".parse().unwrap();
    }))
    .await;
    let nodes: Vec<&String> = machine.xnames[..4].iter().collect();
    let old = machine.get("/sim/nodes/x1000c0s0b1n0").await.1["running"]["bss_token"].clone();
    let off = machine.transition("Off", &nodes).await;
    let off = machine.completed(&off).await;
    assert_eq!(off["taskCounts"]["succeeded"], 4);
    let token = machine.boot_parameters(&nodes).await;
    let on = machine.transition("On", &nodes).await;
    let on = machine.completed(&on).await;
    assert_eq!((&on["taskCounts"]["succeeded"], &on["taskCounts"]["failed"]), (&json!(3), &json!(1)));
    machine.until("/sim/nodes/x1000c0s0b1n0", |view| view["up"] == true).await;
    let view = async |xname: &str| machine.get(&format!("/sim/nodes/{xname}")).await.1;
    assert_eq!(view("x1000c0s0b0n0").await["running"]["bss_token"], token.as_str());
    assert_eq!(view("x1000c0s0b0n1").await["up"], false);
    assert_eq!(view("x1000c0s0b1n0").await["running"]["bss_token"], old);
    assert_eq!(view("x1000c0s0b1n1").await["powered"], false);
    let log = machine.handle.power_log();
    let orders = |xname: &str| -> Vec<&str> {
        log.iter().filter(|entry| entry.xname == xname).map(|entry| entry.via).collect()
    };
    assert_eq!(orders("x1000c0s0b0n0"), ["Soft-Off", "Force-Off", "On"]);
    assert_eq!(orders("x1000c0s0b0n1"), ["Soft-Off", "On"]);
}

#[tokio::test]
async fn a_node_that_hung_once_comes_up_after_a_power_cycle() {
    let machine = machine(settings_with(|s| {
        s.initially = Initially::Wanted;
        s.hangs_once = "x1000c0s0b0n0".parse().unwrap();
    }))
    .await;
    let node = &machine.xnames[0];
    let view = format!("/sim/nodes/{node}");
    for boots in [false, true] {
        machine.post(&view, json!({"power": "off"})).await;
        machine.post(&view, json!({"power": "on"})).await;
        // Its neighbour is switched on after it: when that one is up, this one had its time.
        let neighbour = format!("/sim/nodes/{}", machine.xnames[1]);
        machine.post(&neighbour, json!({"power": "off"})).await;
        machine.post(&neighbour, json!({"power": "on"})).await;
        machine.until(&neighbour, |view| view["up"] == true).await;
        assert_eq!(machine.get(&view).await.1["up"], boots);
    }
}
