//! Admission against a simulated machine and a real Postgres: what is refused is refused before anything is touched.

use std::{sync::Arc, time::Duration};

use bosun::{
    admit::{Admit, AdmitSettings, Api, Guards, Rejection, RetryRequest, SessionRequest},
    clients::{Endpoints, S3Endpoint, ServiceSettings, Services},
    db,
    model::{
        gate::Rollout,
        plan::UnknownPolicy,
        reason::ReasonCode,
        session::{OnConflict, Outcome, SessionState},
        session_template::SessionTemplate,
    },
    plan::workflow,
    sim::{FaultKind, Handle, NodeGroup, Pick, Rule, Service, Settings, spawn},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::support::{
    app::{App, fast},
    postgres,
};

struct World {
    machine: Handle,
    pool: db::Pool,
    admit: Arc<Admit>,
    http: reqwest::Client,
}

async fn world(settings: Settings) -> World {
    _ = rustls::crypto::ring::default_provider().install_default();
    let machine = spawn(settings, TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let url = machine.url();
    let endpoints = Endpoints {
        hsm: url.clone(),
        pcs: url.clone(),
        bss: url.clone(),
        cfs: url.clone(),
        ims: url.clone(),
        tapms: url.clone(),
        s3: S3Endpoint { url: format!("{url}/s3"), access_key: String::new(), secret_key: String::new() },
        ca_file: None,
        token_file: None,
    };
    let services = ServiceSettings { read_timeout: Duration::from_secs(2), ..ServiceSettings::default() };
    let services = Arc::new(Services::new(&endpoints, services).unwrap());
    let pool = postgres::database().await.pool;
    let settings = AdmitSettings::default();
    let admit = Arc::new(Admit::new(services, pool.clone(), workflow::embedded(), settings));
    World { machine, pool, admit, http: reqwest::Client::builder().no_proxy().build().unwrap() }
}

fn machine() -> Settings {
    Settings { nodes: 20, ..Settings::default() }
}

impl World {
    fn image(&self, name: &str) -> String {
        self.machine.images().into_iter().find(|image| image.name == name).unwrap().path
    }

    /// Keeps a template with one boot set, `compute`, of this image; `more` is merged into it.
    async fn template(&self, name: &str, image: &str, more: Value) {
        let mut boot_set = json!({"path": self.image(image), "type": "s3", "node_roles_groups": ["Compute"]});
        boot_set.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let template =
            json!({"cfs": {"configuration": "compute-config"}, "boot_sets": {"compute": boot_set}});
        self.keep(name, template).await;
    }

    async fn keep(&self, name: &str, template: Value) -> i64 {
        let template: SessionTemplate = serde_json::from_value(template).unwrap();
        let (template, _) = template.canonical(true).unwrap();
        let mut conn = db::acquire(&self.pool).await.unwrap();
        db::session_template::put(&mut conn, "", &name.parse().unwrap(), &template).await.unwrap()
    }

    async fn refused(&self, request: SessionRequest) -> String {
        self.admit.session(request).await.unwrap_err().to_string()
    }

    async fn session(&self, name: &str) -> db::session::Session {
        let mut conn = db::acquire(&self.pool).await.unwrap();
        db::session::get(&mut conn, "", name).await.unwrap()
    }

    /// Nothing but questions was sent to any service.
    fn nothing_was_touched(&self) -> bool {
        let harmless =
            |method: &str, path: &str| method == "GET" || method == "HEAD" || path.ends_with("/Query");
        self.machine.requests().iter().all(|entry| harmless(&entry.method, &entry.path))
    }
}

fn request(name: &str, operation: &str, template: &str) -> SessionRequest {
    SessionRequest {
        name: name.parse().unwrap(),
        tenant: String::new(),
        operation: operation.to_owned(),
        template: template.to_owned(),
        limit: String::new(),
        include_disabled: false,
        stage: false,
        api: Api::Bosun,
        unknown: None,
        on_conflict: OnConflict::Reject,
        guards: Guards::default(),
        rollout: Rollout::default(),
        actor: "admin".to_owned(),
    }
}

fn limited(name: &str, limit: &str) -> SessionRequest {
    SessionRequest { limit: limit.to_owned(), ..request(name, "reboot", "compute") }
}

#[tokio::test]
async fn a_bad_image_is_caught_before_anything_is_touched() {
    let world = world(machine()).await;
    for (template, image, reason) in [
        ("lacking", "no-initrd", "boot set compute: artifact_missing: initrd"),
        ("twice", "two-kernels", "boot set compute: artifact_duplicate: 2 of kernel"),
        ("nowhere", "no-manifest", "boot set compute: artifact_missing: manifest"),
    ] {
        world.template(template, image, json!({})).await;
        let refused = world.refused(request("night", "reboot", template)).await;
        assert!(refused.starts_with(reason), "{refused}");
    }
    assert!(world.nothing_was_touched(), "{:?}", world.machine.requests());

    // The manifest is mended; the same command succeeds.
    let good = world.http.get(world.url_of(&world.image("image-a"))).send().await.unwrap();
    let good = good.bytes().await.unwrap();
    world.http.put(world.url_of(&world.image("no-initrd"))).body(good).send().await.unwrap();
    let admitted = world.admit.session(request("night", "reboot", "lacking")).await.unwrap();
    assert_eq!((admitted.members, admitted.outcome), (20, None));
    let session = world.session("night").await;
    assert_eq!((session.state, session.members), (SessionState::Running, 20));
}

impl World {
    fn url_of(&self, path: &str) -> String {
        format!("{}/s3/{}", self.machine.url(), path.trim_start_matches("s3://"))
    }
}

#[tokio::test]
async fn limits_that_can_only_be_mistakes_are_refused_and_skips_are_recorded() {
    let machine = Settings {
        nodes: 100,
        disabled: Pick::Count(3),
        empty: Pick::Count(1),
        locked: Pick::Count(2),
        node_groups: vec![NodeGroup { name: "group1".to_owned(), members: Pick::Count(100) }],
        ..machine()
    };
    let world = world(machine).await;
    world.template("compute", "image-a", json!({})).await;
    for (limit, words) in [
        (
            "!x1000c0s0b0n0",
            "column 1: '!x1000c0s0b0n0' at the beginning selects nothing; write 'all,!x1000c0s0b0n0'",
        ),
        ("group1,nosuchgroup", "column 8: 'nosuchgroup' is no HSM group, partition or role"),
        ("a,,b", "column 3: an item is empty"),
        ("nid000001", "column 1: no node has the NID 1"),
        (
            "x9999c0s0b0n0",
            "no component is selected; the limit names what the template does not: x9999c0s0b0n0",
        ),
        ("@failed:night", "column 1: session 'night' does not exist"),
    ] {
        let refused = world.refused(limited("night", limit)).await;
        assert!(refused.contains(words), "{limit}: {refused}");
    }
    let skips = vec![(ReasonCode::Locked, 2), (ReasonCode::Disabled, 3), (ReasonCode::Empty, 1)];
    let with = limited("night", "group1,&Compute,!x1000c0s0b0n0");
    let preview = world.admit.plan(with.clone()).await.unwrap();
    let count =
        |reason| preview.skipped.iter().filter(|skip| skip.1 == reason).map(|skip| skip.2.len()).sum();
    assert_eq!(skips.iter().map(|(reason, _)| (*reason, count(*reason))).collect::<Vec<_>>(), skips);
    assert!(matches!(
        db::session::get(&mut db::acquire(&world.pool).await.unwrap(), "", "night").await,
        Err(db::DbError::NotFound { .. })
    ));
    let admitted = world.admit.session(with).await.unwrap();
    assert_eq!(admitted.skipped.into_iter().collect::<Vec<_>>(), sorted(skips));
    assert_eq!(admitted.members + 6, 99);
    let session = world.session("night").await;
    assert_eq!((session.members, session.skipped_at_admission), (99, 6));
    assert_eq!(session.plan_hash.as_deref(), Some(preview.plan_hash.as_str()));
    let disabled = SessionRequest { include_disabled: true, ..limited("day", "*") };
    let preview = world.admit.plan(disabled).await.unwrap();
    assert_eq!(preview.plan.members.len(), 97);
    assert_eq!(preview.claimed[0].session, "night");
    assert!(world.nothing_was_touched(), "{:?}", world.machine.requests());
}

fn sorted(mut skips: Vec<(ReasonCode, usize)>) -> Vec<(ReasonCode, usize)> {
    skips.sort_unstable();
    skips
}

#[tokio::test]
async fn a_component_belongs_to_one_session_and_a_name_too() {
    let world = world(machine()).await;
    world.template("compute", "image-a", json!({})).await;
    world.admit.session(limited("night", "x1000c0s0b0n0,x1000c0s0b0n1")).await.unwrap();
    let refused = world.admit.session(limited("day", "x1000c0s0b0n1,x1000c0s0b1n0")).await.unwrap_err();
    let Rejection::Claimed(claims) = &refused else { panic!("{refused}") };
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].session, "night");
    assert_eq!(claims[0].components, ["x1000c0s0b0n1".parse().unwrap()]);
    assert!(refused.to_string().starts_with("session 'night' holds 1 component: x1000c0s0b0n1"), "{refused}");
    // All or none: what was free still is.
    world.admit.session(limited("day", "x1000c0s0b1n0")).await.unwrap();
    let refused = world.admit.session(limited("day", "x1000c0s0b1n1")).await.unwrap_err();
    assert!(matches!(refused, Rejection::NameTaken(_)), "{refused}");
}

