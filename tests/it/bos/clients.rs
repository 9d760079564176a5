//! What sites have (`cray`, SAT, manta with csm-rs, cmsdev, the reporter on the nodes), each asking as it does, by the
//! gateway's path, and reading as strictly as it does.

use std::collections::BTreeMap;

use bosun::sim::{FaultKind, Rule, Service};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{names, refused, until};
use crate::support::{app::fast, server::Server};

const BOS: &str = "/apis/bos/v2";

/// csm-rs reads sessions into these: one that does not fit and the whole list is refused.
#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Boot,
    Reboot,
    Shutdown,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Label {
    Pending,
    Running,
    Complete,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    name: Option<String>,
    #[expect(dead_code, reason = "read, as the client does")]
    tenant: Option<String>,
    operation: Option<Operation>,
    template_name: String,
    #[expect(dead_code, reason = "read, as the client does")]
    limit: Option<String>,
    stage: Option<bool>,
    #[expect(dead_code, reason = "read, as the client does")]
    components: Option<String>,
    #[expect(dead_code, reason = "read, as the client does")]
    include_disabled: Option<bool>,
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    start_time: String,
    #[expect(dead_code, reason = "read, as the client does")]
    end_time: Option<String>,
    status: Label,
    error: Option<String>,
}

async fn sessions(server: &Server) -> Vec<Session> {
    serde_json::from_value(server.ok(Method::GET, &format!("{BOS}/sessions"), None).await).unwrap()
}

async fn labels(server: &Server) -> BTreeMap<String, Label> {
    let label = |session: Session| (session.name.unwrap(), session.status.unwrap().status);
    sessions(server).await.into_iter().map(label).collect()
}

async fn known(server: &Server, nodes: usize) -> Vec<String> {
    until(server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == nodes)).await;
    server.machine.xnames()
}

