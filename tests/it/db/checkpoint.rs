//! What a checkpoint makes durable.

use super::*;

use bosun::{
    db::{checkpoint::Saved, result::ResultFilter},
    model::{
        artifacts::BootToken,
        checkpoint::{EffectUpdate, ProgressChange, ProgressUpdate, SessionUpdate},
        effect::{EffectState, RemoteRef},
        session::{Outcome, SessionState},
    },
};

fn progress(change: ProgressChange, components: &[i32]) -> ProgressUpdate {
    ProgressUpdate { change, components: components.to_vec() }
}

fn intent(no: i32, step: i16, components: &[i32]) -> Intent {
    Intent {
        effect: EffectNo(no),
        step: StepNo(step),
        verb: "power_off",
        rung_name: "Soft-Off",
        rung: 0,
        alive_for: Duration::from_secs(20),
        components: components.to_vec(),
    }
}

fn news(no: i32, state: EffectState) -> EffectUpdate {
    EffectUpdate { effect: EffectNo(no), state, reference: None, token: None, error: None }
}

/// A checkpoint (number 2) that writes something everywhere; at least three members.
pub fn full(members: &[(i32, String)]) -> Checkpoint {
    let id = |n: usize| members[n].0;
    Checkpoint {
        events: vec![event(EventKind::Results), event(EventKind::Intents)],
        results: vec![
            ResultBatch {
                decision: Some(Decision::PowerCycle),
                ..result(0, FactKind::Succeeded, &[id(0), id(1)])
            },
            ResultBatch { error: Some(1), ..result(0, FactKind::Failed, &[id(2)]) },
        ],
        errors: vec![ErrorText { id: 1, code: ReasonCode::Locked, text: "by somebody".to_owned() }],
        steps: vec![StepCounters { step: 0, succeeded: 2, failed: 1, attempts: 1, ..Default::default() }],
        intents: vec![intent(1, 1, &[id(0), id(1)])],
        barriers: vec![(StepNo(2), StepNo(5))],
        progress: vec![
            progress(ProgressChange::PoweringOffGracefully, &[id(0), id(1)]),
            progress(ProgressChange::Failed { error: 1 }, &[id(2)]),
        ],
        ..checkpoint(2)
    }
}

#[tokio::test]
async fn a_checkpoint_writes_all_of_it_at_one_moment() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "all", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let saved = db::checkpoint::save(&mut conn, &lease, &full(&members)).await.unwrap();
    let Saved::Written { at } = saved else { panic!("{saved:?}") };

    let results = db::result::list(&mut conn, &session).await.unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!((results[0].seq, results[0].at, results[0].decision), (2, at, Some(Decision::PowerCycle)));
    assert_eq!(results[0].components, [members[0].0, members[1].0]);
    assert_eq!(results[1].reason, Some(Reason::new(ReasonCode::Locked, "by somebody")));

    let effects = db::effect::list(&mut conn, &session).await.unwrap();
    assert_eq!((effects[0].intended_at, effects[0].state), (at, EffectState::Intended));
    assert_eq!(effects[0].dead_at - at, chrono::TimeDelta::seconds(20));
    let edges = db::step_edge::opened(&mut conn, &session).await.unwrap();
    assert_eq!(edges, [(StepNo(2), StepNo(5))]);
    assert_eq!(db::event::last_seq(&mut conn, &session).await.unwrap(), 3);
    let narrative = db::event::list_after(&mut conn, &session, 0, 10).await.unwrap();
    assert_eq!(narrative.iter().map(|e| (e.seq, e.epoch)).collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 1)]);

    let steps = db::step::list(&mut conn, &session).await.unwrap();
    let counters = StepCounters { step: 0, succeeded: 2, failed: 1, attempts: 1, ..Default::default() };
    assert_eq!((steps[0].counters, steps[0].started_at, steps[0].ended_at), (counters, Some(at), Some(at)));
    assert_eq!(steps[1].ended_at, None);

    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let last = db::component_progress::last_power(&mut conn, &ids).await.unwrap();
    assert_eq!((last[0].last_power_at, last[0].claimed_by), (Some(at), Some(session)));
    assert_eq!((last[2].last_power_at, last[2].claimed_by), (None, None));
    let shown = db::component::get(&mut conn, &members[0].1).await.unwrap();
    assert_eq!((shown.status.as_str(), shown.enabled), ("power_off_gracefully_called", Some(true)));
    assert_eq!(shown.event_stats.power_off_graceful_attempts, Some(1));
    let failed = db::component::get(&mut conn, &members[2].1).await.unwrap();
    assert_eq!((failed.status.as_str(), failed.enabled), ("failed", Some(false)));
    assert_eq!(failed.error.as_deref(), Some("locked: by somebody"));
    let counts = db::session::counts(&mut conn, &session).await.unwrap();
    assert_eq!((counts.components, counts.powering_off, counts.failed), (3, 2, 1));
}

