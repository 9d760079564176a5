//! Workers that were taken for dead and are not: they write nothing, call nothing, and go without a word.

use std::time::Duration;

use bosun::{
    db::{
        self, Connection,
        checkpoint::Saved,
        lease::{Lease, Taken},
    },
    engine::EngineSettings,
    model::{
        checkpoint::{
            Checkpoint, ErrorText, Intent, ProgressChange, ProgressUpdate, ResultBatch, SessionUpdate,
            StepCounters,
        },
        command::{CommandKind, CommandRequest},
        effect::EffectNo,
        event::{EventKind, NewEvent},
        plan::StepNo,
        reason::ReasonCode,
        result::FactKind,
        session::{SessionId, SessionState},
        verb::Decision,
    },
    sim::{FaultKind, Rule, Service},
};
use chrono::Utc;
use rustix::process::Signal;

use super::{PATIENCE, assert_well, powered_on, slow, takes_over};
use crate::support::{
    app::App,
    eventually, lane,
    relay::Relay,
    worker::{self, Launch},
};

const LEASE_TIME: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn one_that_slept_while_it_watched_wakes_to_nothing() {
    let app = lane::app(&slow(Duration::from_secs(5))).await;
    sleep_past_the_lease(&app, async |session| powered_on(&app, session).await).await;
}

/// It sleeps with a call open; when it wakes, the answer is there, and is not its to write down any more.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_slept_while_it_called_wakes_to_nothing() {
    let app = lane::app(&slow(Duration::from_secs(5))).await;
    let late = Rule {
        skip: 1,
        times: Some(1),
        delay_ms: Some(1_000),
        ..Rule::new(Service::Pcs, "POST", "/transitions", FaultKind::Slow)
    };
    app.machine.set_fault(late);
    let called = async || {
        let calls = app.machine.counters().get("pcs").and_then(|pcs| pcs.get("POST /transitions").copied());
        (calls == Some(2)).then_some(())
    };
    sleep_past_the_lease(&app, async |_| eventually("the power-on", PATIENCE, called).await).await;
}

async fn sleep_past_the_lease(app: &App, until: impl AsyncFn(SessionId)) {
    let since = Utc::now();
    let session = app.admit("reboot", "zombie").await;
    let relay = Relay::start(app.machine.address()).await;
    let launch = Launch {
        name: "first",
        database_url: &app.database.url,
        services_url: &relay.url(),
        lease_time: LEASE_TIME,
    };
    let mut first = worker::start(app, session, &launch);
    until(session).await;
    worker::signal(&first, Signal::STOP);
    let settings = EngineSettings { lease_time: LEASE_TIME, ..app.engine_settings("second") };
    let mut second = app.spawn_worker(settings, session);
    takes_over(app, session, 2).await;
    let sent = relay.sent();
    worker::signal(&first, Signal::CONT);
    let ended = tokio::time::timeout(PATIENCE, first.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0), "the first worker ended as {ended}");
    assert_eq!(relay.sent(), sent, "the first worker called after it woke");
    second.ended().await.unwrap();
    // Among the invariants: no event of its epoch after the first of the next one.
    assert_well(app, session, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_a_checkpoint_writes_is_refused() {
    let app = lane::app(&lane::settings(3)).await;
    let session = app.admit("reboot", "refused").await;
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let request = CommandRequest::plain(CommandKind::Pause);
    let command = db::command::insert(&mut connection, &session, &request, "operator").await.unwrap();
    let zombie = take(&mut connection, session, "first").await;
    db::lease::expire(&mut connection, &session, zombie.epoch()).await.unwrap();
    let lease = take(&mut connection, session, "second").await;
    let plan = db::plan::load(&mut connection, &session).await.unwrap();
    let components: Vec<i32> = plan.members.iter().map(|member| member.component.0).collect();
    let seq = db::event::last_seq(&mut connection, &session).await.unwrap() + 1;
    let checkpoint = of_everything(seq, &components, command);

    let before = everything(&mut connection).await;
    let saved = db::checkpoint::save(&mut connection, &zombie, &checkpoint).await.unwrap();
    assert_eq!(saved, Saved::LeaseLost);
    assert_eq!(db::lease::heartbeat(&mut connection, &zombie).await.unwrap(), None);
    db::lease::release(&mut connection, &zombie).await.unwrap();
    assert_eq!(everything(&mut connection).await, before);

    let saved = db::checkpoint::save(&mut connection, &lease, &checkpoint).await.unwrap();
    assert!(matches!(saved, Saved::Written { .. }));
    let after = everything(&mut connection).await;
    for (table, (before, after)) in TABLES.iter().zip(before.iter().zip(&after)) {
        let touched = before != after;
        assert!(
            touched,
            "the checkpoint was to write into {table}, so that its refusal there means something"
        );
    }
    let saved = db::checkpoint::save(&mut connection, &lease, &checkpoint).await.unwrap();
    assert_eq!(saved, Saved::AlreadyWritten);
    assert_eq!(everything(&mut connection).await, after);
}

async fn take(connection: &mut Connection, session: SessionId, worker: &str) -> Lease {
    match db::lease::take(connection, &session, worker, PATIENCE).await.unwrap() {
        Taken::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

const TABLES: [&str; 9] = [
    "event",
    "error_text",
    "step_result_batch",
    "step",
    "effect",
    "component_progress",
    "component",
    "session",
    "command",
];

/// Whatever is in the tables that checkpoints write.
async fn everything(connection: &mut Connection) -> Vec<String> {
    let mut contents = Vec::new();
    for table in TABLES {
        let text =
            format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} t");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(&mut *connection).await.unwrap();
        contents.push(rows);
    }
    contents
}

fn of_everything(seq: i64, components: &[i32], command: i64) -> Checkpoint {
    let (step, components) = (StepNo(0), components.to_vec());
    Checkpoint {
        seq,
        events: vec![NewEvent { kind: EventKind::Note, actor: None, data: serde_json::json!({}) }],
        results: vec![ResultBatch {
            step,
            run: 1,
            kind: FactKind::Failed,
            attempts: 1,
            error: Some(1),
            decision: Some(Decision::PowerCycle),
            sent_to: None,
            components: components.clone(),
        }],
        errors: vec![ErrorText { id: 1, code: ReasonCode::PowerOffFailed, text: "it is broken".to_owned() }],
        steps: vec![StepCounters { failed: 3, attempts: 3, ..StepCounters::default() }],
        intents: vec![Intent {
            effect: EffectNo(1),
            step,
            verb: "power_off",
            rung_name: "Soft-Off",
            rung: 0,
            alive_for: Duration::from_secs(1),
            components: components.clone(),
        }],
        progress: vec![ProgressUpdate { change: ProgressChange::Failed { error: 1 }, components }],
        session: Some(SessionUpdate {
            state: SessionState::Paused,
            reason: Some("because".to_owned()),
            outcome: None,
            succeeded: 0,
            failed: 3,
            skipped: 0,
            retry_command: None,
        }),
        commands: vec![(command, "obeyed".to_owned())],
        ..Checkpoint::default()
    }
}
