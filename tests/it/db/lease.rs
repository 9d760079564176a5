//! Who may write a session.

use super::*;

use bosun::{
    db::{checkpoint::Saved, lease},
    model::{
        checkpoint::SessionUpdate,
        command::{CommandKind, CommandRequest},
        session::SessionState,
    },
};

#[tokio::test]
async fn a_lease_is_held_by_one_and_taken_over_from_the_dead() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "one", &members).await;

    let first = take(&mut conn, &session, "a").await;
    assert_eq!((first.epoch(), first.takeover()), (1, None));
    let refused = lease::take(&mut conn, &session, "b", TTL).await.unwrap();
    assert!(matches!(refused, Taken::HeldUntil(until) if until > first.at()), "{refused:?}");

    lease::release(&mut conn, &first).await.unwrap();
    let second = take(&mut conn, &session, "b").await;
    assert_eq!((second.epoch(), second.takeover()), (2, None), "it had been given back");

    lease::expire(&mut conn, &session, 1).await.unwrap();
    assert!(lease::get(&mut conn, &session).await.unwrap().unwrap().alive, "only that epoch expires");
    lease::expire(&mut conn, &session, 2).await.unwrap();
    assert_eq!(
        lease::heartbeat(&mut conn, &second).await.unwrap(),
        None,
        "an expired lease is never revived"
    );
    let third = take(&mut conn, &session, "c").await;
    assert_eq!((third.epoch(), third.takeover()), (3, Some(2)));
    assert_eq!(lease::heartbeat(&mut conn, &second).await.unwrap(), None);
    let beat = lease::heartbeat(&mut conn, &third).await.unwrap().unwrap();
    assert!(beat.valid_until > beat.at && !beat.commands_waiting);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_free_and_not_revived() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let session = admit(&db.pool, "short", &members).await;
    let Taken::Lease(short) = lease::take(&mut conn, &session, "a", Duration::ZERO).await.unwrap() else {
        panic!("no lease")
    };
    assert_eq!(lease::heartbeat(&mut conn, &short).await.unwrap(), None);
    assert_eq!(take(&mut conn, &session, "b").await.takeover(), Some(1));
}

#[tokio::test]
async fn a_zombie_writes_nothing() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "zombie", &members).await;
    let zombie = take(&mut conn, &session, "a").await;
    lease::expire(&mut conn, &session, zombie.epoch()).await.unwrap();
    take(&mut conn, &session, "b").await;

    let before = everything(&mut conn).await;
    let saved = db::checkpoint::save(&mut conn, &zombie, &super::checkpoint::full(&members)).await.unwrap();
    assert_eq!(saved, Saved::LeaseLost);
    assert_eq!(everything(&mut conn).await, before);
}

#[tokio::test]
async fn a_zombie_waits_for_an_open_take_over_and_then_writes_nothing() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "zombie", &members).await;
    let zombie = take(&mut conn, &session, "a").await;
    let before = everything(&mut conn).await;

    let mut successor = db.pool.begin().await.unwrap();
    lease::expire(&mut successor, &session, zombie.epoch()).await.unwrap();
    take(&mut successor, &session, "b").await;
    let mut writer = db::open(&db.url, "zombie").await.unwrap();
    let full = super::checkpoint::full(&members);
    let writing = tokio::spawn(async move { db::checkpoint::save(&mut writer, &zombie, &full).await });
    let blocked = "select count(*) from pg_stat_activity
                    where application_name = 'zombie' and cardinality(pg_blocking_pids(pid)) > 0";
    while sqlx::query_scalar::<_, i64>(blocked).fetch_one(&mut *conn).await.unwrap() == 0 {
        assert!(!writing.is_finished(), "it must wait for the take-over");
        tokio::task::yield_now().await;
    }
    successor.commit().await.unwrap();
    assert_eq!(writing.await.unwrap().unwrap(), Saved::LeaseLost);
    assert_eq!(everything(&mut conn).await, before);
}

#[tokio::test]
async fn a_heartbeat_passes_an_open_checkpoint_and_a_take_over_does_not() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let session = admit(&db.pool, "beat", &members).await;
    let lease = take(&mut conn, &session, "a").await;

    let mut open = db.pool.begin().await.unwrap();
    let saved = db::checkpoint::save(&mut open, &lease, &super::checkpoint::full(&members)).await.unwrap();
    assert!(matches!(saved, Saved::Written { .. }));
    sqlx::query("set lock_timeout = '300ms'").execute(&mut *conn).await.unwrap();
    assert!(lease::heartbeat(&mut conn, &lease).await.unwrap().is_some());
    lease::expire(&mut conn, &session, lease.epoch()).await.unwrap();
    let refused = lease::take(&mut conn, &session, "b", TTL).await.unwrap_err();
    assert!(refused.is_transient(), "it waits for the checkpoint: {refused}");
    open.commit().await.unwrap();
    assert_eq!(take(&mut conn, &session, "b").await.epoch(), 2);
}