#[tokio::test]
async fn a_checkpoint_sent_twice_is_written_once() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "twice", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let full = full(&members);
    db::checkpoint::save(&mut conn, &lease, &full).await.unwrap();
    let before = everything(&mut conn).await;
    assert_eq!(db::checkpoint::save(&mut conn, &lease, &full).await.unwrap(), Saved::AlreadyWritten);
    assert_eq!(everything(&mut conn).await, before);

    // A number that another epoch has used is no proof that this was written.
    db::lease::release(&mut conn, &lease).await.unwrap();
    let next = take(&mut conn, &session, "b").await;
    let refused = db::checkpoint::save(&mut conn, &next, &full).await.unwrap_err();
    assert!(matches!(refused, db::DbError::Conflict { .. }), "{refused}");
    assert_eq!(everything(&mut conn).await, before);
}

#[tokio::test]
async fn an_effect_remembers_what_became_of_it() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "effects", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let intents = (1..=4).map(|no| intent(no, 1, &ids)).collect();
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { intents, ..checkpoint(2) }).await.unwrap();
    let artifacts = db::artifacts::find_or_insert(&mut conn, &[BootArtifacts::default()]).await.unwrap()[0];
    let answered = EffectUpdate {
        reference: Some(RemoteRef("transition".to_owned())),
        token: Some((BootToken("token".to_owned()), artifacts)),
        ..news(1, EffectState::Accepted)
    };
    let refused = EffectUpdate { error: Some("no".to_owned()), ..news(4, EffectState::NotTaken) };
    let effects = vec![answered, news(2, EffectState::Lost), news(3, EffectState::Settled), refused];
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { effects, ..checkpoint(3) }).await.unwrap();
    let effects = vec![news(1, EffectState::Settled), news(2, EffectState::Found)];
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { effects, ..checkpoint(4) }).await.unwrap();

    let stored = db::effect::list(&mut conn, &session).await.unwrap();
    let states: Vec<EffectState> = stored.iter().map(|effect| effect.state).collect();
    use EffectState::{Found, NotTaken, Settled};
    assert_eq!(states, [Settled, Found, Settled, NotTaken]);
    assert_eq!(stored[0].reference, Some(RemoteRef("transition".to_owned())), "kept when news bring none");
    assert_eq!(stored[0].token, Some(BootToken("token".to_owned())));
    let lines = db::effect::page(&mut conn, &session, 0, 100).await.unwrap();
    assert!(lines[0].answered_at < lines[0].settled_at && lines[0].answered_at.is_some());
    assert!(lines[1].answered_at.is_none() && lines[1].lost_at.is_some() && lines[1].settled_at.is_none());
    assert!(lines[2].answered_at.is_some(), "settled at once: the answer said so");
    assert_eq!((lines[3].error.as_deref(), lines[3].components), (Some("no"), 3));
}

