//! The engine against a simulated machine: one promise a test.

use bosun::{db, engine::Exit, model::session::Outcome};

use crate::support::app::{App, fast};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_switches_everybody_off() {
    let app = App::new(fast(20)).await;
    let session = app.admit("shutdown", "down").await;
    assert_eq!(app.drive(session, "one").await.unwrap(), Exit::Done);
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let row = db::session::get_by_id(&mut connection, &session).await.unwrap();
    assert_eq!((row.outcome, row.succeeded, row.failed), (Some(Outcome::Succeeded), 20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_cycles_everybody_once() {
    let app = App::new(fast(20)).await;
    let session = app.admit("reboot", "cycle").await;
    assert_eq!(app.drive(session, "one").await.unwrap(), Exit::Done);
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let row = db::session::get_by_id(&mut connection, &session).await.unwrap();
    assert_eq!((row.outcome, row.succeeded, row.failed), (Some(Outcome::Succeeded), 20, 0));
    for (xname, edges) in app.machine.edges() {
        let powers: Vec<&str> = edges.iter().map(|edge| edge.power).collect();
        assert_eq!(powers, ["off", "on"], "{xname}");
    }
}