#[tokio::test]
async fn a_session_whose_members_are_all_left_out_ends_at_once() {
    let world = world(Settings { locked: Pick::Xnames(vec!["x1000c0s0b0n0".to_owned()]), ..machine() }).await;
    world.template("compute", "image-a", json!({})).await;
    let admitted = world.admit.session(limited("night", "x1000c0s0b0n0")).await.unwrap();
    assert_eq!(admitted.outcome, Some(Outcome::NothingToDo));
    let session = world.session("night").await;
    assert_eq!((session.state, session.outcome), (SessionState::Ended, Some(Outcome::NothingToDo)));
    assert_eq!((session.members, session.skipped_at_admission, session.skipped), (1, 1, 1));
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let world = world(machine()).await;
    world.template("compute", "image-a", json!({"cfs": {"configuration": "no-such-config"}})).await;
    assert!(
        world
            .refused(request("n", "reboot", "compute"))
            .await
            .contains("boot set compute: CFS has no configuration 'no-such-config'")
    );
    assert!(
        world
            .refused(request("n", "reboot", "computer"))
            .await
            .contains("session template 'computer' does not exist")
    );
    assert_eq!(
        world.refused(request("n", "rebot", "compute")).await,
        "there is no operation 'rebot' (did you mean 'reboot'?); there are boot, configure, reboot, shutdown"
    );
    // What a shutdown does not need is not asked for.
    world.template("off", "no-manifest", json!({"cfs": {"configuration": "no-such-config"}})).await;
    world.admit.session(request("off", "shutdown", "off")).await.unwrap();
}

