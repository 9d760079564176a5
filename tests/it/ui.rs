//! The dashboard over HTTP: pages, forms, the map and the stream, without a browser (`make test-ui` brings one).

use std::time::Duration;

use bosun::{
    db::{
        self,
        session::{Api, NewSession},
    },
    model::session::Outcome,
    sim,
};
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::support::{app::fast, process::until, server::Server};

const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// A browser that follows no redirect.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

async fn page(server: &Server, path: &str) -> (StatusCode, String) {
    let answer = browser().get(format!("{}{path}", server.url)).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    (answer.status(), answer.text().await.unwrap())
}

async fn map_of(server: &Server, path: &str) -> Value {
    let answer = browser().get(format!("{}{path}", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Reboots everybody but one node that refuses to go off, and waits for the end.
async fn partial() -> (Server, String) {
    let mut settings = fast(8);
    settings.fail_power_off = sim::Pick::Xnames(vec!["x1000c0s0b0n1".to_owned()]);
    let server = Server::new(settings).await;
    let request = json!({"name": "r1", "operation": "reboot", "template": "demo"});
    let created = server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
    let ended = || async {
        let session = server.ok(Method::GET, "/bosun/v1/sessions/r1", None).await;
        (session["state"] == "ended").then_some(session)
    };
    let session = until("the session to end", ended).await;
    assert_eq!((&session["succeeded"], &session["failed"]), (&json!(7), &json!(1)), "{session:#}");
    (server, format!("/ui/sessions/{}", created["id"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_of_a_session_and_its_nodes() {
    let (server, path) = partial().await;
    for (path, words) in [
        ("/ui/sessions", vec!["r1", "partial", "reboot"]),
        ("/ui/sessions?state=partial&name=r", vec!["r1"]),
        (&path, vec!["power off timeout", "x1000c0s0b0n1", "Retry 1 failed", "7</strong> through", "soft"]),
        ("/ui/components/x1000c0s0b0n1", vec!["compute/power_off", "power off timeout", "r1"]),
        (
            "/ui/plan?template=demo&operation=reboot",
            vec!["8</strong> nodes take part", "s3://", "8 nodes</strong> would be power-cycled"],
        ),
        (
            "/ui/plan?template=demo&operation=boot",
            vec!["7 nodes</strong> would not be powered", "half within"],
        ),
        ("/ui/plan?template=none&operation=reboot", vec!["does not exist"]),
    ] {
        let (status, text) = page(&server, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        for word in words {
            assert!(text.to_lowercase().contains(&word.to_lowercase()), "{path}: no '{word}' in {text}");
        }
    }
    let (_, text) = page(&server, "/ui/sessions?state=running").await;
    assert!(text.contains("No session is like that"), "{text}");
    for (path, expected) in [
        ("/ui/sessions/999", 404),
        ("/ui/sessions?state=odd", 400),
        ("/ui/components/nobody", 404),
        ("/ui/nothing", 404),
        ("/ui/assets/ui.css", 404),
    ] {
        let (status, text) = page(&server, path).await;
        assert_eq!(status.as_u16(), expected, "{path}");
        assert!(text.starts_with("<!DOCTYPE html>"), "{path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_says_what_the_api_says() {
    let (server, path) = partial().await;
    let map = map_of(&server, &format!("{path}/map?layout=true")).await;
    assert_eq!(map["layout"]["cabinets"].as_array().unwrap()[0][0], 1000, "{map}");
    let mut legend: Vec<(String, i64)> = map["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| (place["label"].as_str().unwrap().to_owned(), place["count"].as_i64().unwrap()))
        .collect();
    legend.sort();
    assert_eq!(legend, [("failed in compute/power_off".to_owned(), 1), ("through".to_owned(), 7)], "{map}");
    // x1000c0s0b0n0, then the one that failed.
    let codes: Vec<&str> = map["cells"].as_str().unwrap().split(' ').collect();
    let failed =
        map["places"].as_array().unwrap().iter().position(|place| place["kind"] == "failed").unwrap();
    assert_eq!(codes[1], failed.to_string(), "{map}");
    // Asked again, nothing is replayed anew, and nothing has changed.
    let again = map_of(&server, &format!("{path}/map")).await;
    assert_eq!((&again["cells"], &again["seq"]), (&map["cells"], &map["seq"]));
    assert!(again["layout"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_and_services_wrote_stays_text() {
    let server = Server::new(fast(4)).await;
    let mut conn = db::acquire(&server.database.pool).await.unwrap();
    let new = NewSession {
        name: "n1".parse().unwrap(),
        tenant: HOSTILE.to_owned(),
        operation: "reboot".to_owned(),
        template_name: HOSTILE.to_owned(),
        api: Api::V2,
        limit: HOSTILE.to_owned(),
        include_disabled: false,
        stage: false,
        request: json!({}),
        actor: HOSTILE.to_owned(),
    };
    let id = db::session::insert_waiting(&mut conn, &new).await.unwrap();
    db::session::end_waiting(&mut conn, &id, Outcome::Rejected, Some(HOSTILE)).await.unwrap();
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for path in [
        "/ui/sessions".to_owned(),
        format!("/ui/sessions/{id}"),
        format!("/ui/sessions/{id}/confirm/retry?step={encoded}"),
        format!("/ui/sessions/{id}/confirm/pass?step={encoded}"),
        format!("/ui/sessions?template={encoded}&name={encoded}&actor={encoded}"),
        format!("/ui/sessions?state={encoded}"),
        format!("/ui/plan?template={encoded}&limit={encoded}&operation={encoded}"),
        format!("/ui/components/{}", encoded.replace('+', "%20")),
    ] {
        let (_, text) = page(&server, &path).await;
        assert!(text.contains("&lt;script&gt;alert(1)"), "{path}: it is not told at all: {text}");
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_forms_are_obeyed() {
    let (server, path) = partial().await;
    let (browser, url) = (browser(), server.url.clone());
    let answer = browser.get(format!("{url}{path}/confirm/retry")).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let key = cookie.split('=').nth(1).unwrap().to_owned();
    assert!(answer.text().await.unwrap().contains(&key));
    let send = |site: &'static str, cookie: String, body: String| {
        let request = browser.post(format!("{url}{path}/commands")).header("sec-fetch-site", site);
        request
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
    };
    let other = "bosun_form=0123456789abcdef0123456789abcdef".to_owned();
    let retry = format!("kind=retry&form_key={key}");
    for (site, cookie, body) in [
        ("cross-site", cookie.clone(), retry.clone()),
        ("same-site", cookie.clone(), retry.clone()),
        ("same-origin", other, retry.clone()),
        ("same-origin", cookie.clone(), "kind=retry".to_owned()),
        ("same-origin", cookie.clone(), format!("kind=disable&form_key={key}")),
        ("same-origin", cookie.clone(), format!("kind=skip&components=x1000c0&form_key={key}")),
        (
            "same-origin",
            cookie.clone(),
            format!("kind=pass&step=power_off&components=x1000c0s0b0n1&form_key={key}"),
        ),
        ("same-origin", cookie.clone(), format!("kind=set&threshold%3Acompute=101&form_key={key}")),
        ("same-origin", cookie.clone(), format!("kind=cancel&confirmed=other&form_key={key}")),
    ] {
        let answer = send(site, cookie, body.clone()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{site} {body}");
    }
    let commands = server.ok(Method::GET, "/bosun/v1/sessions/r1/commands", None).await;
    assert_eq!(commands, json!([]));
    let answer = send("same-origin", cookie, retry).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], format!("{path}?said=retry").as_str());
    let commands = server.ok(Method::GET, "/bosun/v1/sessions/r1/commands", None).await;
    assert_eq!(commands[0]["kind"], "retry", "{commands}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_when_something_moved() {
    let server = Server::new(fast(4)).await;
    let mut stream = browser().get(format!("{}/ui/live/sessions", server.url)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    let request = json!({"name": "r1", "operation": "reboot", "template": "demo"});
    server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
    let next = async {
        loop {
            let chunk = stream.chunk().await.unwrap().unwrap();
            if chunk.starts_with(b"data:") && chunk != first {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("it tells of the new session");
    let missing = browser().get(format!("{}/ui/live/sessions/77", server.url)).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}
