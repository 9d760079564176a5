//! Steps of a site's own: webhooks that are called and asked, and jobs.

mod example;
mod http;
mod job;
mod slurm;

use bosun::{db, engine::Exit, model::session::SessionId};

use crate::support::app::{App, Wish};

/// A shutdown with `steps` before the power goes off; the last of them is called `last`.
fn workflow(steps: &str) -> Wish {
    let text = format!(
        "
steps:
  - {{name: inspect, verb: inspect, goal: shutdown}}
{steps}
  - {{name: power_off, verb: power_off, needs: [last], when: [powers_off]}}
"
    );
    Wish { workflow: Some(text), ..Wish::default() }
}

async fn run(app: &App, name: &str, wish: &Wish) -> SessionId {
    let session = app.admit_as("careful", name, wish).await;
    assert_eq!(app.drive(session, "worker").await.unwrap(), Exit::Done);
    session
}

/// Step, xname, reason and words of everybody who failed.
async fn failures(app: &App, session: SessionId) -> Vec<(String, String, String, String)> {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    sqlx::query_as(
        "select step, xname, reason, coalesce(error, '') from failed_components where session_id = $1 order by xname",
    )
    .bind(session.0)
    .fetch_all(&mut *connection)
    .await
    .unwrap()
}

/// Whom the machine was told to switch off.
fn switched_off(app: &App) -> usize {
    app.machine.power_log().len()
}