#[tokio::test]
async fn a_service_that_is_down_is_not_bad_input() {
    let world = world(machine()).await;
    world.template("compute", "image-a", json!({})).await;
    world.machine.set_fault(Rule::new(Service::Hsm, "GET", "/State/Components", FaultKind::Status));
    let refused = world.admit.session(request("night", "reboot", "compute")).await.unwrap_err();
    assert!(matches!(refused, Rejection::Unavailable { service: "hsm", .. }), "{refused}");
    assert!(refused.is_temporary());
    world.machine.clear_faults();
    world.admit.session(request("night", "reboot", "compute")).await.unwrap();
}

#[tokio::test]
async fn waiting_sessions_are_admitted_first_come_first_served() {
    let world = world(machine()).await;
    world.template("compute", "image-a", json!({})).await;
    world.template("lacking", "no-initrd", json!({})).await;
    let mut conn = db::acquire(&world.pool).await.unwrap();
    for (name, template) in
        [("first", "compute"), ("second", "compute"), ("third", "lacking"), ("fourth", "gone")]
    {
        let new = db::session::NewSession {
            name: name.parse().unwrap(),
            tenant: String::new(),
            operation: "reboot".to_owned(),
            template_name: template.to_owned(),
            api: Api::V2,
            limit: String::new(),
            include_disabled: false,
            stage: false,
            request: json!({}),
            actor: "admin".to_owned(),
        };
        db::session::insert_waiting(&mut conn, &new).await.unwrap();
    }
    world.machine.set_fault(Rule::new(Service::Hsm, "GET", "/State/Components", FaultKind::Status));
    let pass = world.admit.waiting().await.unwrap();
    assert_eq!((pass.admitted, pass.rejected), (0, 0));
    assert!(pass.waits_for.unwrap().contains("hsm does not answer"));
    assert_eq!(world.session("first").await.state, SessionState::Waiting);
    world.machine.clear_faults();
    let pass = world.admit.waiting().await.unwrap();
    assert_eq!((pass.admitted, pass.rejected, pass.waits_for), (2, 2, None));
    assert_eq!(world.session("first").await.state, SessionState::Running);
    // In BOS's API the newer one takes over what the older one holds.
    let second = world.session("second").await;
    assert_eq!(second.state, SessionState::Running);
    let given = db::hand_over::list(&mut conn, &second.id).await.unwrap();
    assert_eq!((given[0].holder.as_str(), given[0].xnames.len()), ("first", 20));
    for (name, words) in
        [("third", "artifact_missing: initrd"), ("fourth", "session template 'gone' does not exist")]
    {
        let session = world.session(name).await;
        assert_eq!(session.outcome, Some(Outcome::Rejected), "{name}");
        assert!(session.error.as_deref().unwrap().contains(words), "{:?}", session.error);
    }
    let plan = db::plan::load(&mut conn, &world.session("first").await.id).await.unwrap();
    assert_eq!(plan.unknown, UnknownPolicy::Reboot);
}

