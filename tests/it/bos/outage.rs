//! §0 and §1.1: the database is away for a while. Then it is said so, and nothing else breaks.

use std::path::PathBuf;

use bosun::db::private::PrivatePostgres;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{refused, until};
use crate::support::{app::fast, postgres::Database, server::Server};

/// Where a Postgres of the test's own is; what a failed test leaves there is the system's to clear away.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_requests_are_told_so_and_health_is_true() {
    let place = Place(std::env::temp_dir().join(format!("bosun-it-{}-outage", std::process::id())));
    let postgres = PrivatePostgres::start(&place.0).await.unwrap();
    let database = Database::of(&postgres).await;
    let server = Server::with(fast(1), |settings| settings.database_url = database.url.clone()).await;
    server.ok(Method::PUT, "/v2/sessiontemplates/demo", Some(server.template())).await;
    assert_eq!(server.ok(Method::GET, "/v2/healthz", None).await["dbStatus"], "ok");
    drop(postgres);
    let health = until(&server, "/v2/healthz", |health| health["dbStatus"] != "ok").await;
    assert_eq!(health, json!({"apiStatus": "ok", "dbStatus": "not_available"}));
    // What probes of readiness ask says it by its status, too.
    assert_eq!(server.ask(Method::GET, "/bosun/v1/healthz", None).await.0.as_u16(), 503);
    let session = json!({"name": "s", "operation": "boot", "template_name": "demo"});
    let requests = [
        (Method::GET, "/v2/sessions", None),
        (Method::POST, "/v2/sessions", Some(session)),
        (Method::DELETE, "/v2/sessions", None),
        (Method::GET, "/v2/sessions/s/status", None),
        (Method::GET, "/v2/components", None),
        (Method::PATCH, "/v2/components/x1", Some(json!({"actual_state": {"bss_token": "t"}}))),
        (Method::PATCH, "/v2/components/x1", Some(json!({"error": ""}))),
        (Method::PUT, "/v2/components", Some(json!([{"id": "x1", "error": ""}]))),
        (Method::GET, "/v2/options", None),
        (Method::PATCH, "/v2/options", Some(json!({"clear_stage": true}))),
        (Method::GET, "/v2/sessiontemplates/demo", None),
        (Method::PUT, "/v2/sessiontemplates/demo", Some(server.template())),
        (Method::POST, "/v2/applystaged", Some(json!({"xnames": ["x1"]}))),
    ];
    join_all(requests.map(async |(method, path, body)| {
        let said = refused(&server, method, path, body, 503).await;
        assert!(said.contains("database"), "{path}: {said}");
    }))
    .await;
    // What needs no database goes on.
    assert_eq!(server.ok(Method::GET, "/v2/version", None).await["major"], "2");
    server.ok(Method::GET, "/v2/sessiontemplatetemplate", None).await;
    let postgres = PrivatePostgres::start(&place.0).await.unwrap();
    until(&server, "/v2/healthz", |health| health["dbStatus"] == "ok").await;
    assert_eq!(server.ok(Method::GET, "/v2/sessiontemplates/demo", None).await["name"], "demo");
    drop((server, database, postgres));
}
