//! A claim goes from one session to another in one statement, whoever is asked first (law 9).

use super::*;

use bosun::{
    db::{
        DbError,
        component::{ComponentPatch, Patching},
    },
    model::{
        checkpoint::{ProgressChange, ProgressUpdate, SessionUpdate},
        command::CommandKind,
        session::SessionState,
    },
};

async fn ask(pool: &Pool, on_conflict: OnConflict, name: &str, members: &[(i32, String)]) -> Admitted {
    let wanted = Admission { on_conflict, ..admission(name, members) };
    db::admission::admit(pool, wanted).await.unwrap()
}

async fn take_over(pool: &Pool, name: &str, members: &[(i32, String)]) -> SessionId {
    match ask(pool, OnConflict::Preempt, name, members).await {
        Admitted::TakingOver(id, _) => id,
        other => panic!("{other:?}"),
    }
}

fn ids(members: &[(i32, String)]) -> Vec<i32> {
    members.iter().map(|(id, _)| *id).collect()
}

/// Leaves components out of a session.
fn leave_out(seq: i64, components: &[i32]) -> Checkpoint {
    let skipped =
        ProgressUpdate { change: ProgressChange::Skipped { error: 1 }, components: components.to_vec() };
    Checkpoint {
        errors: vec![ErrorText { id: 1, code: ReasonCode::TakenOver, text: "by another".to_owned() }],
        progress: vec![skipped],
        ..checkpoint(seq)
    }
}

/// Who holds and who wants each, by component.
async fn claims(conn: &mut Connection, components: &[i32]) -> Vec<(Option<SessionId>, Option<SessionId>)> {
    let rows = db::component_progress::last_power(conn, components).await.unwrap();
    rows.iter().map(|row| (row.claimed_by, row.wanted_by)).collect()
}

async fn set_state(conn: &mut Connection, lease: &Lease, seq: i64, state: SessionState) {
    let update = SessionUpdate {
        state,
        reason: None,
        outcome: None,
        succeeded: 0,
        failed: 0,
        skipped: 0,
        retry_command: None,
    };
    let said = Checkpoint { session: Some(update), ..checkpoint(seq) };
    db::checkpoint::save(conn, lease, &said).await.unwrap();
}

