//! Long lists: results, skips, claims, effects, versions of templates.

use bosun::{db, sim};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::until;
use crate::support::{app::fast, server::Server};

async fn session(server: &Server, name: &str, more: Value) -> Value {
    let mut body = json!({"name": name, "template": "demo", "operation": "reboot"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = server.ask(Method::POST, "/bosun/v1/sessions", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    until(server, &format!("/bosun/v1/sessions/{name}"), |session| session["state"] == "ended").await
}

/// All lines of a list, page by page.
async fn pages(server: &Server, path: &str, list: &str, size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = server.ok(Method::GET, &format!("{path}{sign}page_size={size}{after}"), None).await;
        let lines = page[list].as_array().unwrap();
        assert!(lines.len() <= size);
        all.extend(lines.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_read_page_by_page_and_by_filters() {
    let mut settings = fast(12);
    settings.fail_power_off = sim::Pick::Count(2);
    let server = Server::new(settings).await;
    let ended = session(&server, "s", json!({})).await;
    assert_eq!((&ended["failed"], &ended["succeeded"]), (&json!(2), &json!(10)));
    let path = "/bosun/v1/sessions/s/results";
    let whole = pages(&server, path, "results", 1_000).await;
    for size in [1, 5, 7] {
        assert_eq!(pages(&server, path, "results", size).await, whole, "{size}");
    }
    let of = |key: &str, value: &str| -> Vec<Value> {
        whole.iter().filter(|line| line[key].as_str().unwrap().ends_with(value)).cloned().collect()
    };
    let failed = pages(&server, &format!("{path}?outcome=failed"), "results", 1).await;
    assert_eq!((failed.len(), &failed), (2, &of("outcome", "failed")));
    let step = "compute/power_off";
    assert_eq!(pages(&server, &format!("{path}?step={step}"), "results", 3).await, of("step", step));
    assert_eq!(pages(&server, &format!("{path}?step=power_off"), "results", 3).await, of("step", step));
    let name = failed[0]["component"].as_str().unwrap();
    let own = pages(&server, &format!("{path}?component={name}"), "results", 1).await;
    assert_eq!(own, of("component", name));
    assert!(own.len() > 1);
    assert!(pages(&server, &format!("{path}?component=nobody"), "results", 9).await.is_empty());
    assert!(pages(&server, &format!("{path}?step=none"), "results", 9).await.is_empty());
    for wrong in
        ["after=x", "after=1-2", "after=1-2-99999999999", "page_size=0", "page_size=1001", "outcome=well"]
    {
        let (status, _) = server.ask(Method::GET, &format!("{path}?{wrong}"), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let beyond = format!("{path}?after=999999999999999999-999999999-999999999");
    assert_eq!(server.ok(Method::GET, &beyond, None).await, json!({"next": null, "results": []}));
    for line in ["session results s --outcome failed", "session effects s", "component history x1000c0s0b0n0"]
    {
        let output = server.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert!(output.status.success() && output.stdout.split(|byte| *byte == b'\n').count() > 2, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_left_out_is_listed_with_the_reason() {
    let mut settings = fast(8);
    settings.locked = sim::Pick::Count(2);
    let server = Server::new(settings).await;
    let ended = session(&server, "s", json!({})).await;
    assert_eq!((&ended["skipped"], &ended["succeeded"]), (&json!(2), &json!(6)), "{ended}");
    let skips = pages(&server, "/bosun/v1/sessions/s/skips", "skips", 1).await;
    assert_eq!(skips.len(), 2);
    assert!(skips.iter().all(|skip| skip["reason"] == "locked"), "{skips:?}");
    // One who is left out on the way, among those left out at admission.
    let mut conn = db::acquire(&server.database.pool).await.unwrap();
    sqlx::query(
        "with why as (insert into error_text (session_id, error_no, code, text)
                      select session_id, 999, 'skipped_by_actor', 'by alice' from session where name = 's' returning session_id)
         insert into step_result_batch (session_id, seq, part, at, step_no, run, kind, attempts, error_no, component_ids)
         select session_id, 1, 9, now(), 0, 1, 'skipped', 0, 999, array[(select max(component_id) from component)] from why",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    for size in [1, 2, 1_000] {
        let skips = pages(&server, "/bosun/v1/sessions/s/skips", "skips", size).await;
        assert_eq!(skips.len(), 3, "{skips:?}");
        assert_eq!(skips[2]["error"], "by alice", "{skips:?}");
        assert!(skips[2]["step"].is_string());
    }
    let by_reason = pages(&server, "/bosun/v1/sessions/s/skips?reason=skipped_by_actor", "skips", 9).await;
    assert_eq!(by_reason.len(), 1);
    let output = server.run(&["session", "skips", "s"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("locked") && text.contains("skipped_by_actor: by alice"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_versions_and_deletion() {
    let server = Server::new(fast(4)).await;
    until(&server, "/v2/components", |list| list.as_array().is_some_and(|list| list.len() == 4)).await;
    sqlx::query(
        "with s as (insert into session (name, operation, template_name, api, state)
                    values ('held', 'boot', 'demo', 'bosun', 'paused'), ('waits', 'boot', 'demo', 'bosun', 'paused')
                    returning session_id, name)
         update component_progress p
            set claimed_by = (select session_id from s where name = 'held'),
                wanted_by = case when p.component_id = (select max(component_id) from component)
                                 then (select session_id from s where name = 'waits') end
          where p.component_id > (select min(component_id) from component)",
    )
    .execute(&server.database.pool)
    .await
    .unwrap();
    let claims = server.ok(Method::GET, "/bosun/v1/claims", None).await;
    assert_eq!(claims.as_array().unwrap().len(), 3);
    let wanted = server.ok(Method::GET, "/bosun/v1/claims?wanted=true", None).await;
    assert_eq!((wanted.as_array().unwrap().len(), &wanted[0]["wanted_by"]), (1, &json!("waits")));
    assert_eq!(server.ok(Method::GET, "/bosun/v1/claims?session=waits", None).await, json!([]));
    let first = server.ok(Method::GET, "/bosun/v1/claims?page_size=1", None).await;
    let after = first[0]["component"].as_str().unwrap();
    let rest = server.ok(Method::GET, &format!("/bosun/v1/claims?after={after}"), None).await;
    assert_eq!((&rest[0], rest.as_array().unwrap().len()), (&claims[1], 2));
    let output = server.run(&["component", "claims", "--wanted"]).await;
    assert!(String::from_utf8(output.stdout).unwrap().contains("waits"));
    assert!(server.run(&["component", "show", after]).await.status.success());

    let versions = server.ok(Method::GET, "/bosun/v1/templates/demo/versions", None).await;
    assert_eq!((versions.as_array().unwrap().len(), &versions[0]["is_current"]), (1, &json!(true)));
    let (status, _) = server.ask(Method::GET, "/bosun/v1/templates/none/versions", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (status, _) = server.ask(Method::DELETE, "/bosun/v1/sessions/waits", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = server.ask(Method::GET, "/bosun/v1/sessions/waits", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.ask(Method::DELETE, "/bosun/v1/sessions/waits", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
