//! PCS: a table that lags, and failures inside a success.

use serde_json::{Value, json};

use super::{machine, settings_with};

#[tokio::test]
async fn what_cannot_be_done_is_a_task_inside_a_200() {
    let locked = settings_with(|s| s.locked = "x1000c0s0b0n1".parse().unwrap());
    let machine = machine(locked).await;
    let (unknown, busy) = ("x9999c0s0b0n0".to_owned(), &machine.xnames[1]);
    let id = machine.transition("Soft-Off", &[&unknown, busy, &"foo".to_owned()]).await;
    let over = machine.completed(&id).await;
    let error = |xname: &str| {
        let tasks = over["tasks"].as_array().unwrap();
        tasks.iter().find(|task| task["xname"] == xname).unwrap()["error"].clone()
    };
    assert_eq!(error(&unknown), "Missing xname");
    assert_eq!(error(busy), "Unable to reserve component");
    assert_eq!(error("foo"), "Invalid xname");
    assert_eq!(over["taskCounts"]["failed"], 3);
    assert_eq!(over["taskCounts"]["un-supported"], 0);
    assert!(machine.handle.power_log().is_empty());
    let list = machine.get("/v1/transitions").await.1;
    assert!(list["transitions"][0].get("tasks").is_none());
}

#[tokio::test]
async fn power_status_hides_why_a_bmc_is_dead() {
    let machine = machine(settings_with(|s| s.bmc_dead = "x1000c0s0b0n0".parse().unwrap())).await;
    let ask = json!({"xname": [machine.xnames[0], machine.xnames[1], "x9999c0s0b0n0"]});
    let (status, answer) = machine.post("/apis/power-control/v1/power-status", ask).await;
    assert_eq!(status, 200);
    let entries = answer["status"].as_array().unwrap();
    assert_eq!((&entries[0]["powerState"], &entries[0]["error"]), (&json!("undefined"), &json!("")));
    assert_eq!(entries[0]["managementState"], "unavailable");
    assert_eq!(entries[1]["powerState"], "on");
    assert_eq!(entries[2]["powerState"], "");
    assert_eq!(entries[2]["error"], "Component not found in component map.");
    assert_eq!(entries[2]["supportedPowerTransitions"], Value::Null);
    let (status, answer) = machine.get("/power-status?xname=foo&xname=x1000c0s0b0n0").await;
    assert_eq!((status, &answer["detail"]), (400, &json!("invalid xnames detected: foo")));
    let (_, answer) = machine.get("/power-status?powerStateFilter=undefined").await;
    assert_eq!(answer["status"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn requests_that_no_pcs_takes() {
    let machine = machine(settings_with(|s| s.pcs_max_xnames = 2)).await;
    let location: Vec<Value> = machine.xnames[..3].iter().map(|xname| json!({ "xname": xname })).collect();
    let (status, answer) =
        machine.post("/transitions", json!({"operation": "On", "location": location})).await;
    assert_eq!((status, &answer["detail"]), (500, &json!("etcdserver: request is too large")));
    assert_eq!(machine.post("/transitions", json!({"operation": "Wiggle"})).await.0, 400);
    let strange = json!({"operation": "On", "taskDeadlineMinutes": "5", "location": []});
    assert_eq!(machine.post("/transitions", strange).await.0, 400);
    assert_eq!(machine.get("/transitions/12345").await.0, 400);
    assert_eq!(machine.get("/transitions/00000000-0000-4000-8000-000000000000").await.0, 404);
    let none = machine.transition("On", &[]).await;
    let over = machine.completed(&none).await;
    assert_eq!(over["taskCounts"]["total"], 0);
    let (status, answer) = machine.send("DELETE", &format!("/transitions/{none}"), &Value::Null).await;
    let finished = "Transition is already finished and cannot be aborted.";
    assert_eq!((status, &answer["detail"]), (400, &json!(finished)));
}
