//! The database floor, against a real Postgres.

mod admission;
mod checkpoint;
mod component;
mod hand_over;
mod large;
mod lease;
mod park;
mod private;
mod shape;

use std::time::Duration;

use bosun::{
    db::{
        self, Connection, Pool, PooledConnection,
        admission::{Admission, Admitted, Skip},
        lease::{Lease, Taken},
        session::{Api, NewSession},
    },
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        checkpoint::{Checkpoint, ErrorText, Intent, ResultBatch, StepCounters},
        component::ComponentNo,
        effect::EffectNo,
        event::{EventKind, NewEvent},
        gate::Gates,
        plan::{
            Again, Edge, EdgeKind, Plan, PlanMember, Slice, SliceArtifacts, SliceNo, Step, StepNo,
            UnknownPolicy,
        },
        reason::{Reason, ReasonCode},
        result::FactKind,
        session::{OnConflict, SessionId},
        session_template::SessionTemplate,
        verb::{Decision, Goal, Verb},
        workflow::Condition,
    },
};

use crate::support::postgres::database;

const TTL: Duration = Duration::from_secs(30);

fn xname(n: usize) -> String {
    format!("x{}c{}s{}b0n{}", 1000 + n / 512, n / 64 % 8, n / 2 % 32, n % 2)
}

async fn conn(pool: &Pool) -> PooledConnection {
    db::acquire(pool).await.unwrap()
}

/// Discovers `n` components; their numbers, ascending.
async fn components(conn: &mut Connection, n: usize) -> Vec<(i32, String)> {
    let xnames: Vec<String> = (0..n).map(xname).collect();
    db::component::discover(conn, &xnames).await.unwrap();
    let mut found: Vec<(i32, String)> =
        db::component::numbers(conn, &xnames).await.unwrap().into_iter().map(|(x, n)| (n, x)).collect();
    found.sort();
    assert_eq!(found.len(), n);
    found
}

fn event(kind: EventKind) -> NewEvent {
    NewEvent { kind, actor: None, data: serde_json::json!({}) }
}

fn step(name: &str, slice: i16, verb: Verb) -> Step {
    Step {
        name: name.to_owned(),
        verb,
        slice: SliceNo(slice),
        when: vec![Condition::PowersOff],
        timeout: Duration::from_secs(300),
        attempts: 3,
        again: Some(Again { from: StepNo(0), times: 2, on: vec![ReasonCode::BootTimeout] }),
    }
}

/// Two slices (the second of uans: one component in ten), three steps each, one barrier.
fn plan(members: &[(i32, String)]) -> Plan {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let slice = |boot_set: &str, kernel: &str| Slice {
        boot_set: boot_set.to_owned(),
        wave: 0,
        artifacts: Some(SliceArtifacts {
            id: BootArtifactsId(0),
            artifacts: BootArtifacts {
                kernel: format!("s3://boot-images/{kernel}/kernel"),
                initrd: "s3://boot-images/initrd".to_owned(),
                kernel_parameters: "console=ttyS0".to_owned(),
            },
            image: Some("image".to_owned()),
            projected: true,
        }),
        configuration: Some(format!("configuration of {boot_set}")),
    };
    let off = Verb::PowerOff { soft_off_within: minutes(5), force_off_within: minutes(1) };
    let on = Verb::PowerOn { within: minutes(2), tries: 2 };
    let mut steps = Vec::new();
    let mut edges = Vec::new();
    for (slice, name) in [(0, "compute"), (1, "uan")] {
        let first = StepNo(slice * 3);
        steps.push(step(&format!("{name}/inspect"), slice, Verb::Inspect { goal: Goal::Reboot }));
        steps.push(step(&format!("{name}/power_off"), slice, off.clone()));
        steps.push(step(&format!("{name}/power_on"), slice, on.clone()));
        edges.push(Edge { from: first, to: StepNo(first.0 + 1), kind: EdgeKind::PerComponent });
        edges.push(Edge { from: StepNo(first.0 + 1), to: StepNo(first.0 + 2), kind: EdgeKind::PerComponent });
    }
    edges.push(Edge { from: StepNo(2), to: StepNo(5), kind: EdgeKind::Barrier { threshold_percent: 90 } });
    edges.sort_by_key(|edge| (edge.from, edge.to));
    Plan {
        slices: vec![slice("compute", "a"), slice("uan", "b")],
        steps,
        edges,
        members: members
            .iter()
            .map(|(number, xname)| PlanMember {
                component: ComponentNo(*number),
                xname: xname.parse().unwrap(),
                slice: SliceNo(i16::from(number % 10 == 0)),
            })
            .collect(),
        unknown: UnknownPolicy::Leave,
        service_patience: minutes(30),
        gates: Gates::default(),
    }
}

fn new_session(name: &str) -> NewSession {
    NewSession {
        name: name.parse().unwrap(),
        tenant: String::new(),
        operation: "reboot".to_owned(),
        template_name: "all".to_owned(),
        api: Api::Bosun,
        limit: String::new(),
        include_disabled: false,
        stage: false,
        request: serde_json::json!({}),
        actor: "somebody".to_owned(),
    }
}

fn template() -> SessionTemplate {
    serde_json::from_value(serde_json::json!({"boot_sets": {}})).unwrap()
}

fn admission(name: &str, members: &[(i32, String)]) -> Admission {
    Admission {
        new: new_session(name),
        waiting: None,
        template: template(),
        workflow: "steps: []".to_owned(),
        plan: plan(members),
        plan_hash: "hash".to_owned(),
        skips: Vec::new(),
        on_conflict: OnConflict::Reject,
        event: event(EventKind::Admitted),
        origin: db::admission::Origin::Request,
    }
}

async fn admit(pool: &Pool, name: &str, members: &[(i32, String)]) -> SessionId {
    match db::admission::admit(pool, admission(name, members)).await.unwrap() {
        Admitted::Session(id) => id,
        other => panic!("not admitted: {other:?}"),
    }
}

async fn take(conn: &mut Connection, session: &SessionId, worker: &str) -> Lease {
    match db::lease::take(conn, session, worker, TTL).await.unwrap() {
        Taken::Lease(lease) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

fn result(step: i16, kind: FactKind, components: &[i32]) -> ResultBatch {
    ResultBatch {
        step: StepNo(step),
        run: 1,
        kind,
        attempts: 1,
        error: None,
        decision: None,
        sent_to: None,
        components: components.to_vec(),
    }
}

fn checkpoint(seq: i64) -> Checkpoint {
    Checkpoint { seq, events: vec![event(EventKind::Results)], ..Default::default() }
}

/// Everything that a checkpoint may change, as text.
async fn everything(conn: &mut Connection) -> Vec<String> {
    let tables = [
        "event",
        "step_result_batch",
        "step",
        "step_edge",
        "effect",
        "error_text",
        "component",
        "component_progress",
        "session",
        "command",
        "boot_token",
    ];
    let mut all = Vec::new();
    for table in tables {
        let text = format!("select '{table} ' || t::text from {table} t order by 1");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(&mut *conn).await.unwrap();
        all.extend(rows);
    }
    all
}