async fn complete(server: &Server, name: &str) -> Session {
    let path = format!("{BOS}/sessions/{name}");
    let shown = until(server, &path, |session| session["status"]["status"] == "complete").await;
    serde_json::from_value(shown).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn csm_rs_can_read_every_session_and_each_is_complete_in_the_end() {
    let server = Server::new(fast(4)).await;
    let xnames = known(&server, 4).await;
    // Nobody is switched off for now, so that there is something to be paused and to be cancelled.
    server.machine.set_fault(Rule::new(Service::Ims, "PATCH", "/", FaultKind::Status));
    let ours = "/bosun/v1/sessions";
    for (name, operation, node) in [("paused", "reboot", 0), ("cancelled", "boot", 1)] {
        let body = json!({"name": name, "template": "demo", "operation": operation, "limit": xnames[node]});
        server.ok(Method::POST, ours, Some(body)).await;
    }
    let command = async |name: &str, kind: &str| {
        server.ok(Method::POST, &format!("{ours}/{name}/commands"), Some(json!({"kind": kind}))).await
    };
    command("paused", "pause").await;
    command("cancelled", "cancel").await;
    until(&server, &format!("{ours}/paused"), |session| session["state"] == "paused").await;
    complete(&server, "cancelled").await;
    // What BOS has no word for is not shown to its clients.
    let configure =
        json!({"name": "configured", "template": "demo", "operation": "configure", "limit": xnames[2]});
    server.ok(Method::POST, ours, Some(configure)).await;
    server.ok(Method::PATCH, &format!("/v2/components/{}", xnames[3]), Some(json!({"enabled": true}))).await;
    // As csm-rs asks: what is nothing is not sent.
    for (name, more) in [
        ("staged", json!({"operation": "reboot", "stage": true, "limit": xnames[2]})),
        ("nobody", json!({"operation": "boot", "limit": "x9999c0s0b0n0"})),
    ] {
        let mut body = json!({"name": name, "template_name": "demo"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let created: Session =
            serde_json::from_value(server.ok(Method::POST, &format!("{BOS}/sessions"), Some(body)).await)
                .unwrap();
        assert_eq!((created.template_name.as_str(), created.stage), ("demo", Some(name == "staged")));
    }
    let nobody = complete(&server, "nobody").await;
    assert!(nobody.status.unwrap().error.is_some(), "it says that there is nobody");
    until(&server, &format!("{BOS}/sessions/staged"), |s| s["status"]["status"] == "running").await;
    until(&server, &format!("{ours}/configured"), |session| session["state"] == "ended").await;
    let expected = [
        ("cancelled", Label::Complete),
        ("nobody", Label::Complete),
        ("paused", Label::Running),
        ("staged", Label::Running),
    ];
    assert_eq!(labels(&server).await, expected.map(|(name, label)| (name.to_owned(), label)).into());
    for session in sessions(&server).await {
        assert!(matches!(session.operation, Some(Operation::Boot | Operation::Reboot)), "{session:?}");
        assert!(!session.status.unwrap().start_time.is_empty());
    }
    // And what waits for somebody is complete when he has spoken.
    server.machine.clear_faults();
    command("paused", "resume").await;
    complete(&server, "paused").await;
    server.ok(Method::POST, &format!("{BOS}/applystaged"), Some(json!({"xnames": [xnames[2]]}))).await;
    complete(&server, "staged").await;
    assert!(labels(&server).await.values().all(|label| *label == Label::Complete));
    // Its helper names a boot set by its image: BOS refuses that, and so do we.
    let mut template = server.template();
    template["boot_sets"]["compute"]["name"] = json!("image-a");
    let path = format!("{BOS}/sessiontemplates/manta");
    refused(&server, Method::PUT, &path, Some(template), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sat_boots_and_shuts_down() {
    let server = Server::new(fast(3)).await;
    let xnames = known(&server, 3).await;
    // bootprep reads a template, takes its name away, and writes it.
    let mut template = server.ok(Method::GET, &format!("{BOS}/sessiontemplates/demo"), None).await;
    for read_only in ["name", "tenant"] {
        template.as_object_mut().unwrap().remove(read_only);
    }
    let stored = server.ok(Method::PUT, &format!("{BOS}/sessiontemplates/sat"), Some(template.clone())).await;
    assert_eq!((&stored["name"], &stored["boot_sets"]), (&json!("sat"), &template["boot_sets"]));
    assert_eq!(
        names(&server.ok(Method::GET, &format!("{BOS}/sessiontemplates"), None).await, "name"),
        ["demo", "sat"]
    );
    // bootsys asks, and polls until it is complete; then it looks at the shares.
    for (operation, limit) in [("boot", None), ("shutdown", Some(&xnames[0])), ("reboot", Some(&xnames[0]))] {
        let mut body = json!({"template_name": "sat", "operation": operation, "stage": false});
        if let Some(limit) = limit {
            body["limit"] = json!(limit);
        }
        let created = server.ok(Method::POST, &format!("{BOS}/sessions"), Some(body)).await;
        let name = created["name"].as_str().unwrap();
        complete(&server, name).await;
        let status = server.ok(Method::GET, &format!("{BOS}/sessions/{name}/status"), None).await;
        let share = |key: &str| status[key].as_f64().unwrap();
        assert_eq!((share("percent_successful"), share("percent_failed")), (100.0, 0.0), "{status}");
        assert_eq!(status["phases"]["percent_complete"], 100.0);
        assert_eq!(status["managed_components_count"], limit.map_or(3, |_| 1));
    }
    // sat status joins these with what HSM says.
    for component in server.ok(Method::GET, &format!("{BOS}/components"), None).await.as_array().unwrap() {
        assert!(xnames.iter().any(|xname| component["id"] == **xname));
        assert!(component["status"]["status"].is_string() && component["session"].is_string());
        assert!(component["actual_state"]["boot_artifacts"]["kernel"].is_string(), "{component}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cmsdevs_checks_pass() {
    let server = Server::new(fast(2)).await;
    known(&server, 2).await;
    let ask = async |method, path: &str, body| server.ask(method, path, body).await;
    let (_, versions) = ask(Method::GET, "/", None).await;
    assert!(versions.as_array().is_some_and(|list| !list.is_empty()), "{versions}");
    for path in
        ["", "/version", "/healthz", "/options", "/sessions", "/sessiontemplates", "/sessiontemplatetemplate"]
    {
        server.ok(Method::GET, &format!("{BOS}{path}"), None).await;
    }
    for path in ["/apis/bos/v1", "/v1", "/v1/version", "/v1/healthz"] {
        let (status, text) = server.raw(Method::GET, path, "", "").await;
        assert_eq!(status.as_u16(), 404, "{path}: {text}");
    }
    let components = server.ok(Method::GET, &format!("{BOS}/components"), None).await;
    let id = components[0]["id"].as_str().unwrap();
    assert_eq!(server.ok(Method::GET, &format!("{BOS}/components/{id}"), None).await["id"], id);
    // A template: made, changed, found valid, and taken away.
    let path = format!("{BOS}/sessiontemplates/cmsdev-1");
    assert_eq!(ask(Method::PUT, &path, Some(server.template())).await.0.as_u16(), 200);
    let change = json!({"boot_sets": server.template()["boot_sets"], "description": "changed"});
    assert_eq!(ask(Method::PATCH, &path, Some(change)).await.0.as_u16(), 200);
    let valid = server.ok(Method::GET, &format!("{BOS}/sessiontemplatesvalid/cmsdev-1"), None).await;
    assert!(valid.as_str().unwrap().contains("Valid"), "{valid}");
    // Sessions, staged and not, by and without a tenant.
    server.machine.set_tenant("vcluster", &[id.to_owned()]);
    for tenant in ["", "vcluster"] {
        let of_tenant = async |method, path: &str, body| server.ask_for(tenant, method, path, body).await;
        of_tenant(Method::PUT, &path, Some(server.template())).await;
        for stage in [true, false] {
            let name = format!("cmsdev-{tenant}{stage}");
            let body = json!({"name": name, "template_name": "cmsdev-1", "operation": "reboot", "stage": stage, "limit": id});
            let (status, created) = of_tenant(Method::POST, &format!("{BOS}/sessions"), Some(body)).await;
            assert_eq!((status.as_u16(), &created["stage"]), (201, &json!(stage)), "{created}");
            let path = format!("{BOS}/sessions/{name}");
            for path in [path.clone(), format!("{path}/status")] {
                assert_eq!(of_tenant(Method::GET, &path, None).await.0.as_u16(), 200);
            }
            assert_eq!(of_tenant(Method::DELETE, &path, None).await.0.as_u16(), 204);
            assert_eq!(of_tenant(Method::GET, &path, None).await.0.as_u16(), 404);
        }
        assert_eq!(of_tenant(Method::DELETE, &path, None).await.0.as_u16(), 204);
    }
    let body = json!({"template_name": "demo", "operation": "reboot"});
    let (status, problem) =
        server.ask_for("dummy", Method::POST, &format!("{BOS}/sessions"), Some(body)).await;
    assert_eq!((status.as_u16(), &problem["title"]), (400, &json!("Invalid tenant")));
    assert!(problem["detail"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reporter_is_heard_by_the_gateways_path() {
    let server = Server::new(fast(1)).await;
    let xnames = known(&server, 1).await;
    let report = |token: &str| Some(json!({"id": xnames[0], "actual_state": {"bss_token": token}}));
    let path = format!("{BOS}/components/{}", xnames[0]);
    assert_eq!(server.ok(Method::PATCH, &path, report("t")).await["actual_state"]["bss_token"], "t");
    // A node that is not known reads why, and tries again.
    let said = refused(&server, Method::PATCH, &format!("{BOS}/components/x1"), report("t"), 404).await;
    assert_eq!(said, "Component 'x1' does not exist");
    // With a bearer token that nobody looks at: the gateway did.
    let http = reqwest::Client::new();
    let request = http.patch(format!("{}{path}", server.url)).bearer_auth("of.spire.s").json(&report("u"));
    let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["actual_state"]["bss_token"], "u");
}

/// `cray` sends what its file says, shows title and detail of what goes wrong, and deletes without a body to come back.
#[tokio::test(flavor = "multi_thread")]
async fn cray_lists_describes_updates_and_deletes() {
    let server = Server::new(fast(2)).await;
    let xnames = known(&server, 2).await;
    let http = reqwest::Client::new();
    let cray = async |method: Method, path: &str, body: Option<Value>| {
        let request = http.request(method, format!("{}{BOS}{path}", server.url));
        let request = request
            .bearer_auth("e30.e30.c2lnbmF0dXJl")
            .header("Accept", "*/*")
            .header("X-Forwarded-For", "10.252.0.3")
            .header("X-Forwarded-Proto", "https");
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    };
    let (_, version) = cray(Method::GET, "", None).await;
    assert_eq!(version["links"][1]["href"], format!("{}/apis/bos/v2", server.url));
    assert_eq!(cray(Method::PUT, "/sessiontemplates/cray", Some(server.template())).await.0, 200);
    let body = json!({"name": "cray", "template_name": "cray", "operation": "shutdown", "limit": xnames[0]});
    assert_eq!(cray(Method::POST, "/sessions", Some(body.clone())).await.0, 201);
    let (status, problem) = cray(Method::POST, "/sessions", Some(body)).await;
    assert_eq!((status, &problem["title"]), (409, &json!("The resource to be created already exists")));
    assert_eq!(problem["detail"], "Session 'cray' already exists");
    complete(&server, "cray").await;
    let component = format!("/components/{}", xnames[1]);
    assert_eq!(cray(Method::PATCH, &component, Some(json!({"retry_policy": 5}))).await.1["retry_policy"], 5);
    let ids = xnames.join(",");
    let bulk = json!({"patch": {"retry_policy": 4}, "filters": {"ids": ids}});
    assert_eq!(cray(Method::PATCH, "/components", Some(bulk)).await.1.as_array().unwrap().len(), 2);
    let (_, found) =
        cray(Method::GET, &format!("/components?ids={ids}&enabled=false&page_size=1"), None).await;
    assert_eq!(names(&found, "id"), xnames[..1]);
    assert_eq!(
        cray(Method::PATCH, "/options", Some(json!({"clear_stage": true}))).await.1["clear_stage"],
        true
    );
    let applied = cray(Method::POST, "/applystaged", Some(json!({"xnames": xnames}))).await.1;
    assert_eq!(applied["ignored"], json!(xnames));
    for path in ["/sessions/cray", "/sessiontemplates/cray", component.as_str()] {
        assert_eq!(cray(Method::DELETE, path, None).await, (204, Value::Null), "{path}");
        let (status, problem) = cray(Method::GET, path, None).await;
        assert_eq!((status, &problem["title"]), (404, &json!("The resource was not found")), "{path}");
    }
}
