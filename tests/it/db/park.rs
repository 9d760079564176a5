//! Parked sessions, signs of life, options, templates.

use super::*;

use bosun::{
    db::lease,
    model::{
        command::{CommandKind, CommandRequest},
        session::SessionState,
    },
};

#[tokio::test]
async fn only_sessions_without_a_worker_are_parked_and_their_commands_are_answered() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 3).await;
    let alive = admit(&db.pool, "alive", &members[..1]).await;
    let dead = admit(&db.pool, "dead", &members[1..2]).await;
    let fresh = admit(&db.pool, "fresh", &members[2..]).await;
    take(&mut conn, &alive, "a").await;
    let zombie = take(&mut conn, &dead, "b").await;
    lease::expire(&mut conn, &dead, zombie.epoch()).await.unwrap();
    let cancel = CommandRequest::plain(CommandKind::Cancel);
    let command = db::command::insert(&mut conn, &dead, &cancel, "me").await.unwrap();

    db::service_life::touch(&mut conn).await.unwrap();
    db::service_life::park(&mut conn).await.unwrap();
    let life = db::service_life::get(&mut conn).await.unwrap();
    assert!(life.at.is_some() && life.parked_at.is_some());
    assert_eq!(db::session::park_all_running(&mut conn, "the service was away").await.unwrap(), 2);
    let state =
        async |conn: &mut Connection, id: &SessionId| db::session::get_by_id(conn, id).await.unwrap().state;
    assert_eq!(state(&mut conn, &alive).await, SessionState::Running);
    assert_eq!(state(&mut conn, &dead).await, SessionState::Stuck);
    assert_eq!(state(&mut conn, &fresh).await, SessionState::Stuck);
    assert!(!db::session::park(&mut conn, &alive, "no").await.unwrap());
    let answer = db::command::get(&mut conn, command).await.unwrap().answer.unwrap();
    assert_eq!(answer, "not obeyed, ask again: the service was away");
    let last = db::event::list_after(&mut conn, &dead, 1, 10).await.unwrap();
    assert_eq!((last[0].kind, last[0].epoch), (EventKind::StateChanged, zombie.epoch() + 1));
    let saved = db::checkpoint::save(&mut conn, &zombie, &checkpoint(3)).await.unwrap();
    assert_eq!(saved, db::checkpoint::Saved::LeaseLost, "parking fences off who was merely slow");
    assert_eq!(db::session::need_worker(&mut conn).await.unwrap(), []);

    assert_eq!(db::session::resume_all(&mut conn, "me").await.unwrap(), 2);
    assert_eq!(db::service_life::get(&mut conn).await.unwrap().parked_at, None);
    let needed = db::session::need_worker(&mut conn).await.unwrap();
    assert_eq!(needed.iter().map(|n| n.session).collect::<Vec<_>>(), [dead, fresh]);
}

#[tokio::test]
async fn options_have_defaults_and_keep_what_is_set() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    assert_eq!(db::options::get(&mut conn).await.unwrap(), Default::default());
    let set = serde_json::json!({"max_boot_wait_time": 7, "of_the_future": true});
    assert_eq!(db::options::patch(&mut conn, &set).await.unwrap().max_boot_wait_time, 7);
    assert_eq!(db::options::get(&mut conn).await.unwrap().max_boot_wait_time, 7);
}

#[tokio::test]
async fn a_template_changes_its_version_and_an_equal_one_does_not() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let name = "all".parse().unwrap();
    let first = db::session_template::put(&mut conn, "", &name, &template()).await.unwrap();
    let mut other = template();
    other.description = Some("new".to_owned());
    assert_ne!(db::session_template::put(&mut conn, "", &name, &other).await.unwrap(), first);
    let kept = db::session_template::get(&mut conn, "", "all").await.unwrap();
    assert_eq!(kept.content, other);
    assert_eq!(db::session_template::put(&mut conn, "", &name, &template()).await.unwrap(), first);
    db::session_template::put(&mut conn, "t", &name, &template()).await.unwrap();
    assert_eq!(db::session_template::list(&mut conn, None).await.unwrap().len(), 2);
    db::session_template::delete(&mut conn, "", "all").await.unwrap();
    assert_eq!(db::session_template::list(&mut conn, Some("")).await.unwrap(), []);
    assert!(db::session_template::delete(&mut conn, "", "all").await.is_err());
}

#[tokio::test]
async fn readers_read_the_views_and_nothing_else() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 2).await;
    admit(&db.pool, "read", &members).await;
    sqlx::query("set role bosun_reader").execute(&mut *conn).await.unwrap();
    let views = [
        "session_progress",
        "step_progress",
        "step_result",
        "step_history",
        "failed_components",
        "component_history",
        "effects",
        "claims",
        "stuck_sessions",
        "timeline",
    ];
    for view in views {
        let text = format!("select * from {view} limit 1");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *conn).await.unwrap();
    }
    let denied = sqlx::query("select * from session").execute(&mut *conn).await.unwrap_err();
    assert_eq!(denied.as_database_error().unwrap().code().unwrap(), "42501");
    sqlx::query("reset role").execute(&mut *conn).await.unwrap();
}
