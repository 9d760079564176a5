//! What callers may do, by their roles, and tenants by their tokens.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::Guarded;
use crate::support::{app::fast, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_it_should() {
    let guarded = Guarded::new().await;
    let issuer = &guarded.issuer;
    let key = issuer.key();
    issuer.publish(&[&key]);
    let token = |roles: &[&str]| key.sign(&issuer.claims(roles));
    let (nobody, view) = (token(&["someone"]), token(&["bosun-view", "other"]));
    let (operate, admin) = (token(&["bosun-operate"]), token(&["bosun-view", "bosun-admin"]));
    let session = json!({"template": "none", "operation": "boot"});
    let template = guarded.server.template();
    let report = json!({"id": "x", "actual_state": {"bss_token": "t"}});
    // Of each request: by whom it is let through, of nobody, view, operate, admin. What comes of it then is its own matter.
    for (method, path, body, by) in [
        (Method::GET, "/v2/components", None, "-voa"),
        (Method::GET, "/apis/bos/v2/options", None, "-voa"),
        (Method::GET, "/bosun/v1/sessions", None, "-voa"),
        (Method::HEAD, "/v2/sessions", None, "-voa"),
        (Method::POST, "/bosun/v1/plan", Some(session.clone()), "-voa"),
        (Method::POST, "/bosun/v1/sessions", Some(session), "--oa"),
        (Method::POST, "/bosun/v1/sessions/s/commands", Some(json!({"kind": "pause"})), "--oa"),
        (Method::PUT, "/v2/sessiontemplates/t", Some(template), "--oa"),
        (Method::DELETE, "/v2/sessiontemplates/t", None, "--oa"),
        (Method::POST, "/v2/applystaged", Some(json!({"xnames": []})), "--oa"),
        (Method::PATCH, "/v2/components", Some(json!([])), "--oa"),
        (Method::PATCH, "/v2/components/x", Some(report), "nvoa"),
        (Method::PATCH, "/v2/components/x", Some(json!({"enabled": true})), "--oa"),
        (Method::PATCH, "/v2/options", Some(json!({"clear_stage": true})), "---a"),
        (Method::PATCH, "/apis/bos/v2/options", Some(json!({"clear_stage": true})), "---a"),
        (Method::POST, "/bosun/v1/resume", None, "---a"),
    ] {
        for (token, letter) in [(&nobody, "n"), (&view, "v"), (&operate, "o"), (&admin, "a")] {
            let (status, problem) = guarded.ask(token, method.clone(), path, body.clone()).await;
            let passed = status != 403 && status != 401;
            assert_eq!(passed, by.contains(letter), "{letter}: {method} {path}: {status} {problem}");
            if status == 403 && method != Method::HEAD {
                assert_eq!(problem["title"], "Forbidden");
            }
        }
        guarded_by_token(&guarded, method, path, body).await;
    }
    // The dashboard shows what the APIs do, and is guarded as they are.
    for (authorization, wanted) in
        [(String::new(), 401), (format!("Bearer {nobody}"), 403), (format!("Bearer {view}"), 200)]
    {
        let page = guarded.send(&authorization, Method::GET, "/ui/sessions", None).await;
        assert_eq!(page.status().as_u16(), wanted, "{authorization}");
    }
    // Who asked is kept, and checked.
    let created = json!({"name": "s", "operation": "shutdown", "template_name": "t"});
    let put = Some(guarded.server.template());
    assert_eq!(guarded.ask(&operate, Method::PUT, "/v2/sessiontemplates/t", put).await.0, 200);
    assert_eq!(guarded.ask(&operate, Method::POST, "/v2/sessions", Some(created)).await.0, 201);
    let (_, sessions) = guarded.ask(&view, Method::GET, "/bosun/v1/sessions", None).await;
    assert_eq!(sessions[0]["actor"], "ann");
    let answer = guarded.send(&format!("bearer {view}"), Method::POST, "/bosun/v1/resume", None).await;
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("insufficient_scope"), "{challenge}");
}

