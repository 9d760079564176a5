//! Components: reports, patches, what is shown.

use super::*;
use sqlx::Acquire as _;

use bosun::{
    db::{
        component::{
            ArtifactsPatch, ComponentFilter, ComponentPatch, Patching, ReportOutcome, StatePatch, get, list,
            patch, report, reports,
        },
        listen::{Heard, Listener},
    },
    model::{
        artifacts::BootToken,
        checkpoint::{EffectUpdate, ProgressChange, ProgressUpdate},
        effect::EffectState,
    },
};

fn said(xname: &str, token: &str) -> (String, String) {
    (xname.to_owned(), token.to_owned())
}

#[tokio::test]
async fn a_report_with_a_known_token_names_the_artifacts_and_wakes_the_worker() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 4).await;
    let session = admit(&db.pool, "reported", &members[..3]).await;
    let lease = take(&mut conn, &session, "a").await;
    let ids: Vec<i32> = members.iter().map(|(id, _)| *id).collect();
    let intent = Intent {
        effect: EffectNo(1),
        step: StepNo(1),
        verb: "set_boot_parameters",
        rung_name: "put",
        rung: 0,
        alive_for: TTL,
        components: ids[..3].to_vec(),
    };
    let off = ProgressUpdate { change: ProgressChange::PoweringOffGracefully, components: vec![ids[0]] };
    let begun = Checkpoint { intents: vec![intent], progress: vec![off], ..checkpoint(2) };
    db::checkpoint::save(&mut conn, &lease, &begun).await.unwrap();
    let plan = db::plan::load(&mut conn, &session).await.unwrap();
    let artifacts = plan.slices[0].artifacts.clone().unwrap();
    let token = EffectUpdate {
        effect: EffectNo(1),
        state: EffectState::Settled,
        reference: None,
        token: Some((BootToken("known".to_owned()), artifacts.id)),
        error: None,
    };
    let on = ProgressUpdate { change: ProgressChange::PoweringOn, components: vec![ids[1], ids[2]] };
    let answered = Checkpoint { effects: vec![token], progress: vec![on], ..checkpoint(3) };
    db::checkpoint::save(&mut conn, &lease, &answered).await.unwrap();

    let mut listener = Listener::of_session(&db.url, &session).await.unwrap();
    assert!(listener.heartbeat(&lease).await.unwrap().is_some());
    let all = [
        said(&members[0].1, "known"),
        said(&members[1].1, "known"),
        said(&members[2].1, "foreign"),
        said(&members[3].1, "known"),
        said("x9c9s9b9n9", "known"),
    ];
    let outcomes = report(&mut conn, &all, true).await.unwrap();
    let outcome = |n: usize| outcomes.iter().find(|(xname, _)| *xname == all[n].0).unwrap().1;
    use ReportOutcome::{Recorded, Refused, Unknown};
    assert_eq!([0, 1, 2, 3, 4].map(outcome), [Refused, Recorded, Recorded, Recorded, Unknown]);
    assert_eq!(listener.next().await.unwrap(), Heard::Reports(vec![ids[1], ids[2]]), "not who is free");

    let known = reports(&mut conn, &ids).await.unwrap();
    let known: Vec<_> = known.iter().map(|(id, r)| (*id, r.token.0.as_str(), r.artifacts)).collect();
    let id = Some(artifacts.id);
    assert_eq!(known, [(ids[1], "known", id), (ids[2], "foreign", None), (ids[3], "known", id)]);
    let shown = get(&mut conn, &members[1].1).await.unwrap();
    assert_eq!(*shown.actual.artifacts.unwrap(), artifacts.artifacts);
    let foreign = get(&mut conn, &members[2].1).await.unwrap();
    assert_eq!((foreign.actual.artifacts, foreign.actual.updated_at), (None, None));

    let bulk = report(&mut conn, &all[..1], false).await.unwrap();
    assert_eq!(bulk[0].1, Recorded, "a bulk PATCH is never refused");
    assert_eq!(listener.next().await.unwrap(), Heard::Reports(vec![ids[0]]));
}

#[tokio::test]
async fn a_command_is_heard() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 1).await;
    let mut launcher = Listener::of_launcher(&db.url).await.unwrap();
    let session = admit(&db.pool, "heard", &members).await;
    assert_eq!(launcher.next().await.unwrap(), Heard::Launcher);
    let mut worker = Listener::of_session(&db.url, &session).await.unwrap();
    let request = serde_json::from_value(serde_json::json!({"kind": "pause"})).unwrap();
    db::command::insert(&mut conn, &session, &request, "me").await.unwrap();
    assert_eq!(worker.next().await.unwrap(), Heard::Command);
    assert_eq!(launcher.next().await.unwrap(), Heard::Launcher);
}

#[tokio::test]
async fn discovery_adds_what_is_new_and_revives_what_was_deleted() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    components(&mut conn, 3).await;
    let xnames: Vec<String> = (0..5).map(xname).collect();
    assert_eq!(db::component::discover(&mut conn, &xnames).await.unwrap(), 2);
    assert_eq!(db::component::discover(&mut conn, &xnames).await.unwrap(), 0);
    db::component::delete(&db.pool, &xnames[1], "tester").await.unwrap();
    assert!(get(&mut conn, &xnames[1]).await.is_err());
    assert_eq!(db::component::numbers(&mut conn, &xnames).await.unwrap().len(), 4);
    assert_eq!(db::component::discover(&mut conn, &xnames).await.unwrap(), 1);
    let found = get(&mut conn, &xnames[1]).await.unwrap();
    assert_eq!(found.last_action.action.as_deref(), Some("newly_discovered"));
    assert_eq!((found.enabled, found.status.as_str()), (Some(false), "stable"));
}

