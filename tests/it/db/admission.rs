//! All of a session, or nothing.

use super::*;

use bosun::{
    db::DbError,
    model::{
        checkpoint::{ProgressChange, ProgressUpdate, SessionUpdate},
        command::{CommandKind, CommandRequest},
        session::{Outcome, SessionState},
    },
};

#[tokio::test]
async fn a_plan_is_read_as_it_was_kept() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1_500).await;
    let mut wanted = admission("plan", &members[2..]);
    wanted.skips = vec![Skip { reason: Reason::bare(ReasonCode::Locked), components: vec![members[0].0] }];
    let mut expected = wanted.plan.clone();
    let skips = wanted.skips.clone();
    let Admitted::Session(session) = db::admission::admit(&db.pool, wanted).await.unwrap() else {
        panic!("not admitted")
    };
    let loaded = db::plan::load(&mut conn, &session).await.unwrap();
    for (slice, loaded) in expected.slices.iter_mut().zip(&loaded.slices) {
        slice.artifacts.as_mut().unwrap().id = loaded.artifacts.as_ref().unwrap().id;
    }
    assert_ne!(loaded.slices[0].artifacts, loaded.slices[1].artifacts);
    assert_eq!(loaded, expected);
    assert_eq!(db::session_component_batch::skips(&mut conn, &session).await.unwrap(), skips);
    let shown = db::session::get_by_id(&mut conn, &session).await.unwrap();
    assert_eq!((shown.state, shown.members, shown.skipped_at_admission), (SessionState::Running, 1_499, 1));
    let steps = db::step::list(&mut conn, &session).await.unwrap();
    assert_eq!(steps[0].counters.not_reached + steps[3].counters.not_reached, 1_498);
    let uan = db::component::get(&mut conn, &members[9].1).await.unwrap();
    assert_eq!(uan.desired.configuration.as_deref(), Some("configuration of uan"));
    assert_eq!(uan.desired.artifacts.unwrap().kernel, "s3://boot-images/b/kernel");
    assert_eq!((uan.enabled, uan.session.as_deref()), (Some(true), Some("plan")));
}

#[tokio::test]
async fn a_plan_of_another_version_is_not_guessed() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let session = admit(&db.pool, "old", &members).await;
    sqlx::query("update step set verb_version = 99 where step_no = 1").execute(&mut *conn).await.unwrap();
    let refused = db::plan::load(&mut conn, &session).await.unwrap_err();
    assert!(matches!(refused, DbError::Unknown { .. }), "{refused}");
}

#[tokio::test]
async fn what_another_session_holds_is_refused_as_a_whole() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 4).await;
    admit(&db.pool, "first", &members[1..3]).await;
    let before = everything(&mut conn).await;
    let refused = db::admission::admit(&db.pool, admission("second", &members)).await.unwrap();
    let Admitted::Claimed(holders) = refused else { panic!("admitted") };
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].session, "first");
    assert_eq!(holders[0].components, [members[1].0, members[2].0]);
    assert_eq!(everything(&mut conn).await, before, "nothing is left of it");

    let taken = db::admission::admit(&db.pool, admission("first", &members[..1])).await.unwrap_err();
    assert_eq!(taken.to_string(), "Session 'first' already exists");
    assert_eq!(everything(&mut conn).await, before);
}

#[tokio::test]
async fn of_two_that_overlap_one_is_admitted() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 300).await;
    for round in 0..10 {
        let left = db::admission::admit(&db.pool, admission(&format!("left-{round}"), &members[..200]));
        let right = db::admission::admit(&db.pool, admission(&format!("right-{round}"), &members[100..]));
        let (left, right) = tokio::join!(left, right);
        let (left, right) = (left.unwrap(), right.unwrap());
        let (winner, holders) = match (left, right) {
            (Admitted::Session(id), Admitted::Claimed(holders)) => (id, holders),
            (Admitted::Claimed(holders), Admitted::Session(id)) => (id, holders),
            both => panic!("{both:?}"),
        };
        let name = db::session::get_by_id(&mut conn, &winner).await.unwrap().new.name;
        assert_eq!((holders[0].session.as_str(), holders[0].components.len()), (name.as_str(), 100));
        let claimed: i64 =
            sqlx::query_scalar("select count(*) from claims").fetch_one(&mut *conn).await.unwrap();
        assert_eq!(claimed, 200);
        sqlx::query("update component_progress set claimed_by = null").execute(&mut *conn).await.unwrap();
    }
}

