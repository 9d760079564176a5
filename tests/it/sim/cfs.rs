//! CFS: a status worked out by GET alone, pages, and records that vanish or poison.

use serde_json::{Value, json};

use super::{Machine, machine, ms, settings, settings_with};

impl Machine {
    async fn component(&self, xname: &str) -> Value {
        let (status, component) = self.get(&format!("/v3/components/{xname}?state_details=true")).await;
        assert_eq!(status, 200);
        component
    }

    async fn stage(&self, patch: Value, ids: &str) -> Value {
        let body = json!({"patch": patch, "filters": {"ids": ids}});
        let (status, answer) = self.send("PATCH", "/apis/cfs/v3/components", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer["component_ids"].clone()
    }
}

#[tokio::test]
async fn a_patch_answers_the_status_of_before() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    let patch = json!({"enabled": false, "desired_config": "other-config"});
    let (_, answer) = machine.send("PATCH", &format!("/v3/components/{node}"), &patch).await;
    assert_eq!(answer["configuration_status"], "configured");
    assert_eq!(machine.component(node).await["configuration_status"], "pending");
    let strange = json!({"desiredConfig": "other-config"});
    assert_eq!(machine.send("PATCH", &format!("/v3/components/{node}"), &strange).await.0, 400);
}

#[tokio::test]
async fn what_is_desired_but_missing_is_never_pending() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    machine.stage(json!({"desired_config": "nonesuch", "state": []}), node).await;
    assert_eq!(machine.component(node).await["configuration_status"], "unconfigured");
    let layer =
        json!({"clone_url": "u", "playbook": "p", "commit": "c", "status": "applied", "session_name": "s"});
    machine.stage(json!({"state_append": layer}), node).await;
    assert_eq!(machine.component(node).await["configuration_status"], "configured");
}

#[tokio::test]
async fn the_same_configuration_again_does_not_clear_the_state() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    machine.stage(json!({"desired_config": "compute-config", "error_count": 3}), node).await;
    machine.stage(json!({"desired_config": "compute-config"}), node).await;
    let component = machine.component(node).await;
    assert_eq!(
        (&component["configuration_status"], &component["error_count"]),
        (&json!("configured"), &json!(0))
    );
    let old = component["state"][0]["last_updated"].clone();
    machine.stage(json!({"desired_config": "compute-config", "state": []}), node).await;
    let path = format!("/v3/components/{node}?state_details=true");
    let again = machine.until(&path, |component| component["configuration_status"] == "configured").await;
    assert_ne!(again["state"][0]["last_updated"], old);
    assert!(again["state"][0]["session_name"].as_str().unwrap().starts_with("batcher-"));
}