#[tokio::test]
async fn a_node_in_two_boot_sets_is_refused_by_us_and_goes_to_the_last_on_v2() {
    let world = world(machine()).await;
    let boot_set = |list: &[&str]| json!({"path": world.image("image-a"), "type": "s3", "node_list": list});
    let template = json!({"boot_sets": {
        "a": boot_set(&["x1000c0s0b0n0", "x1000c0s0b0n1"]),
        "b": boot_set(&["x1000c0s0b0n1"]),
    }});
    world.keep("compute", template).await;
    let refused = world.refused(request("night", "reboot", "compute")).await;
    assert!(refused.contains("x1000c0s0b0n1: a and b"), "{refused}");
    let v2 = SessionRequest { api: Api::V2, ..request("night", "reboot", "compute") };
    let admitted = world.admit.session(v2).await.unwrap();
    assert!(admitted.notes[0].contains("the last by name was taken"), "{:?}", admitted.notes);
    let mut conn = db::acquire(&world.pool).await.unwrap();
    let plan = db::plan::load(&mut conn, &admitted.id).await.unwrap();
    let slices: Vec<_> = plan.members.iter().map(|member| member.slice.0).collect();
    assert_eq!(slices, [0, 1]);
}

#[tokio::test]
async fn a_template_is_pinned_by_version() {
    let world = world(machine()).await;
    let template = |list: &str| json!({"boot_sets": {"a": {"path": world.image("image-a"), "type": "s3", "node_list": [list]}}});
    let old = world.keep("compute", template("x1000c0s0b0n0")).await;
    world.admit.session(request("night", "reboot", "compute")).await.unwrap();
    world.keep("compute", template("x1000c0s0b0n1")).await;
    let other = world.keep("other", template("x1000c0s0b1n1")).await;
    let pinned = world.admit.plan(request("day", "reboot", &format!("compute@{old}"))).await.unwrap();
    assert_eq!(pinned.plan.members[0].xname, "x1000c0s0b0n0".parse().unwrap());
    let refused = world.refused(request("day", "reboot", &format!("compute@{other}"))).await;
    assert!(refused.contains("does not exist"), "{refused}");
}