#[tokio::test]
async fn what_is_free_is_claimed_and_the_rest_is_given() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 6).await;
    let all = ids(&members);
    let old = admit(&db.pool, "old", &members[..4]).await;
    let lease = take(&mut conn, &old, "a").await;
    let asked = ask(&db.pool, OnConflict::Preempt, "new", &members[1..]).await;
    let Admitted::TakingOver(new, holders) = asked else { panic!("{asked:?}") };
    assert_eq!((holders[0].session.as_str(), &holders[0].components[..]), ("old", &all[1..4]));
    let (o, n) = (Some(old), Some(new));
    let wanted = (o, n);
    assert_eq!(claims(&mut conn, &all).await, [(o, None), wanted, wanted, wanted, (n, None), (n, None)]);
    let first = &db::event::list_after(&mut conn, &new, 0, 1).await.unwrap()[0];
    assert_eq!(first.data["takes_over"], serde_json::json!({"old": 3}));
    // Both sides can be asked what is on its way.
    for session in [&old, &new] {
        let shown = db::hand_over::list(&mut conn, session).await.unwrap();
        assert_eq!((shown[0].holder.as_str(), shown[0].wanter.as_str()), ("old", "new"));
        assert_eq!(shown[0].xnames.len(), 3);
    }

    let asked = db::hand_over::open(&mut conn, &old).await.unwrap();
    assert_eq!(asked.len(), 1);
    // Given by being left out, by failing, by being through: the wanter has each at once.
    let end = Checkpoint {
        progress: vec![
            ProgressUpdate { change: ProgressChange::Skipped { error: 1 }, components: vec![all[1]] },
            ProgressUpdate { change: ProgressChange::Failed { error: 1 }, components: vec![all[2]] },
            ProgressUpdate { change: ProgressChange::Succeeded, components: vec![all[0], all[3]] },
        ],
        ..leave_out(2, &[])
    };
    db::checkpoint::save(&mut conn, &lease, &end).await.unwrap();
    let given = (n, None);
    assert_eq!(claims(&mut conn, &all).await, [(None, None), given, given, given, given, given]);
    for (_, xname) in &members[1..4] {
        let shown = db::component::get(&mut conn, xname).await.unwrap();
        assert_eq!((shown.enabled, shown.session.as_deref()), (Some(true), Some("new")), "{xname}");
    }
    let free = db::component::get(&mut conn, &members[0].1).await.unwrap();
    assert_eq!((free.enabled, free.session.as_deref()), (Some(false), Some("old")));
    let counts = db::session::counts(&mut conn, &new).await.unwrap();
    assert_eq!((counts.components, counts.resting, counts.failed), (5, 5, 0), "{counts:?}");

    db::hand_over::close(&mut conn, &lease, &asked).await.unwrap();
    assert!(db::hand_over::open(&mut conn, &old).await.unwrap().is_empty());
    assert!(db::hand_over::list(&mut conn, &new).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_third_session_gets_what_the_second_still_waits_for() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 2).await;
    let all = ids(&members);
    let first = admit(&db.pool, "first", &members).await;
    let second = take_over(&db.pool, "second", &members).await;
    let third = take_over(&db.pool, "third", &members[..1]).await;
    let (f, s, t) = (Some(first), Some(second), Some(third));
    assert_eq!(claims(&mut conn, &all).await, [(f, t), (f, s)]);
    // The second leaves both out: it wants nothing any more, and the third is not disturbed.
    let lease = take(&mut conn, &second, "b").await;
    db::checkpoint::save(&mut conn, &lease, &leave_out(2, &all)).await.unwrap();
    assert_eq!(claims(&mut conn, &all).await, [(f, t), (f, None)]);
    let lease = take(&mut conn, &first, "a").await;
    db::checkpoint::save(&mut conn, &lease, &leave_out(2, &all)).await.unwrap();
    assert_eq!(claims(&mut conn, &all).await, [(t, None), (None, None)]);
}

/// The wanter withdraws in the same moment in which the holder gives: whichever comes first, nobody holds it in the end.
#[tokio::test]
async fn giving_and_no_longer_wanting_may_meet() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let mut other = super::conn(&db.pool).await;
    let members = components(&mut conn, 200).await;
    for round in 0..20 {
        let old = admit(&db.pool, &format!("old-{round}"), &members).await;
        let new = take_over(&db.pool, &format!("new-{round}"), &members).await;
        let (gives, wants) = (take(&mut conn, &old, "a").await, take(&mut conn, &new, "b").await);
        let (given, withdrawn) = (leave_out(2, &ids(&members)), leave_out(2, &ids(&members)));
        let (one, two) = tokio::join!(
            db::checkpoint::save(&mut conn, &gives, &given),
            db::checkpoint::save(&mut other, &wants, &withdrawn),
        );
        one.unwrap();
        two.unwrap();
        let held = claims(&mut conn, &ids(&members)).await;
        assert!(held.iter().all(|claim| *claim == (None, None)), "round {round}: {held:?}");
    }
}

#[tokio::test]
async fn a_session_without_a_worker_gets_one_to_give() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let old = admit(&db.pool, "old", &members).await;
    let lease = take(&mut conn, &old, "a").await;
    set_state(&mut conn, &lease, 2, SessionState::Paused).await;
    db::lease::release(&mut conn, &lease).await.unwrap();
    let needed = async |conn: &mut Connection| {
        let needed = db::session::need_worker(conn).await.unwrap();
        needed.into_iter().map(|needed| (needed.name, needed.hands_over)).collect::<Vec<_>>()
    };
    assert_eq!(needed(&mut conn).await, []);
    let refused = db::lease::take(&mut conn, &old, "b", TTL).await.unwrap();
    assert_eq!(refused, Taken::NotNeeded(SessionState::Paused));

    take_over(&db.pool, "new", &members).await;
    assert_eq!(needed(&mut conn).await, [("old".to_owned(), true), ("new".to_owned(), false)]);
    let lease = take(&mut conn, &old, "b").await;
    db::checkpoint::save(&mut conn, &lease, &leave_out(3, &ids(&members))).await.unwrap();
    let asked = db::hand_over::open(&mut conn, &old).await.unwrap();
    db::hand_over::close(&mut conn, &lease, &asked).await.unwrap();
    db::lease::release(&mut conn, &lease).await.unwrap();
    assert_eq!(needed(&mut conn).await, [("new".to_owned(), false)]);
}