#[tokio::test]
async fn a_component_that_was_sent_back_has_not_failed() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "back", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let errors = vec![ErrorText { id: 1, code: ReasonCode::BootTimeout, text: String::new() }];
    let results = vec![ResultBatch { error: Some(1), ..result(2, FactKind::Failed, &ids) }];
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { errors, results, ..checkpoint(2) }).await.unwrap();
    assert_eq!(db::result::failed(&mut conn, &session).await.unwrap().len(), 3);
    let results = vec![ResultBatch { sent_to: Some(StepNo(1)), ..result(2, FactKind::SentBack, &ids[..2]) }];
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { results, ..checkpoint(3) }).await.unwrap();
    let again = ResultBatch { run: 2, error: Some(1), ..result(1, FactKind::Failed, &ids[..1]) };
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { results: vec![again], ..checkpoint(4) })
        .await
        .unwrap();

    let failed = db::result::failed(&mut conn, &session).await.unwrap();
    let where_: Vec<(i32, &str)> = failed.iter().map(|f| (f.component, f.step.as_str())).collect();
    assert_eq!(where_, [(ids[0], "compute/power_off"), (ids[2], "compute/power_on")]);
    let groups = db::result::failures(&mut conn, &session, 1).await.unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!((groups[0].reason.as_str(), groups[0].count, groups[0].xnames.len()), ("boot_timeout", 1, 1));
    let filter = ResultFilter { kind: Some(FactKind::SentBack), limit: 10, ..Default::default() };
    assert_eq!(db::result::page(&mut conn, &session, &filter).await.unwrap().lines.len(), 2);
    let history = db::component::component_history(&mut conn, None, &members[0].1, 20).await.unwrap();
    let kinds: Vec<&str> = history.iter().map(|line| line.result.as_str()).collect();
    assert_eq!(kinds, ["failed", "sent_back", "failed"]);
}

#[tokio::test]
async fn at_its_end_a_component_is_free_and_disabled_and_so_is_the_session() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "end", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let id = |n: usize| members[n].0;
    let on = [progress(ProgressChange::PoweringOn, &[id(0), id(1)])];
    db::checkpoint::save(&mut conn, &lease, &Checkpoint { progress: on.to_vec(), ..checkpoint(2) })
        .await
        .unwrap();
    let errors = vec![
        ErrorText { id: 1, code: ReasonCode::BootTimeout, text: "waited 20 min".to_owned() },
        ErrorText { id: 2, code: ReasonCode::Cancelled, text: String::new() },
    ];
    let ends = vec![
        progress(ProgressChange::Succeeded, &[id(0)]),
        progress(ProgressChange::Failed { error: 1 }, &[id(1)]),
        progress(ProgressChange::Skipped { error: 2 }, &[id(2)]),
    ];
    let update = SessionUpdate {
        state: SessionState::Ended,
        reason: None,
        outcome: Some(Outcome::Partial),
        succeeded: 1,
        failed: 1,
        skipped: 1,
        retry_command: Some("bosun session retry end".to_owned()),
    };
    let end = Checkpoint { errors, progress: ends, session: Some(update), ..checkpoint(3) };
    db::checkpoint::save(&mut conn, &lease, &end).await.unwrap();

    let shown = db::session::get(&mut conn, "", "end").await.unwrap();
    assert_eq!((shown.state, shown.outcome), (SessionState::Ended, Some(Outcome::Partial)));
    assert!(shown.ended_at.is_some() && shown.started_at.is_some());
    let claims: i64 = sqlx::query_scalar("select count(*) from claims").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(claims, 0);
    let record: Vec<(Option<bool>, String, Option<String>)> = {
        let filter = db::component::ComponentFilter::default();
        let listed = db::component::list(&mut conn, &filter).await.unwrap();
        listed.into_iter().map(|c| (c.enabled, c.status, c.error)).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(record[0], (Some(false), "stable".to_owned(), text("")));
    assert_eq!(record[1], (Some(false), "failed".to_owned(), text("boot_timeout: waited 20 min")));
    assert_eq!(record[2], (Some(false), "stable".to_owned(), text("cancelled")));
    assert_eq!(db::session::need_worker(&mut conn).await.unwrap(), []);
}
