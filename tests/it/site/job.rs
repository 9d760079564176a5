//! `job` as a local command.

use std::time::Duration;

use bosun::model::session::Outcome;
use rustix::process::{Pid, test_kill_process};

use super::{failures, run, switched_off, workflow};
use crate::support::{
    app::{App, Wish, fast},
    eventually,
    process::Scratch,
    worker::{self, Launch},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn job(script: &str, more: &str) -> Wish {
    let script = script.replace('\n', "\n      ");
    workflow(&format!(
        "  - name: last
    verb: job
    needs: [inspect]
    command:
    - sh
    - -euc
    - |
      {script}
    {more}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_decides_and_the_last_words_are_the_reason() {
    let app = App::new(fast(3)).await;
    let script =
        "cat >/dev/null\nfor i in $(seq 2000); do echo noise >&2; done\necho \"no controller\" >&2\nexit 3";
    let session = run(&app, "refused", &job(script, "attempts: 2")).await;
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.failed, switched_off(&app)), (Some(Outcome::Failed), 3, 0));
    for failure in failures(&app, session).await {
        assert_eq!((failure.0.as_str(), failure.2.as_str()), ("compute/last", "job_failed"));
        assert!(failure.3.starts_with("exit code 3: noise / "), "{failure:?}");
        assert!(failure.3.ends_with(" / no controller") && failure.3.len() <= 200, "{failure:?}");
    }
    let effects = effects(&app, session).await;
    assert_eq!(effects, [("run".to_owned(), "settled".to_owned()), ("run".to_owned(), "settled".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_the_names_on_its_input_and_may_name_who_failed() {
    let app = App::new(fast(3)).await;
    let scratch = Scratch::new();
    let seen = scratch.path().join("seen");
    let xnames = app.machine.xnames();
    let script = format!(
        "cat >{0}\necho \"$BOSUN_SESSION $BOSUN_STEP $BOSUN_COMPONENTS $SITE ${{DATABASE_URL:-}}\" >>{0}\n\
         echo '{{\"failed\": {{\"{1}\": \"no fabric\"}}}}'",
        seen.display(),
        xnames[1]
    );
    let session = run(&app, "named", &job(&script, "environment: {SITE: 7}")).await;
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.succeeded, row.failed), (Some(Outcome::Partial), 2, 1));
    let failure = ["compute/last", &xnames[1], "job_failed", "no fabric"].map(str::to_owned);
    assert_eq!(failures(&app, session).await, [failure.into()]);
    let seen = std::fs::read_to_string(seen).unwrap();
    let (names, environment) = seen.trim().rsplit_once('\n').unwrap();
    let mut expected = xnames;
    expected.sort();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(
        (names, environment),
        (expected.iter().map(String::as_str).collect(), "named compute/last 3 7")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_is_killed() {
    let app = App::new(fast(1)).await;
    let session = run(&app, "slow", &job("sleep 600", "within: 300ms")).await;
    let failures = failures(&app, session).await;
    assert_eq!(failures[0].3, "it was still running after 300ms, and was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_worker_is_killed_dies_with_it_and_is_run_again() {
    let app = App::new(fast(2)).await;
    let scratch = Scratch::new();
    let first = scratch.path().join("first");
    // The first run leaves its number and hangs; with a child, which a kill of the command alone would leave behind.
    let script = format!(
        "if [ -e {0} ]; then exit 0; fi\nsleep 900 &\necho $! $$ >{0}.new\nmv {0}.new {0}\nwait",
        first.display()
    );
    let session = app.admit_as("careful", "killed", &job(&script, "")).await;
    let launch = Launch {
        name: "first",
        database_url: &app.database.url,
        services_url: &app.machine.url(),
        lease_time: Duration::from_secs(30),
    };
    let mut worker = worker::start(&app, session, &launch);
    let running = async || std::fs::read_to_string(&first).ok();
    let pids = eventually("the command to run", PATIENCE, running).await;
    worker.kill().await.unwrap();
    for pid in pids.split_whitespace() {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        eventually("its end", PATIENCE, async || test_kill_process(pid).is_err().then_some(())).await;
    }
    app.saw_death(session, "first").await;
    let mut second = worker::start(&app, session, &Launch { name: "second", ..launch });
    assert!(second.wait().await.unwrap().success());
    let row = app.session(session).await;
    assert_eq!((row.outcome, row.succeeded), (Some(Outcome::Succeeded), 2));
    assert_eq!(effects(&app, session).await.len(), 2);
}

/// Rung and state of the effects of the job, in order.
async fn effects(app: &App, session: bosun::model::session::SessionId) -> Vec<(String, String)> {
    let mut connection = bosun::db::acquire(&app.database.pool).await.unwrap();
    sqlx::query_as(
        "select rung, state from effects where session_id = $1 and verb = 'job' order by effect_no",
    )
    .bind(session.0)
    .fetch_all(&mut *connection)
    .await
    .unwrap()
}