#[tokio::test]
async fn a_parked_session_is_not_asked_again_until_somebody_does() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let old = admit(&db.pool, "old", &members).await;
    take_over(&db.pool, "new", &members).await;
    assert!(db::session::park(&mut conn, &old, "its workers died").await.unwrap());
    let needed = db::session::need_worker(&mut conn).await.unwrap();
    assert_eq!(needed.iter().map(|needed| needed.name.as_str()).collect::<Vec<_>>(), ["new"]);
    take_over(&db.pool, "newer", &members).await;
    let needed = db::session::need_worker(&mut conn).await.unwrap();
    assert_eq!((needed[0].name.as_str(), needed[0].hands_over), ("old", true));
    // Only the writer closes what it was asked.
    let stale = take(&mut conn, &old, "a").await;
    db::lease::expire(&mut conn, &old, stale.epoch()).await.unwrap();
    take(&mut conn, &old, "b").await;
    let asked = db::hand_over::open(&mut conn, &old).await.unwrap();
    db::hand_over::close(&mut conn, &stale, &asked).await.unwrap();
    assert_eq!(db::hand_over::open(&mut conn, &old).await.unwrap(), asked);
}

#[tokio::test]
async fn those_that_wait_hold_nothing_and_keep_their_turn() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 5).await;
    let all = ids(&members);
    let old = admit(&db.pool, "old", &members[..1]).await;
    let asked = ask(&db.pool, OnConflict::Wait, "patient", &members[..3]).await;
    let Admitted::Waiting(patient, holders) = asked else { panic!("{asked:?}") };
    assert_eq!((holders[0].session.as_str(), holders[0].waits), ("old", false));
    let shown = db::session::get_by_id(&mut conn, &patient).await.unwrap();
    assert_eq!((shown.state, shown.reason.as_deref()), (SessionState::Waiting, Some("waits for 'old'")));
    assert_eq!(claims(&mut conn, &all[1..]).await, [(None, None); 4]);
    // Who comes later does not take what it waits for, whatever is free of it.
    let late = ask(&db.pool, OnConflict::Reject, "late", &members[2..4]).await;
    let Admitted::Claimed(holders) = late else { panic!("{late:?}") };
    assert_eq!((holders[0].session.as_str(), holders[0].waits), ("patient", true));
    assert_eq!(holders[0].components, [all[2]]);
    let behind = ask(&db.pool, OnConflict::Wait, "behind", &members[2..4]).await;
    let Admitted::Waiting(behind, _) = behind else { panic!("{behind:?}") };
    // Others pass.
    admit(&db.pool, "beside", &members[4..]).await;

    let lease = take(&mut conn, &old, "a").await;
    db::checkpoint::save(&mut conn, &lease, &leave_out(2, &all[..1])).await.unwrap();
    let waits = async |conn: &mut Connection, session| {
        let holders = db::admission::waits_for(conn, session).await.unwrap();
        holders.into_iter().map(|holder| holder.session).collect::<Vec<_>>()
    };
    assert_eq!(waits(&mut conn, &patient).await, Vec::<String>::new());
    assert_eq!(waits(&mut conn, &behind).await, ["patient"]);
    let now = Admission {
        waiting: Some(patient),
        on_conflict: OnConflict::Wait,
        ..admission("patient", &members[..3])
    };
    assert_eq!(db::admission::admit(&db.pool, now).await.unwrap(), Admitted::Session(patient));
    assert_eq!(waits(&mut conn, &behind).await, ["patient"]);
    // A newer one that takes over does not wait for those that wait.
    let newest = take_over(&db.pool, "newest", &members[2..4]).await;
    assert_eq!(claims(&mut conn, &all[2..3]).await, [(Some(patient), Some(newest))]);
}