/// Without a token nobody does anything.
async fn guarded_by_token(guarded: &Guarded, method: Method, path: &str, body: Option<Value>) {
    let answer = guarded.send("", method, path, body).await;
    assert_eq!(answer.status().as_u16(), 401, "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_tenant_is_for_that_tenant() {
    let guarded = Guarded::new().await;
    let issuer = &guarded.issuer;
    let key = issuer.key();
    issuer.publish(&[&key]);
    let token = |tenant: &str, roles: &[&str]| {
        let mut claims = issuer.claims(roles);
        claims["tenant"] = json!(tenant);
        key.sign(&claims)
    };
    let xnames = guarded.server.machine.xnames();
    guarded.server.machine.set_tenant("blue", &xnames[..1]);
    let admin = key.sign(&issuer.claims(&["bosun-admin"]));
    let all: Vec<Value> = xnames.iter().map(|id| json!({"id": id, "enabled": false})).collect();
    assert_eq!(guarded.ask(&admin, Method::PUT, "/v2/components", Some(json!(all))).await.0, 200);
    let blue = token("blue", &["bosun-operate"]);
    for path in ["/v2/components", "/bosun/v1/components"] {
        let (status, list) = guarded.ask(&blue, Method::GET, path, None).await;
        assert_eq!((status, list.as_array().map(Vec::len)), (200, Some(1)), "{path}: {list}");
    }
    let other = format!("/v2/components/{}", xnames[1]);
    for path in [
        other.as_str(),
        &format!("/bosun/v1/components/{}", xnames[1]),
        &format!("/bosun/v1/components/{}/history", xnames[1]),
    ] {
        assert_eq!(guarded.ask(&blue, Method::GET, path, None).await.0, 404, "{path}");
    }
    assert_eq!(guarded.ask(&blue, Method::PATCH, &other, Some(json!({"error": "x"}))).await.0, 404);
    // The header may say the same, and nothing else.
    for (tenant, wanted) in [("blue", 200), ("", 200), ("red", 403), ("Blue", 403)] {
        let request = guarded.http.get(format!("{}/v2/sessions", guarded.server.url));
        let answer = request.bearer_auth(&blue).header("Cray-Tenant-Name", tenant).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), wanted, "{tenant}");
    }
    let request = guarded.http.get(format!("{}/v2/sessions", guarded.server.url)).bearer_auth(&blue);
    let twice = request.header("Cray-Tenant-Name", "blue").header("Cray-Tenant-Name", "red");
    assert_eq!(twice.send().await.unwrap().status().as_u16(), 403);
    // Its sessions are the tenant's, in both APIs; of others it sees nothing.
    let template = Some(guarded.server.template());
    assert_eq!(guarded.ask(&blue, Method::PUT, "/bosun/v1/templates/t", template.clone()).await.0, 200);
    assert_eq!(guarded.ask(&admin, Method::PUT, "/v2/sessiontemplates/a", template).await.0, 200);
    let (_, templates) = guarded.ask(&blue, Method::GET, "/bosun/v1/templates", None).await;
    assert_eq!((&templates[0]["tenant"], templates.as_array().map(Vec::len)), (&json!("blue"), Some(1)));
    assert_eq!(guarded.ask(&blue, Method::GET, "/bosun/v1/templates/a", None).await.0, 404);
    let session = |template: &str| Some(json!({"name": "s", "operation": "shutdown", "template": template}));
    assert_eq!(guarded.ask(&blue, Method::POST, "/bosun/v1/plan", session("a")).await.0, 422);
    let (status, created) = guarded.ask(&blue, Method::POST, "/bosun/v1/sessions", session("t")).await;
    assert_eq!((status, &created["targeted"]), (201, &json!(1)), "{created}");
    for part in ["", "/steps", "/errors", "/results", "/effects", "/events", "/commands"] {
        let path = format!("/bosun/v1/sessions/s{part}");
        assert_eq!(guarded.ask(&blue, Method::GET, &path, None).await.0, 200, "{path}");
        assert_eq!(guarded.ask(&admin, Method::GET, &path, None).await.0, 404, "{path}");
        assert_eq!(
            guarded.ask(&token("red", &["bosun-admin"]), Method::GET, &path, None).await.0,
            404,
            "{path}"
        );
    }
    // What concerns everybody is no tenant's, whatever its role.
    let options = Some(json!({"clear_stage": true}));
    let head = token("blue", &["bosun-admin"]);
    assert_eq!(guarded.ask(&head, Method::PATCH, "/v2/options", options).await.0, 403);
    assert_eq!(guarded.ask(&head, Method::POST, "/bosun/v1/resume", None).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_report_without_a_token_where_the_site_says_so() {
    let guarded = Guarded::with(fast(2), true).await;
    let (_key, token) = guarded.issuer.token(&["bosun-operate"]);
    let url = guarded.server.url.clone();
    let template = Some(guarded.server.template());
    assert_eq!(guarded.ask(&token, Method::PUT, "/v2/sessiontemplates/t", template).await.0, 200);
    let report = |body: Value| guarded.send("", Method::PATCH, "/v2/components/x", Some(body));
    assert_eq!(report(json!({"id": "x", "actual_state": {"bss_token": "t"}})).await.status().as_u16(), 404);
    // More than a report takes more.
    assert_eq!(report(json!({"enabled": true})).await.status().as_u16(), 403);
    assert_eq!(guarded.send("", Method::GET, "/v2/components/x", None).await.status().as_u16(), 401);
    assert_eq!(
        guarded
            .send(
                "Bearer x",
                Method::PATCH,
                "/v2/components/x",
                Some(json!({"actual_state": {"bss_token": "t"}}))
            )
            .await
            .status()
            .as_u16(),
        401
    );
    // A session through the command line, with a token from the environment; its nodes report without.
    let run = move |token: Option<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bosun"));
        let arguments =
            ["session", "create", "--template", "t", "--operation", "reboot", "--name", "s", "--wait"];
        command.args(arguments).env("BOSUN_URL", &url).env_remove("BOSUN_LOG").env_remove("BOSUN_TOKEN_FILE");
        match token {
            Some(token) => command.env("BOSUN_TOKEN", token),
            None => command.env_remove("BOSUN_TOKEN"),
        };
        command.output().unwrap()
    };
    let (refused, done) = tokio::task::spawn_blocking(move || (run(None), run(Some(token)))).await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("token"), "{said}");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_shows_a_token_to_bos_and_another_to_bosun() {
    let source = Guarded::new().await;
    let (key, token) = source.issuer.token(&["bosun-view"]);
    let scratch = crate::support::process::Scratch::new();
    let file = scratch.write("token", &token);
    let target = Server::new(fast(2)).await;
    let import = |more: Vec<String>| {
        let line = [vec!["import".to_owned(), "bos".to_owned(), source.server.url.clone()], more].concat();
        let url = target.url.clone();
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bosun"));
            command
                .args(line)
                .env("BOSUN_URL", url)
                .env_remove("BOSUN_LOG")
                .env_remove("BOSUN_BOS_TOKEN_FILE");
            command.output().unwrap()
        })
    };
    let refused = import(Vec::new()).await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("answers 401: give a token that may read it, with --bos-token-file"), "{said}");
    let done = import(vec!["--bos-token-file".to_owned(), file.to_str().unwrap().to_owned()]).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Whoever takes over has to be an administrator there.
    let body = || Some(json!({"dry_run": true}));
    for (role, status) in [("bosun-operate", 403), ("bosun-admin", 200)] {
        let token = key.sign(&source.issuer.claims(&[role]));
        assert_eq!(source.ask(&token, Method::POST, "/bosun/v1/import", body()).await.0, status, "{role}");
    }
}