#[tokio::test]
async fn templates_are_validated_as_bos_does() {
    let world = world(machine()).await;
    let check = async |image: &str, more: Value, boots| {
        let mut boot_set = json!({"path": world.image(image), "type": "s3", "node_list": ["x1000c0s0b0n0"]});
        boot_set.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let template = serde_json::from_value(json!({"boot_sets": {"c": boot_set}})).unwrap();
        world.admit.validate_template("t", &template, boots).await.unwrap().text()
    };
    assert_eq!(check("image-a", json!({}), true).await, "Valid");
    assert_eq!(
        check("image-a", json!({"rootfs_provider": "cpss3"}), true).await,
        "Session template: 't' boot set: 'c': Unsupported rootfs_provider ('cpss3') will cause boot/reboot \
         sessions to fail"
    );
    let lacking = check("no-initrd", json!({}), true).await;
    assert!(lacking.ends_with("doesn't contain a initrd"), "{lacking}");
    let nowhere = check("no-manifest", json!({}), true).await;
    assert!(
        nowhere.starts_with("Session template: 't' boot set: 'c': Can't find boot artifacts. Error: "),
        "{nowhere}"
    );
    assert_eq!(check("no-manifest", json!({}), false).await, "Valid");
    let arm = check("image-a", json!({"arch": "ARM"}), true).await;
    assert!(arm.contains("is for x86_64"), "{arm}");
}

#[tokio::test]
async fn discovery_adds_what_is_new_and_takes_nothing_away() {
    let world = world(machine()).await;
    let found = world.admit.discover().await.unwrap();
    assert_eq!((found.nodes, found.added), (20, 20));
    let found = world.admit.discover().await.unwrap();
    assert_eq!((found.nodes, found.added), (20, 0));
}

#[tokio::test]
async fn failed_components_are_tried_again_in_the_same_session() {
    let stubborn = "x1000c0s0b0n1";
    let app = App::new(Settings { fail_power_off: Pick::Xnames(vec![stubborn.to_owned()]), ..fast(4) }).await;
    let pool = app.database.pool.clone();
    let quick = "
steps:
  - {name: inspect, verb: inspect, goal: shutdown}
  - {name: power_off, verb: power_off, soft_off_within: 1s, force_off_within: 1s, needs: [inspect], when: [powers_off]}
";
    let workflows = workflow::Workflows::load([("shutdown".to_owned(), quick.to_owned())]).unwrap();
    let admit = Admit::new(app.services.clone(), pool.clone(), workflows, AdmitSettings::default());
    let template = json!({"boot_sets": {"compute": {
        "path": app.machine.images()[0].path, "type": "s3", "node_roles_groups": ["Compute"],
    }}});
    let template: SessionTemplate = serde_json::from_value(template).unwrap();
    let mut conn = db::acquire(&pool).await.unwrap();
    db::session_template::put(&mut conn, "", &"compute".parse().unwrap(), &template).await.unwrap();
    let id = admit.session(request("night", "shutdown", "compute")).await.unwrap().id;
    let retry = |step: Option<&str>| RetryRequest {
        session: "night".to_owned(),
        tenant: String::new(),
        step: step.map(str::to_owned),
        limit: String::new(),
        from: None,
        reason: None,
        actor: "admin".to_owned(),
        key: None,
    };
    let refused = admit.retry(&retry(None)).await.unwrap_err().to_string();
    assert_eq!(refused, "nothing has failed in session 'night'; there is nothing to retry");
    app.drive(id, "one").await.unwrap();
    let state = async || {
        let mut conn = db::acquire(&pool).await.unwrap();
        let session = db::session::get(&mut conn, "", "night").await.unwrap();
        (session.state, session.outcome, session.failed)
    };
    assert_eq!(state().await, (SessionState::Ended, Some(Outcome::Partial), 1));
    let refused = admit.retry(&retry(Some("power_on"))).await.unwrap_err().to_string();
    assert!(refused.ends_with("there are failures in compute/power_off"), "{refused}");
    let retried = admit.retry(&retry(Some("power_off"))).await.unwrap();
    assert_eq!((retried.id, retried.xnames.len()), (id, 1));
    assert_eq!(state().await, (SessionState::Running, None, 1));
    app.drive(id, "two").await.unwrap();
    assert_eq!(state().await, (SessionState::Ended, Some(Outcome::Partial), 1));

    // A limit may name what has failed.
    let preview = admit.plan(limited("day", "@failed:night")).await.unwrap();
    assert_eq!(preview.plan.members.len(), 1);
    assert_eq!(preview.plan.members[0].xname, stubborn.parse().unwrap());
}
