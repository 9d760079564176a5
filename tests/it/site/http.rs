//! `http`: calls and questions, and what goes wrong with them.

use bosun::{db, model::session::Outcome};
use serde_json::json;

use super::{failures, run, switched_off, workflow};
use crate::support::{
    app::{App, Wish, fast},
    lane,
    process::Scratch,
    webhook::{Reply, Webhook},
};

const SECRET: &str = "s3cret-of-the-site";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_or_was_lost_is_made_again_under_the_same_key() {
    let app = lane::app(&fast(6)).await;
    let busy = Reply::Says(503, json!({"detail": "later"}));
    let webhook = Webhook::start([busy, Reply::Says(500, json!({})), Reply::Silence]).await;
    let scratch = Scratch::new();
    let token = scratch.write("token", &format!("{SECRET}\n"));
    let wish = workflow(&format!(
        "  - {{name: last, verb: http, call: {{url: '{}/drain'}}, token: {{file: '{}'}}, per: slice, needs: [inspect]}}",
        webhook.url,
        token.display()
    ));
    let session = run(&app, "patient", &wish).await;
    assert_eq!(app.session(session).await.outcome, Some(Outcome::Succeeded));
    let told = webhook.told();
    // The first was surely not taken: the next one is another call. Of that one nobody knew what became of it.
    assert_eq!(told.len(), 4, "{told:?}");
    assert_ne!(told[0].key, told[1].key);
    assert!(told[1].key.starts_with(&format!("bosun-{}-2-", session.0)), "{told:?}");
    assert!(told[2..].iter().all(|again| *again == told[1]), "{told:?}");
    let (method, authorization) = (told[1].method.as_str(), told[1].authorization.as_str());
    assert_eq!((method, authorization), ("POST", format!("Bearer {SECRET}").as_str()));
    assert_eq!(told[1].body["session"], "patient");
    assert_eq!(told[1].body["step"], "compute/last");
    let mut xnames = app.machine.xnames();
    xnames.sort();
    let mut named = told[1].components();
    named.sort_unstable();
    assert_eq!(named, xnames);
    // It is nowhere in what is kept.
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let tables = ["step", "effect", "event", "error_text", "workflow_version", "session"];
    for table in tables {
        let statement = format!("select count(*) from {table} t where t::text like '%{SECRET}%'");
        let found: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_never_holds_fails_with_what_was_seen_last() {
    let app = App::new(fast(2)).await;
    let webhook = Webhook::start(vec![Reply::Says(200, json!({"state": "busy"})); 20]).await;
    let wish = workflow(&format!(
        "  - name: last
    verb: http
    wait: {{url: '{}/state', until: {{at: /state, equals: idle}}}}
    needs: [inspect]
    timeout: 1500ms",
        webhook.url
    ));
    let session = run(&app, "hopeless", &wish).await;
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.failed), (Some(Outcome::Failed), 2));
    let why = "not there within 1s 500ms: /state is \"busy\", not \"idle\"";
    let failures = failures(&app, session).await;
    for failure in &failures {
        assert_eq!(
            (failure.0.as_str(), failure.2.as_str(), failure.3.as_str()),
            ("compute/last", "step_timeout", why)
        );
    }
    assert_eq!((failures.len(), switched_off(&app)), (2, 0));
    let told = webhook.told();
    assert!((2..5).contains(&told.len()), "asked every second, for all at once: {told:?}");
    assert!(told.iter().all(|told| told.method == "GET" && told.key.is_empty() && told.body.is_null()));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_components_fail_and_wait_as_the_service_says() {
    let app = App::new(fast(4)).await;
    let xnames = app.machine.xnames();
    let webhook = Webhook::start([
        Reply::Says(202, json!({"failed": {xnames[0].clone(): "not in any partition"}})),
        Reply::Says(503, json!({})),
        Reply::Says(200, json!({"pending": [xnames[1].clone()]})),
    ])
    .await;
    let wish = workflow(&format!(
        "  - name: last
    verb: http
    call: {{method: PUT, url: '{0}/drain'}}
    wait: {{method: POST, url: '{0}/drained'}}
    needs: [inspect]",
        webhook.url
    ));
    let session = run(&app, "some", &wish).await;
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.succeeded, row.failed), (Some(Outcome::Partial), 3, 1));
    let failure = ["compute/last", &xnames[0], "webhook_failed", "not in any partition"].map(str::to_owned);
    assert_eq!(failures(&app, session).await, [failure.into()]);
    let asked: Vec<usize> = webhook.told_at("/drained").iter().map(|told| told.components().len()).collect();
    assert_eq!(asked, [3, 3, 1], "who failed is not asked about, nor who is through");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_tried_again_and_a_token_that_is_not_there_is_waited_for() {
    let app = App::new(fast(2)).await;
    let webhook = Webhook::start([Reply::Says(422, json!({"detail": "the partition is closed"}))]).await;
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    let wish = workflow(&format!(
        "  - {{name: last, verb: http, call: {{url: '{}/'}}, token: {{file: '{}'}}, attempts: 3, needs: [inspect]}}",
        webhook.url,
        token.display()
    ));
    let session = app.admit_as("careful", "refused", &wish).await;
    let driven = app.drive(session, "worker");
    let mend = async {
        let told = async || {
            let events = app.events(session).await;
            events.iter().any(|event| event.data.to_string().contains("the token file")).then_some(())
        };
        crate::support::eventually("a word of the token", std::time::Duration::from_secs(30), told).await;
        std::fs::write(&token, SECRET).unwrap();
    };
    let (driven, ()) = tokio::join!(driven, mend);
    driven.unwrap();
    let failures = failures(&app, session).await;
    assert_eq!((failures.len(), webhook.told().len()), (2, 1));
    assert!(
        failures
            .iter()
            .all(|failure| failure.2 == "webhook_failed" && failure.3 == "the partition is closed")
    );
}

/// A service that answers 500 for ever may have taken every call: it is asked what became of it until patience ends, and
/// then the message names it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_500_for_ever_is_named_when_patience_ends() {
    let app = App::new(fast(2)).await;
    let webhook = Webhook::start(vec![Reply::Says(500, json!({"detail": "no database"})); 200]).await;
    let patience = std::time::Duration::from_secs(3);
    let steps = format!(
        "  - {{name: last, verb: http, call: {{url: '{}/drain'}}, per: slice, needs: [inspect]}}",
        webhook.url
    );
    let wish = Wish { service_patience: patience, ..workflow(&steps) };
    let session = run(&app, "broken", &wish).await;
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.failed, switched_off(&app)), (Some(Outcome::Failed), 2, 0));
    for failure in failures(&app, session).await {
        assert_eq!((failure.0.as_str(), failure.2.as_str()), ("compute/last", "service_unavailable"));
        let named = format!("POST {}/drain", webhook.url);
        assert!(failure.3.contains(&named) && failure.3.contains("no database"), "{failure:?}");
    }
    let told = webhook.told();
    assert!(told.len() > 2 && told.len() < 100, "asked again, ever more slowly: {} times", told.len());
    let events = app.events(session).await;
    let down = events.iter().find(|event| event.data["service"] == "webhook").unwrap();
    let gone = events.last().unwrap();
    assert!((gone.at - down.at).to_std().unwrap() >= patience, "patience was kept");
    // Said in the next command, and in words that name the step.
    assert!(row.retry_command.is_some_and(|command| !command.is_empty()));
}