#[tokio::test]
async fn pages_go_on_with_next() {
    let machine = machine(settings_with(|s| s.cfs_page_size = 8)).await;
    let (mut path, mut seen) = ("/v3/components?status=configured".to_owned(), Vec::new());
    loop {
        let (_, page) = machine.get(&path).await;
        let components = page["components"].as_array().unwrap();
        seen.extend(components.iter().map(|component| component["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_object() else { break };
        assert_eq!(components.len(), 8);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = next.iter().filter(|(_, value)| !value.is_null());
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", text(value))).collect();
        path = format!("/v3/components?{}", pairs.join("&"));
    }
    let mut all = machine.xnames.clone();
    all.sort();
    assert_eq!(seen, all);
    assert_eq!(machine.get("/v2/components").await.0, 400);
}

#[tokio::test]
async fn unknown_ids_are_dropped_or_refuse_everything() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    let patched = machine.stage(json!({"enabled": false}), &format!("{node},x9999c0s0b0n0")).await;
    assert_eq!(patched, json!([node]));
    let (_, page) = machine.get(&format!("/v3/components?ids={node},x9999c0s0b0n0")).await;
    assert_eq!(page["components"].as_array().unwrap().len(), 1);
    let list = json!([{"id": node, "enabled": true}, {"id": "x9999c0s0b0n0", "enabled": true}]);
    assert_eq!(machine.send("PATCH", "/v3/components", &list).await.0, 404);
    assert_eq!(machine.component(node).await["enabled"], false);
    let all =
        machine.send("PATCH", "/v3/components", &json!({"patch": {"enabled": false}, "filters": {}})).await.1;
    assert_eq!(all["component_ids"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_record_put_without_its_counters_poisons_every_list() {
    let machine = machine(settings()).await;
    let poison = json!({"id": "x7", "enabled": true, "desired_config": ""});
    assert_eq!(machine.send("PUT", "/v3/components/x7", &poison).await.0, 200);
    assert_eq!(machine.get("/v3/components/x7").await.0, 500);
    assert_eq!(machine.get("/v3/components").await.0, 500);
    assert_eq!(machine.get(&format!("/v3/components?ids={}", machine.xnames[0])).await.0, 200);
    assert_eq!(machine.send("DELETE", "/v3/components/x7", &Value::Null).await.0, 204);
    assert_eq!(machine.get("/v3/components").await.0, 200);
}

#[tokio::test]
async fn configurations_fail_stay_and_vanish() {
    let machine = machine(settings_with(|s| {
        s.fail_configuration = "x1000c0s0b0n0".parse().unwrap();
        s.configuration_stays_pending = "x1000c0s0b0n1".parse().unwrap();
        s.configuration_vanishes = "x1000c0s0b1n0".parse().unwrap();
    }))
    .await;
    machine.stage(json!({"desired_config": "other-config", "state": []}), &machine.xnames.join(",")).await;
    let page = machine
        .until("/v3/components", |page| {
            let pending = |component: &&Value| component["configuration_status"] == "pending";
            page["components"].as_array().unwrap().iter().filter(pending).count() == 1
        })
        .await;
    let components = page["components"].as_array().unwrap();
    assert_eq!(components.len(), 19);
    let of = |xname: &str| components.iter().find(|component| component["id"] == xname);
    let failed = of("x1000c0s0b0n0").unwrap();
    assert_eq!((&failed["configuration_status"], &failed["error_count"]), (&json!("failed"), &json!(1)));
    assert_eq!(of("x1000c0s0b0n1").unwrap()["configuration_status"], "pending");
    assert_eq!(of("x1000c0s0b1n0"), None);
}

#[tokio::test]
async fn a_node_that_is_down_uses_up_its_tries() {
    let machine = machine(settings_with(|s| s.configure = ms(30))).await;
    let node = &machine.xnames[0];
    machine.post(&format!("/sim/nodes/{node}"), json!({"power": "off"})).await;
    machine.stage(json!({"desired_config": "other-config", "enabled": true}), node).await;
    machine.until(&format!("/v3/components/{node}"), |c| c["configuration_status"] == "failed").await;
}

#[tokio::test]
async fn configurations_and_sessions_have_their_rules() {
    let machine = machine(settings()).await;
    let options = machine.http.get(machine.url("/v3/options")).send().await.unwrap();
    assert!(options.headers().contains_key("date"), "layers are compared with CFS's own clock");
    let (status, answer) = machine.send("DELETE", "/v3/configurations/compute-config", &Value::Null).await;
    assert_eq!((status, &answer["detail"]), (400, &json!("Configuration is in use.")));
    let (status, answer) = machine.get("/v3/configurations/nonesuch").await;
    assert_eq!((status, &answer["detail"]), (404, &json!("Configuration nonesuch could not be found")));
    let session = json!({"name": "one", "configuration_name": "compute-config"});
    assert_eq!(machine.post("/v3/sessions", session.clone()).await.0, 201);
    assert_eq!(machine.post("/v3/sessions", session).await.0, 409);
    assert_eq!(machine.post("/v3/sessions", json!({"name": "two", "configuration_name": "x"})).await.0, 400);
}
