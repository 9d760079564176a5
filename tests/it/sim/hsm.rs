//! HSM: silence, lenient filters, and lists that mean everything.

use serde_json::json;

use super::{machine, ms, settings, settings_with};

#[tokio::test]
async fn hsm_answers_204_and_does_nothing() {
    let machine = machine(settings()).await;
    let node = &machine.xnames[0];
    let one = format!("/hsm/v2/State/Components/{node}");
    let bulk = json!({"ComponentIDs": ["x9999c0s0b0n0"], "Enabled": false});
    assert_eq!(machine.send("PATCH", "/hsm/v2/State/Components/BulkEnabled", &bulk).await.0, 204);
    assert_eq!(machine.send("PATCH", &format!("{one}/StateData"), &json!({"State": "On"})).await.0, 204);
    assert_eq!(machine.get(&one).await.1["State"], "Ready");
    assert_eq!(machine.send("PATCH", &format!("{one}/StateData"), &json!({"State": "Odd"})).await.0, 400);
    assert_eq!(machine.send("PATCH", &format!("{one}/Enabled"), &json!({"Enabled": false})).await.0, 204);
    assert_eq!(machine.get(&one).await.1["Enabled"], false);
    assert_eq!(machine.get("/hsm/v2/State/Components/nonsense").await.0, 404);
}

#[tokio::test]
async fn hsm_filters_are_lenient_with_keys_and_strict_with_values() {
    let machine = machine(settings_with(|s| s.uan = 2)).await;
    let count = async |path: &str| {
        let (status, answer) = machine.get(path).await;
        assert_eq!(status, 200, "{path}");
        answer["Components"].as_array().unwrap().len()
    };
    assert_eq!(count("/hsm/v2/State/Components?type=node").await, 20);
    assert!(count("/hsm/v2/State/Components?typo=node").await > 20);
    assert_eq!(count("/hsm/v2/State/Components?type=Node&role=Application&subrole=UAN").await, 2);
    assert_eq!(count("/hsm/v2/State/Components?type=Node&role=!Application").await, 18);
    assert_eq!(count("/hsm/v2/State/Components?type=Node&group=nobody").await, 0);
    assert_eq!(count("/apis/smd/hsm/v2/State/Components?type=Node&partition=p1&group=x1000").await, 20);
    let (status, answer) = machine.get("/hsm/v2/State/Components?type=spoon").await;
    let detail = "bad query param: Argument was not a valid HMS Type";
    assert_eq!((status, &answer["detail"]), (400, &json!(detail)));
    let query = json!({"ComponentIDs": ["x1000c0s0", "x9c0s0b0n0"], "type": ["node"], "enabled": ["True"]});
    let found = machine.post("/hsm/v2/State/Components/Query", query).await.1;
    assert_eq!(found["Components"].as_array().unwrap().len(), 4);
    let none = machine.post("/hsm/v2/State/Components/Query", json!({"ComponentIDs": []})).await;
    assert_eq!((none.0, &none.1["detail"]), (400, &json!("Missing IDs")));
    let response = machine.http.put(machine.url("/hsm/v2/State/Components")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.text().await.unwrap(), "404 page not found\n");
}

#[tokio::test]
async fn an_empty_list_locks_the_whole_machine() {
    let machine = machine(settings()).await;
    let (status, answer) = machine.post("/hsm/v2/locks/lock", json!({"ComponentIDs": []})).await;
    assert_eq!((status, &answer["Counts"]["Success"]), (200, &json!(20)));
    let locked = machine.get("/hsm/v2/locks/status?type=Node&locked=true").await.1;
    assert_eq!(locked["Components"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn rigid_is_all_or_nothing_and_names_nobody() {
    let machine = machine(settings_with(|s| s.locked = "x1000c0s0b0n0".parse().unwrap())).await;
    let ids = json!({"ComponentIDs": [machine.xnames[0], machine.xnames[1]]});
    let (status, answer) = machine.post("/hsm/v2/locks/lock", ids).await;
    assert_eq!((status, &answer["detail"]), (400, &json!("Component is Locked")));
    let reserve = |model: &str, minutes: u32| {
        json!({"ComponentIDs": [machine.xnames[0], machine.xnames[1]], "ProcessingModel": model,
            "ReservationDuration": minutes})
    };
    let path = "/hsm/v2/locks/service/reservations";
    assert_eq!(machine.post(path, reserve("rigid", 1)).await.0, 400);
    assert_eq!(machine.post(path, reserve("flexible", 0)).await.0, 400);
    assert_eq!(machine.post(path, reserve("flexible", 16)).await.0, 400);
    let (status, made) = machine.post(path, reserve("flexible", 1)).await;
    assert_eq!((status, &made["Failure"][0]["Reason"]), (200, &json!("Locked")));
    let deputy = made["Success"][0]["DeputyKey"].clone();
    let node = &machine.xnames[1];
    let deputised = json!({"operation": "Force-Off", "location": [{"xname": node, "deputyKey": deputy}]});
    let id = machine.post("/transitions", deputised).await.1["transitionID"].as_str().unwrap().to_owned();
    assert_eq!(machine.completed(&id).await["taskCounts"]["succeeded"], 1);
}

#[tokio::test]
async fn hsm_follows_the_hardware_a_little_later() {
    let machine = machine(settings_with(|s| s.hsm_lag = ms(1000))).await;
    let node = &machine.xnames[0];
    machine.post(&format!("/sim/nodes/{node}"), json!({"power": "off"})).await;
    let state = format!("/hsm/v2/State/Components/{node}");
    assert_eq!(machine.get(&state).await.1["State"], "Ready");
    machine.until(&state, |component| component["State"] == "Standby").await;
    machine.until(&state, |component| component["State"] == "Off").await;
}
