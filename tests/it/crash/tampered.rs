//! The invariants can be violated: each question is asked of a history that was tampered with, and finds it.

use bosun::{db, engine::Exit};
use chrono::Utc;
use serde_json::json;

use super::{judge, lane};
use crate::support::invariants::{self, QUESTIONS};

/// What is done to the history of a reboot, in the order of the questions that are to find it.
const TAMPERINGS: [&str; QUESTIONS.len()] = [
    "update event set epoch = epoch + 1 where seq = 3",
    "delete from event where seq = 3",
    "update effect set seq = 1 where verb = 'power_on'",
    "delete from step_result_batch r using step t where t.step_no = r.step_no and t.verb = 'power_off'",
    "insert into step_result_batch
     select session_id, seq, part + 100, at, step_no, run, kind, attempts, error_no, decision, sent_to, component_ids
       from step_result_batch where kind = 'succeeded' limit 1",
    "update step set succeeded = succeeded - 1, skipped = skipped + 1 where verb = 'await_boot'",
    "update step set in_flight = 1 where verb = 'await_boot'",
    "update step set attempts = attempts - 1 where verb = 'power_on'",
    "update session set succeeded = succeeded - 1, failed = 1",
    "update component_progress set last_power_at = last_power_at - interval '1 s'",
    "update component_progress set power_on_attempts = 1",
    "update step_result_batch set attempts = attempts + 1 where kind = 'succeeded'",
    "update effect set epoch = epoch + 1 where verb = 'power_off'",
    "update component_progress set claimed_by = session_id",
    "update session_lease set takeovers = 3",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_question_finds_what_it_is_asked_for() {
    let app = lane::app(&lane::settings(super::NODES)).await;
    let since = Utc::now();
    let session = app.admit("reboot", "tampered").await;
    assert_eq!(app.drive(session, "only").await.unwrap(), Exit::Done);
    assert_eq!(judge(&app, session, since).await, Vec::<String>::new());
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    for ((name, _), tampering) in QUESTIONS.into_iter().zip(TAMPERINGS) {
        sqlx::query("begin").execute(&mut *connection).await.unwrap();
        let touched = sqlx::query(tampering).execute(&mut *connection).await.unwrap().rows_affected();
        assert!(touched > 0, "nothing to tamper with: {tampering}");
        let found = invariants::kept(&mut connection, session).await;
        sqlx::query("rollback").execute(&mut *connection).await.unwrap();
        let is_found = found.iter().any(|violation| violation.starts_with(name));
        assert!(is_found, "'{name}' does not find: {tampering}; found was {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_action_of_nobodys_is_found() {
    let app = lane::app(&lane::settings(2)).await;
    let since = Utc::now();
    let session = app.admit("shutdown", "innocent").await;
    assert_eq!(app.drive(session, "only").await.unwrap(), Exit::Done);
    assert_eq!(invariants::violations(&app, session, since).await, Vec::<String>::new());
    let location: Vec<_> = app.machine.xnames().into_iter().map(|xname| json!({ "xname": xname })).collect();
    let body = json!({ "operation": "On", "taskDeadlineMinutes": 1, "location": location });
    let url = format!("{}/transitions", app.machine.url());
    let orders = app.machine.power_log().len();
    reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let ordered = async || (app.machine.power_log().len() > orders).then_some(());
    crate::support::eventually("the order", super::RUN_MAX, ordered).await;
    let found = invariants::violations(&app, session, since).await;
    assert!(found.iter().any(|violation| violation.contains("is the effect of 0 effects")), "{found:?}");
    assert!(found.iter().any(|violation| violation.contains("has no effect")), "{found:?}");
}
