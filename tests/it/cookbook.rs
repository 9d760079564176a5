//! The documents for operators: served, and their examples true.

use reqwest::Method;
use serde_json::json;

use crate::support::{app::fast, process::until, server::Server};

const COOKBOOK: &str = include_str!("../../src/api/ui/document/sql.md");
const READERS: [&str; 4] = [
    include_str!("../../migrations/0003_reader.sql"),
    include_str!("../../migrations/0040_plan_shown.sql"),
    include_str!("../../migrations/0041_freeze_quarantine.sql"),
    include_str!("../../migrations/0043_overdue.sql"),
];

/// The examples, each below the heading of its view.
fn examples() -> Vec<(&'static str, &'static str)> {
    let mut view = "";
    let mut all = Vec::new();
    let mut rest = COOKBOOK;
    while let Some(at) = rest.find("```sql\n") {
        let before = &rest[..at];
        view = before.lines().rev().find_map(|line| line.strip_prefix("## ")).unwrap_or(view);
        let example = rest[at..].strip_prefix("```sql\n").unwrap().split("```").next().unwrap();
        all.push((view, example));
        rest = &rest[at + 7 + example.len() + 3..];
    }
    all
}

#[test]
fn every_view_has_an_example() {
    let granted =
        READERS.map(|text| text.split("grant select on ").nth(1).unwrap().split(" to ").next().unwrap());
    for view in granted.iter().flat_map(|granted| granted.split(',')).map(str::trim) {
        let told = examples().iter().any(|(heading, example)| *heading == view && example.contains(view));
        assert!(told, "the cookbook has no example for {view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_runs_as_a_reader() {
    let mut settings = fast(8);
    settings.fail_power_off = bosun::sim::Pick::Xnames(vec!["x1000c0s0b0n1".to_owned()]);
    let server = Server::new(settings).await;
    let request = json!({"name": "first", "operation": "reboot", "template": "demo"});
    server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
    let ended = || async {
        let session = server.ok(Method::GET, "/bosun/v1/sessions/first", None).await;
        (session["state"] == "ended").then_some(())
    };
    until("the session to end", ended).await;
    let mut conn = server.database.pool.acquire().await.unwrap();
    sqlx::query("set role bosun_reader").execute(&mut *conn).await.unwrap();
    for (view, example) in examples() {
        let rows = sqlx::query(sqlx::AssertSqlSafe(example)).fetch_all(&mut *conn).await;
        let rows = rows.unwrap_or_else(|error| panic!("{view}: {error}\n{example}"));
        // Nothing is going on, held or stuck by then, and no transition has that made-up id.
        let may_be_empty = [
            "claims",
            "stuck_sessions",
            "overdue_components",
            "verb_times",
            "freezes",
            "quarantined_components",
        ]
        .contains(&view)
            || example.contains("state <> 'ended'")
            || example.contains("00000000");
        assert!(!rows.is_empty() || may_be_empty, "{view} tells nothing:\n{example}");
    }
}

/// The only list of all reasons that there is: what is expected where none of them is found.
#[test]
fn every_reason_is_in_the_catalogue() {
    let error =
        serde_json::from_value::<bosun::model::reason::ReasonCode>(json!("none")).unwrap_err().to_string();
    let reasons: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(reasons.len() > 20 && reasons.contains(&"boot_timeout"), "{error}");
    let catalogue = include_str!("../../src/api/ui/document/failures.md");
    for reason in reasons {
        let told = catalogue.lines().any(|line| line.starts_with('#') && line.contains(reason));
        assert!(told, "the failure catalogue does not tell of {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_served() {
    let server = Server::new(fast(2)).await;
    for (path, words) in [
        ("/ui/documents", "A few nodes refuse to go off"),
        ("/ui/documents/failures", "id=\"boot_timeout\""),
        ("/ui/documents/sql", "from session_progress"),
    ] {
        let answer = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(words) && !text.contains("<script>"), "{path}: {text}");
    }
}