/// Who is disabled while one session gives it to another is left out by both, whichever has it then.
#[tokio::test]
async fn who_is_disabled_on_the_way_is_told_to_both() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let all = ids(&members);
    let old = admit(&db.pool, "old", &members).await;
    let new = take_over(&db.pool, "new", &members[..2]).await;
    let off = ComponentPatch { enabled: Some(false), ..Default::default() };
    let patches = members[1..].iter().map(|(_, xname)| (xname.clone(), off.clone())).collect();
    let how = Patching::Merge { skip_unknown: false };
    db::component::patch(&db.pool, patches, how, Some("somebody")).await.unwrap();
    for (session, asked) in [(&old, &all[1..]), (&new, &all[1..2])] {
        let told = db::command::pending(&mut conn, session).await.unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].request.kind, told[0].actor.as_str()), (CommandKind::Disable, "somebody"));
        assert_eq!(told[0].request.components, asked);
    }
    let policy = ComponentPatch { retry_policy: Some(7), ..Default::default() };
    db::component::patch(&db.pool, vec![(members[0].1.clone(), policy)], how, Some("somebody"))
        .await
        .unwrap();
    for session in [&old, &new] {
        let told = db::command::pending(&mut conn, session).await.unwrap();
        assert_eq!(told[1].request.kind, CommandKind::RetryPolicy);
    }
}

/// 50 at once over the same components, in every manner: each component has one holder, and everybody who was admitted has
/// or gets all of its own.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_that_race_never_give_a_component_two_holders() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 120).await;
    let manners = [OnConflict::Reject, OnConflict::Wait, OnConflict::Preempt];
    let mut races = tokio::task::JoinSet::new();
    for n in 0..50_usize {
        let (pool, own) = (db.pool.clone(), members[n..n + 60].to_vec());
        let on_conflict = manners[n % 3];
        races.spawn(async move { (n, ask(&pool, on_conflict, &format!("racer-{n}"), &own).await) });
    }
    // Those that were admitted give while others still ask.
    let mut admitted = 0;
    while let Some(ran) = races.join_next().await {
        let (n, answer) = ran.unwrap();
        let (Admitted::Session(id) | Admitted::TakingOver(id, _)) = answer else { continue };
        admitted += 1;
        let lease = take(&mut conn, &id, "a").await;
        let half = ids(&members[n..n + 30]);
        let mut tries = 0;
        while let Err(error) = db::checkpoint::save(&mut conn, &lease, &leave_out(2, &half)).await {
            assert!(error.is_transient() && tries < 10, "{error}");
            tries += 1;
        }
    }
    assert!(admitted > 10, "{admitted}");
    let torn: i64 = sqlx::query_scalar(
        "select count(*) from component_progress p
          where p.claimed_by is not null and not exists (
                  select from session s join session_component_batch b using (session_id)
                   where s.session_id = p.claimed_by and s.state = 'running' and p.component_id = any (b.component_ids))
             or p.wanted_by is not null and not exists (
                  select from session s join session_component_batch b using (session_id)
                   where s.session_id = p.wanted_by and s.state = 'running' and p.component_id = any (b.component_ids))",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(torn, 0, "held or wanted by somebody whose they are not");
    let whole: i64 = sqlx::query_scalar(
        "select count(*) from session s where s.state in ('waiting', 'ended')
            and exists (select from component_progress p where p.claimed_by = s.session_id or p.wanted_by = s.session_id)",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(whole, 0, "one that waits holds nothing");
    // And the table does not let anything else be written.
    for torn in ["wanted_by = 7", "claimed_by = 7, wanted_by = 7"] {
        let written = format!("update component_progress set claimed_by = null, {torn}")
            .replace("claimed_by = null, claimed_by", "claimed_by");
        let refused = sqlx::query(sqlx::AssertSqlSafe(written)).execute(&mut *conn).await.unwrap_err();
        assert!(refused.to_string().contains("component_progress_wanted"), "{refused}");
    }
    // One that takes over is always admitted, so its name is taken.
    let gone = Admission { on_conflict: OnConflict::Preempt, ..admission("racer-2", &members) };
    assert!(matches!(db::admission::admit(&db.pool, gone).await, Err(DbError::Conflict { .. })));
}
