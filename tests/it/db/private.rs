//! The private Postgres of `dev`, `demo` and these tests.

use bosun::db::{
    self,
    private::{PrivateError, PrivatePostgres},
};

#[tokio::test]
async fn it_survives_restarts_and_crashes_and_refuses_company() {
    let dir = std::env::temp_dir().join(format!("bosun-private-{}", std::process::id()));
    let first = PrivatePostgres::start(&dir).await.unwrap();
    let pool = db::connect(&first.url(), 1, "bosun test").await.unwrap();
    db::migrate(&pool).await.unwrap();
    let options = serde_json::json!({"max_boot_wait_time": 7});
    db::options::patch(&mut db::acquire(&pool).await.unwrap(), &options).await.unwrap();
    let refused = PrivatePostgres::start(&dir).await.unwrap_err();
    assert!(
        matches!(refused, PrivateError::InUse { pid, .. } if pid.unsigned_abs() == first.pid()),
        "{refused}"
    );
    pool.close().await;
    first.stop();

    // A dead server's lock file whose process number has come to mean somebody else: us.
    let lock = format!("{}\n", std::process::id());
    std::fs::write(dir.join("data/postmaster.pid"), lock).unwrap();
    let second = PrivatePostgres::start(&dir).await.unwrap();
    let mut conn = db::open(&second.url(), "bosun test").await.unwrap();
    assert_eq!(db::options::get(&mut conn).await.unwrap().max_boot_wait_time, 7);
    drop(second);
    assert!(!dir.join("data/postmaster.pid").exists(), "it was shut down in order");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_wrong_url_is_known_at_once() {
    let refused =
        db::connect("postgres://bosun@localhost/x?host=%2Fnowhere", 1, "bosun test").await.unwrap_err();
    assert!(matches!(refused, db::DbError::NoConnection { .. }) && refused.is_transient());
    assert!(refused.to_string().contains("check the database URL"), "{refused}");
}
