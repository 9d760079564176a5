//! §0 and §1.1: framing, and whatever nobody should send: never our own fault (5xx).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{app::fast, server::Server};

const JSON: &str = "application/json";

/// Every path that takes a body.
const TAKERS: [(Method, &str); 14] = [
    (Method::POST, "/v2/sessions"),
    (Method::PATCH, "/v2/sessions/s"),
    (Method::PUT, "/v2/sessiontemplates/t"),
    (Method::PATCH, "/v2/sessiontemplates/demo"),
    (Method::PUT, "/v2/components"),
    (Method::PATCH, "/v2/components"),
    (Method::PUT, "/v2/components/a"),
    (Method::PATCH, "/v2/components/a"),
    (Method::PATCH, "/v2/options"),
    (Method::POST, "/bosun/v1/sessions"),
    (Method::POST, "/bosun/v1/plan"),
    (Method::POST, "/bosun/v1/sessions/s/commands"),
    (Method::PUT, "/bosun/v1/templates/t"),
    (Method::POST, "/v2/applystaged"),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused_everywhere() {
    let server = Server::new(fast(2)).await;
    let deep_list = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
    let bodies: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("a word", "nonsense".to_owned()),
        ("an open object", "{".to_owned()),
        ("an open string", r#"{"error": "x"#.to_owned()),
        ("null", "null".to_owned()),
        ("a number", "1".to_owned()),
        ("a string", r#""x""#.to_owned()),
        ("true", "true".to_owned()),
        ("two documents", "{}{}".to_owned()),
        ("a huge number", "1e999".to_owned()),
        ("long digits", "9".repeat(5_000)),
        ("not a number", "NaN".to_owned()),
        ("a comment", "/* */ {}".to_owned()),
        ("a trailing comma", r#"{"error": "x",}"#.to_owned()),
        ("single quotes", "{'error': 'x'}".to_owned()),
        ("NUL in a string", r#"{"error": "a\u0000b"}"#.to_owned()),
        ("NUL in a key", r#"{"a\u0000": 1}"#.to_owned()),
        ("a NUL", "\0".to_owned()),
        ("half a surrogate pair", r#"{"error": "\ud800"}"#.to_owned()),
        ("a byte order mark", "\u{feff}{}".to_owned()),
        ("deep lists", deep_list),
        ("deep objects", deep_object),
        ("a list of lists", "[[[]]]".to_owned()),
        ("a list of nulls", "[null, null]".to_owned()),
        ("a list of numbers", "[1, 2]".to_owned()),
    ];
    for (method, path) in &TAKERS {
        for (name, body) in &bodies {
            let (status, text) = server.raw(method.clone(), path, JSON, body).await;
            assert!(status.is_client_error(), "{method} {path} with {name}: {status} {text}");
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status.as_u16(), "{method} {path} with {name}");
            assert_eq!(problem["type"], "about:blank", "{method} {path} with {name}");
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/json",
            "",
            "json",
        ] {
            let (status, text) = server.raw(method.clone(), path, kind, "{}").await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method} {path} {kind}: {text}");
        }
    }
    // A value of the wrong kind in every known field.
    let wrong = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!([{}]),
        json!({"a": {"b": []}}),
        json!("\u{202e}\u{10ffff}"),
    ];
    for field in [
        "operation",
        "boot_sets",
        "status",
        "patch",
        "enabled",
        "desired_state",
        "retry_policy",
        "clear_stage",
    ] {
        for value in &wrong {
            for (method, path) in &TAKERS {
                let body = json!({ field: value }).to_string();
                let (status, text) = server.raw(method.clone(), path, JSON, &body).await;
                let taken = path.ends_with("options") && field != "clear_stage";
                assert_eq!(status.is_success(), taken, "{method} {path} {body}: {status} {text}");
                assert!(!status.is_server_error(), "{method} {path} {body}: {status} {text}");
            }
        }
    }
    let (status, text) =
        server.raw(Method::PATCH, "/v2/options", "application/merge-patch+json; x=y", r#"{"x": 1}"#).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let twice = r#"{"polling_frequency": 1, "polling_frequency": 2}"#;
    let (_, text) = server.raw(Method::PATCH, "/v2/options", "application/json; charset=utf-8", twice).await;
    assert!(text.contains("\"polling_frequency\": 2"), "{text}");
    // What is too large for one is refused as that.
    for (path, bytes) in [("/v2/sessions", 3 << 20), ("/v2/components", 17 << 20)] {
        let body = format!(r#"{{"x": "{}"}}"#, "x".repeat(bytes));
        let method = if path.ends_with('s') && path.contains("comp") { Method::PATCH } else { Method::POST };
        let (status, _) = server.raw(method, path, JSON, &body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_and_queries_are_refused() {
    let server = Server::new(fast(2)).await;
    let refused = [
        ("/v2/", 404),
        ("/v2/components/", 404),
        ("/v2/sessions/", 404),
        ("/v1", 404),
        ("/v1/version", 404),
        ("/v1/session", 404),
        ("/v2/nothing", 404),
        ("/v2/components/a%2Fb", 404),
        ("/v2/components/a/b", 404),
        ("/v2/components/%00", 400),
        ("/v2/components/%ff%fe", 400),
        ("/v2/sessions/%c3%28", 400),
        ("/v2/sessiontemplates/%20", 400),
        ("/v2/sessions?status=%00", 400),
        ("/v2/sessions?min_age=%F0%9F%92%A9", 400),
        ("/v2/sessions?min_age=99999999999999999999w", 400),
        ("/v2/components?page_size=1e3", 400),
        ("/v2/components?page_size=%2B%2B1", 400),
        ("/v2/components?ids=&session=s", 400),
        ("/v2/components?session='%20or%201=1", 400),
        ("/bosun/v1/nothing", 404),
        ("/bosun/v1/sessions/%ff", 400),
        ("/bosun/v1/sessions/s%00", 400),
        ("/bosun/v1/sessions/none/results", 404),
        ("/bosun/v1/sessions/none/skips", 404),
        ("/bosun/v1/sessions/none/effects", 404),
        ("/bosun/v1/sessions/none/events", 404),
        ("/bosun/v1/sessions/none/commands", 404),
        ("/bosun/v1/sessions?state=over", 400),
        ("/bosun/v1/sessions?max=0", 400),
        ("/bosun/v1/sessions?max=99999999999999999999", 400),
        ("/bosun/v1/sessions/none?full=yes", 400),
        ("/bosun/v1/sessions/none/results?after=%F0%9F%92%A9", 400),
        ("/bosun/v1/sessions/none/events?after=-1", 400),
        ("/bosun/v1/claims?wanted=perhaps", 400),
        ("/bosun/v1/claims?page_size=1e3", 400),
        ("/bosun/v1/components/none/history", 404),
        ("/bosun/v1/components/none/history?max=101", 400),
        ("/bosun/v1/templates/none@x", 400),
        ("/bosun/v1/templates/none@99999999999999999999", 400),
        ("/bosun/v1/templates/none/versions", 404),
    ];
    for (path, expected) in refused {
        let (status, text) = server.raw(Method::GET, path, "", "").await;
        assert_eq!(status.as_u16(), expected, "{path}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], expected, "{path}");
    }
    for (method, path) in [
        (Method::POST, "/v2"),
        (Method::PUT, "/v2/options"),
        (Method::POST, "/v2/components"),
        (Method::POST, "/v2/components/a"),
        (Method::PUT, "/v2/sessions/s"),
        (Method::DELETE, "/v2/sessiontemplates"),
        (Method::POST, "/v2/healthz"),
    ] {
        let (status, text) = server.raw(method.clone(), path, JSON, "{}").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}: {text}");
        assert!(text.contains("\"title\": \"Method Not Allowed\""), "{text}");
    }
    // A name that looks like SQL is a name.
    let (status, _) =
        server.raw(Method::GET, "/v2/components?ids=a'%3Bdrop%20table%20component", "", "").await;
    assert_eq!(status, StatusCode::OK);
    let long = "x".repeat(200);
    let http = reqwest::Client::new();
    let answer = http
        .get(format!("{}/v2/sessions", server.url))
        .header("Cray-Tenant-Name", long)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_framing_are_boss() {
    let server = Server::new(fast(2)).await;
    let root = server.ok(Method::GET, "/", None).await;
    let base = &server.url;
    assert_eq!(
        root,
        json!([{"major": "2", "minor": "50", "patch": "0", "links": [{"rel": "self", "href": format!("{base}/")}]}])
    );
    for path in ["/v2", "/v2/version", "/apis/bos/v2", "/apis/bos/v2/version"] {
        let links = &server.ok(Method::GET, path, None).await["links"];
        assert_eq!(links[0], json!({"rel": "self", "href": format!("{base}/")}), "{path}");
        assert_eq!(links[1], json!({"rel": "versions", "href": format!("{base}/v2")}), "{path}");
    }
    let http = reqwest::Client::new();
    let proxied = http.get(format!("{base}/v2")).header("X-Forwarded-For", "10.0.0.1").send().await.unwrap();
    let proxied: Value = proxied.json().await.unwrap();
    assert_eq!(proxied["links"][1]["href"], format!("{base}/apis/bos/v2"));
    assert_eq!(
        server.ok(Method::GET, "/apis/bos/v2/healthz", None).await,
        json!({"apiStatus": "ok", "dbStatus": "ok"})
    );
    let answer = http.get(format!("{base}/v2/options")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.text().await.unwrap();
    assert!(
        text.starts_with("{\n  \"bss_read_timeout\": 20,\n  \"cfs_read_timeout\"") && text.ends_with("}\n"),
        "{text}"
    );
    let problem = http.get(format!("{base}/v2/components/none")).send().await.unwrap();
    assert_eq!(problem.headers()["content-type"], "application/problem+json");
    for path in ["/", "/v2", "/v2/options", "/v2/sessions", "/v2/components", "/v2/sessiontemplates"] {
        let answer = http.head(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
    }
}