#[tokio::test]
async fn a_waiting_session_is_admitted_once_or_rejected() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 2).await;
    let id = db::session::insert_waiting(&mut conn, &new_session("later")).await.unwrap();
    let other = db::session::insert_waiting(&mut conn, &new_session("never")).await.unwrap();
    assert_eq!(db::session::waiting(&mut conn).await.unwrap(), [id, other]);
    let again = db::session::insert_waiting(&mut conn, &new_session("later")).await.unwrap_err();
    assert!(matches!(again, DbError::Conflict { .. }));

    let later = Admission { waiting: Some(id), ..admission("later", &members) };
    assert_eq!(db::admission::admit(&db.pool, later.clone()).await.unwrap(), Admitted::Session(id));
    let twice = db::admission::admit(&db.pool, later).await.unwrap_err();
    assert!(matches!(twice, DbError::Conflict { .. }), "{twice}");

    assert!(db::session::reject(&mut conn, &other, "no nodes").await.unwrap());
    assert!(!db::session::reject(&mut conn, &id, "too late").await.unwrap());
    let rejected = db::session::get(&mut conn, "", "never").await.unwrap();
    assert_eq!(rejected.outcome, Some(Outcome::Rejected));
    assert_eq!(rejected.error.as_deref(), Some("no nodes"));
    assert_eq!(db::session::delete(&mut conn, &[other]).await.unwrap(), 1);
    assert!(matches!(db::session::get(&mut conn, "", "never").await, Err(DbError::NotFound { .. })));
    db::session::insert_waiting(&mut conn, &new_session("never")).await.unwrap();
}

#[tokio::test]
async fn an_ended_session_goes_on_with_what_failed_if_it_is_free() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let session = admit(&db.pool, "again", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let update = SessionUpdate {
        state: SessionState::Ended,
        reason: None,
        outcome: Some(Outcome::Failed),
        succeeded: 0,
        failed: 3,
        skipped: 0,
        retry_command: None,
    };
    let failed = ProgressUpdate { change: ProgressChange::Failed { error: 1 }, components: ids.clone() };
    let end = Checkpoint {
        errors: vec![ErrorText { id: 1, code: ReasonCode::BootTimeout, text: String::new() }],
        progress: vec![failed],
        session: Some(update),
        ..checkpoint(2)
    };
    db::checkpoint::save(&mut conn, &lease, &end).await.unwrap();
    db::lease::release(&mut conn, &lease).await.unwrap();

    admit(&db.pool, "other", &members[2..]).await;
    let retry = CommandRequest { components: ids.clone(), ..CommandRequest::plain(CommandKind::Retry) };
    let before = everything(&mut conn).await;
    let refused =
        db::admission::readmit_failed(&db.pool, session, ids.clone(), retry.clone(), "me".to_owned(), None)
            .await
            .unwrap();
    assert!(matches!(refused, Admitted::Claimed(holders) if holders[0].session == "other"));
    assert_eq!(everything(&mut conn).await, before);

    let two = ids[..2].to_vec();
    let admitted =
        db::admission::readmit_failed(&db.pool, session, two, retry, "me".to_owned(), None).await.unwrap();
    assert_eq!(admitted, Admitted::Session(session));
    let shown = db::session::get_by_id(&mut conn, &session).await.unwrap();
    assert_eq!((shown.state, shown.outcome, shown.ended_at), (SessionState::Running, None, None));
    assert_eq!(db::command::pending(&mut conn, &session).await.unwrap().len(), 1);
    let component = db::component::get(&mut conn, &members[0].1).await.unwrap();
    assert_eq!((component.claimed_by, component.enabled), (Some(session), Some(true)));
    assert_eq!(component.error.as_deref(), Some(""));
    assert_eq!(take(&mut conn, &session, "b").await.takeover(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_that_race_never_share_a_component() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 600).await;
    let race = (0..50_usize).map(|n| {
        let at = n * 37 % 500;
        let mut wanted = admission(&format!("racer-{n}"), &members[at..at + 100]);
        // Some are refused, some take over what others hold.
        wanted.on_conflict = if n % 5 == 0 { OnConflict::Preempt } else { OnConflict::Reject };
        let pool = db.pool.clone();
        tokio::spawn(async move { db::admission::admit(&pool, wanted).await.unwrap() })
    });
    let mut admitted = 0;
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Admitted::Session(_) | Admitted::TakingOver(..) => admitted += 1,
            Admitted::Claimed(holders) => assert!(!holders.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    assert!(admitted >= 10, "whoever takes over is admitted");
    // Everybody who was admitted is to get each of its components, from its holder or because it holds it; one holder each.
    let strays: i64 = sqlx::query_scalar(
        "select count(*) from component_progress p
          where p.claimed_by is not null
            and not exists (select from session_component_batch b join session s on s.session_id = b.session_id
                             where b.session_id = p.claimed_by and s.state = 'running'
                               and p.component_id = any (b.component_ids))
             or p.wanted_by is not null and p.claimed_by is null",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(strays, 0, "who is held, is held by a session that it is a member of");
    // Without taking over nobody who was refused left a trace, and no two of those who were not share anybody.
    let shared: i64 = sqlx::query_scalar(
        "select count(*) from (
           select u.component_id from session_component_batch b join session s on s.session_id = b.session_id
            cross join lateral unnest(b.component_ids) u(component_id)
            where substr(s.name, 7)::int % 5 <> 0
            group by u.component_id having count(*) > 1) twice",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(shared, 0);
}