#[tokio::test]
async fn only_a_session_with_something_to_do_gets_a_worker() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let session = admit(&db.pool, "paused", &members).await;
    let lease = take(&mut conn, &session, "a").await;
    let mut paused = checkpoint(2);
    paused.session = Some(SessionUpdate {
        state: SessionState::Paused,
        reason: None,
        outcome: None,
        succeeded: 0,
        failed: 0,
        skipped: 0,
        retry_command: None,
    });
    db::checkpoint::save(&mut conn, &lease, &paused).await.unwrap();
    lease::release(&mut conn, &lease).await.unwrap();
    assert_eq!(
        lease::take(&mut conn, &session, "b", TTL).await.unwrap(),
        Taken::NotNeeded(SessionState::Paused)
    );
    assert_eq!(db::session::need_worker(&mut conn).await.unwrap(), []);

    let resume = CommandRequest::plain(CommandKind::Resume);
    let command = db::command::insert(&mut conn, &session, &resume, "me").await.unwrap();
    assert_eq!(db::session::need_worker(&mut conn).await.unwrap().len(), 1);
    let lease = take(&mut conn, &session, "b").await;
    assert!(lease::heartbeat(&mut conn, &lease).await.unwrap().unwrap().commands_waiting);
    let pending = db::command::pending(&mut conn, &session).await.unwrap();
    assert_eq!((pending[0].id, &pending[0].request), (command, &resume));

    let obeyed = Checkpoint { commands: vec![(command, "done".to_owned())], ..checkpoint(3) };
    db::checkpoint::save(&mut conn, &lease, &obeyed).await.unwrap();
    assert!(!lease::heartbeat(&mut conn, &lease).await.unwrap().unwrap().commands_waiting);
    let row = db::command::get(&mut conn, command).await.unwrap();
    assert_eq!(row.answer.as_deref(), Some("done"));
}

#[tokio::test]
async fn deaths_without_results_spend_the_budget_and_a_result_restores_it() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let session = admit(&db.pool, "crash", &members).await;
    sqlx::query("update session_lease set max_takeovers = 2").execute(&mut *conn).await.unwrap();
    let first = take(&mut conn, &session, "a").await;
    lease::expire(&mut conn, &session, 1).await.unwrap();
    let second = take(&mut conn, &session, "b").await;
    assert_eq!(lease::get(&mut conn, &session).await.unwrap().unwrap().takeovers, 1);

    let news = Checkpoint { results: vec![result(0, FactKind::Succeeded, &[members[0].0])], ..checkpoint(2) };
    db::checkpoint::save(&mut conn, &second, &news).await.unwrap();
    assert_eq!(lease::get(&mut conn, &session).await.unwrap().unwrap().takeovers, 0);

    for epoch in 2..=3 {
        lease::expire(&mut conn, &session, epoch).await.unwrap();
        take(&mut conn, &session, "c").await;
    }
    lease::expire(&mut conn, &session, 4).await.unwrap();
    assert_eq!(lease::take(&mut conn, &session, "d", TTL).await.unwrap(), Taken::BudgetSpent);
    assert!(db::session::need_worker(&mut conn).await.unwrap()[0].budget_spent);
    assert_eq!(lease::heartbeat(&mut conn, &first).await.unwrap(), None);
}

#[tokio::test]
async fn launches_that_were_given_up_count_once() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let session = admit(&db.pool, "launches", &members).await;
    let failed = |launch, deaths| lease::FailedLaunch {
        session,
        launch,
        workers: format!("bosun-worker-{session}-{launch}-"),
        deaths,
    };
    let takeovers =
        async |conn: &mut db::Connection| lease::get(conn, &session).await.unwrap().unwrap().takeovers;

    // They died before they had a lease. Two launchers see it; one counts it.
    assert_eq!(lease::count_failed_launches(&mut conn, &[failed(1, 3)]).await.unwrap(), 1);
    assert_eq!(lease::count_failed_launches(&mut conn, &[failed(1, 3)]).await.unwrap(), 0);
    assert_eq!(takeovers(&mut conn).await, 3);
    assert_eq!(db::session::need_worker(&mut conn).await.unwrap()[0].last_failed_launch, 1);

    // One that died with the lease is counted by the take-over that follows.
    let worker = format!("bosun-worker-{session}-2-abcde");
    take(&mut conn, &session, &worker).await;
    let dead = [worker, "another".to_owned()];
    assert_eq!(lease::expire_workers(&mut conn, &[session], &dead).await.unwrap(), [session]);
    assert_eq!(lease::expire_workers(&mut conn, &[session], &dead).await.unwrap(), []);
    lease::count_failed_launches(&mut conn, &[failed(2, 3)]).await.unwrap();
    assert_eq!(takeovers(&mut conn).await, 3);
    let next = take(&mut conn, &session, &format!("bosun-worker-{session}-3-abcde")).await;
    assert_eq!((next.takeover(), takeovers(&mut conn).await), (Some(1), 4));
    let alive = lease::expire_workers(&mut conn, &[session], &dead).await.unwrap();
    assert_eq!(alive, [], "the name of a successor is another one");
}