#[tokio::test]
async fn a_patch_merges_and_a_put_replaces() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 2).await;
    let name = &members[0].1;
    let one = |patch: ComponentPatch| vec![(name.clone(), patch)];
    let merge = Patching::Merge { skip_unknown: false };

    let kernel = |kernel: &str| ArtifactsPatch { kernel: Some(kernel.to_owned()), ..Default::default() };
    let desired = StatePatch { boot_artifacts: Some(kernel("k1")), ..Default::default() };
    let set = ComponentPatch {
        desired: Some(desired),
        session: Some("mine".to_owned()),
        enabled: Some(true),
        ..Default::default()
    };
    let written = patch(&db.pool, one(set), merge, None).await.unwrap().remove(0);
    assert_eq!(written.status_override.as_deref(), Some("on_hold"));
    assert_eq!(written.event_stats.power_on_attempts, Some(0));
    let desired = StatePatch { configuration: Some("c".to_owned()), ..Default::default() };
    patch(&db.pool, one(ComponentPatch { desired: Some(desired), ..Default::default() }), merge, None)
        .await
        .unwrap();
    let shown = get(&mut conn, name).await.unwrap();
    assert_eq!(shown.desired.artifacts.as_ref().unwrap().kernel, "k1", "kept");
    assert_eq!(shown.desired.configuration.as_deref(), Some("c"));
    assert_eq!(shown.session.as_deref(), Some(""), "a desired state without a session clears it");
    assert_eq!((shown.status.as_str(), shown.enabled), ("on_hold", Some(true)));

    let put = ComponentPatch { enabled: Some(false), ..Default::default() };
    let new = "nid000001".to_owned();
    let both = vec![(name.clone(), put.clone()), (new.clone(), put)];
    patch(&db.pool, both, Patching::Replace, None).await.unwrap();
    for name in [name, &new] {
        let shown = get(&mut conn, name).await.unwrap();
        assert_eq!((shown.enabled, shown.session, shown.error), (Some(false), None, None));
        assert_eq!((shown.desired.artifacts, shown.status_override, shown.staged), (None, None, None));
    }

    let unknown = vec![
        ("unknown".to_owned(), ComponentPatch::default()),
        (new.clone(), ComponentPatch { error: Some("e".to_owned()), ..Default::default() }),
    ];
    let refused = patch(&db.pool, unknown.clone(), merge, None).await.unwrap_err();
    assert_eq!(refused.to_string(), "Component 'unknown' does not exist");
    assert_eq!(get(&mut conn, &new).await.unwrap().error, None, "nothing was written");
    let written = patch(&db.pool, unknown, Patching::Merge { skip_unknown: true }, None).await.unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(get(&mut conn, &new).await.unwrap().error.as_deref(), Some("e"));
}

#[tokio::test]
async fn components_are_found_by_what_is_shown() {
    let db = database().await;
    let mut conn = conn(&db.pool).await;
    let members = components(&mut conn, 10).await;
    admit(&db.pool, "some", &members[..4]).await;
    let enabled = ComponentFilter { enabled: Some(true), session: Some("some"), ..Default::default() };
    assert_eq!(list(&mut conn, &enabled).await.unwrap().len(), 4);
    let mut names: Vec<String> = members.iter().map(|(_, name)| name.clone()).collect();
    names.sort();
    let page = ComponentFilter { start_after: Some(&names[2]), limit: Some(3), ..Default::default() };
    let page: Vec<String> = list(&mut conn, &page).await.unwrap().into_iter().map(|c| c.xname).collect();
    assert_eq!(page, names[3..6]);
    let stable = ["stable".to_owned()];
    let filter = ComponentFilter { statuses: Some(&stable), xnames: Some(&names[..2]), ..Default::default() };
    assert_eq!(list(&mut conn, &filter).await.unwrap().len(), 2);
    let configuring = ComponentFilter { phase: Some("configuring"), ..Default::default() };
    assert_eq!(list(&mut conn, &configuring).await.unwrap(), []);
}

/// A server starts before the first component is known, and its connection for reports keeps the plans that it made then.
#[tokio::test]
async fn reports_are_looked_up_by_key_whenever_they_were_planned() {
    const COMPONENTS: usize = 5_000;
    const REPORTED: usize = 50;
    let db = database().await;
    let mut writer = db::open_beside(&db.pool).await.unwrap();
    let early = ["x9999c0s0b0n0".to_owned()];
    report(&mut writer, &[said(&early[0], "t")], true).await.unwrap();
    list(&mut writer, &ComponentFilter { xnames: Some(&early), ..ComponentFilter::default() }).await.unwrap();

    let members = components(&mut *conn(&db.pool).await, COMPONENTS).await;
    let some = members.iter().step_by(COMPONENTS / REPORTED);
    let xnames: Vec<String> = some.map(|(_, xname)| xname.to_string()).collect();
    let said: Vec<_> = xnames.iter().map(|xname| said(xname, "t")).collect();
    let mut tx = writer.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    assert_eq!(report(&mut tx, &said, true).await.unwrap().len(), REPORTED);
    let shown = list(&mut tx, &ComponentFilter { xnames: Some(&xnames), ..ComponentFilter::default() }).await;
    assert_eq!(shown.unwrap().len(), REPORTED);
    let read = rows_read(&mut tx).await - before;
    assert!(read < 10 * REPORTED as i64, "{read} rows were read for {REPORTED} reports");
}

async fn rows_read(conn: &mut Connection) -> i64 {
    sqlx::query_scalar(
        "select (sum(seq_tup_read) + sum(idx_tup_fetch))::int8 from pg_stat_xact_user_tables
          where relname in ('component', 'component_progress')",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}
