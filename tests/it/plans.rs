//! Workflows become plans: snapshots of every built-in workflow, bound to templates with and without ordinals.

use std::{collections::BTreeMap, time::Duration};

use bosun::{
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        command::Settings,
        component::ComponentNo,
        gate::Rollout,
        options::Options,
        plan::{EdgeKind, Plan, SliceArtifacts, UnknownPolicy},
        workflow::Workflow,
        xname::Xname,
    },
    plan::{Binding, BoundBootSet, Mistake, compile, hash, render, workflow},
};

fn boot_set(name: &str, cabinet: u32, count: i32) -> BoundBootSet {
    let xname = |node: u32| Xname { cabinet, chassis: 0, slot: node / 4, bmc: node / 2 % 2, node: node % 2 };
    let first = i32::try_from(cabinet).unwrap();
    BoundBootSet {
        name: name.to_owned(),
        boot_ordinal: None,
        shutdown_ordinal: None,
        artifacts: Some(artifacts(name)),
        configuration: Some(format!("{name}-configuration")),
        members: (0..count).map(|n| (ComponentNo(first + n), xname(n.unsigned_abs()))).collect(),
    }
}

fn artifacts(image: &str) -> SliceArtifacts {
    SliceArtifacts {
        id: BootArtifactsId(7),
        artifacts: BootArtifacts {
            kernel: format!("s3://boot-images/{image}/kernel"),
            initrd: format!("s3://boot-images/{image}/initrd"),
            kernel_parameters: format!("console=ttyS0 root=sbps-s3:s3://boot-images/{image}/rootfs:etag"),
        },
        image: Some(image.to_owned()),
        projected: true,
    }
}

fn bind(operation: &str, boot_sets: Vec<BoundBootSet>) -> Result<Plan, Vec<Mistake>> {
    bind_to(&workflow::embedded().get(operation).unwrap().workflow, boot_sets)
}

fn bind_to(workflow: &Workflow, boot_sets: Vec<BoundBootSet>) -> Result<Plan, Vec<Mistake>> {
    let binding = Binding {
        boot_sets,
        options: &Options::default(),
        unknown: UnknownPolicy::Leave,
        service_patience: Duration::from_secs(1800),
        threshold_percent: 100,
        rollout: &Rollout::default(),
        power_intervals: Vec::new(),
    };
    let plan = compile(workflow, &binding)?;
    assert!(plan.edges.iter().all(|edge| edge.from < edge.to), "an edge leads downwards");
    Ok(plan)
}

fn one_boot_set() -> Vec<BoundBootSet> {
    vec![boot_set("compute", 1000, 6)]
}

/// Gateways first, then everything else; off in the other order.
fn ordered() -> Vec<BoundBootSet> {
    vec![
        BoundBootSet { shutdown_ordinal: Some(1), ..boot_set("compute", 1000, 6) },
        BoundBootSet { boot_ordinal: Some(1), shutdown_ordinal: Some(2), ..boot_set("gateways", 2000, 2) },
    ]
}

#[test]
fn every_operation_of_one_boot_set() {
    for operation in workflow::embedded().operations() {
        let plan = bind(operation, one_boot_set()).unwrap();
        insta::assert_snapshot!(format!("{operation}_one_boot_set"), render::tree(&plan));
    }
}

#[test]
fn every_operation_with_ordinals() {
    for operation in workflow::embedded().operations() {
        let plan = bind(operation, ordered()).unwrap();
        insta::assert_snapshot!(format!("{operation}_with_ordinals"), render::tree(&plan));
    }
}

#[test]
fn two_boot_sets_without_ordinals_do_not_wait_for_each_other() {
    let plan = bind("reboot", vec![boot_set("compute", 1000, 6), boot_set("gateways", 2000, 2)]).unwrap();
    assert!(plan.edges.iter().all(|edge| edge.kind == EdgeKind::PerComponent));
    insta::assert_snapshot!("reboot_two_boot_sets_dot", render::dot(&plan));
}

#[test]
fn equal_ordinals_go_together() {
    let mut boot_sets = ordered();
    for boot_set in &mut boot_sets {
        boot_set.boot_ordinal = Some(3);
        boot_set.shutdown_ordinal = Some(3);
    }
    let plan = bind("reboot", boot_sets).unwrap();
    assert!(plan.edges.iter().all(|edge| edge.kind == EdgeKind::PerComponent));
}

#[test]
fn a_boot_set_without_configuration_or_projection_has_fewer_steps() {
    let mut plain = boot_set("uan", 3000, 2);
    plain.configuration = None;
    plain.artifacts.as_mut().unwrap().projected = false;
    let plan = bind("boot", vec![plain]).unwrap();
    insta::assert_snapshot!("boot_plain", render::tree(&plan));
}

#[test]
fn options_are_frozen_into_the_plan() {
    let workflows = workflow::embedded();
    let options = Options {
        max_power_off_wait_time: 60,
        max_power_on_wait_time: 30,
        max_boot_wait_time: 90,
        default_retry_policy: 2,
        ..Options::default()
    };
    let binding = Binding {
        boot_sets: one_boot_set(),
        options: &options,
        unknown: UnknownPolicy::Reboot,
        service_patience: Duration::from_secs(60),
        threshold_percent: 75,
        rollout: &Rollout::default(),
        power_intervals: Vec::new(),
    };
    let plan = compile(&workflows.get("reboot").unwrap().workflow, &binding).unwrap();
    insta::assert_json_snapshot!("reboot_frozen_options", plan);
}

#[test]
fn members_are_in_the_order_of_their_numbers() {
    let mut boot_sets = vec![boot_set("compute", 1000, 6), boot_set("gateways", 10, 2)];
    boot_sets[0].members.reverse();
    let plan = bind("shutdown", boot_sets).unwrap();
    assert!(plan.members.is_sorted_by_key(|member| member.component));
    assert_eq!(plan.members.len(), 8);
}

#[test]
fn the_hash_names_what_is_done_and_not_the_databases_numbers() {
    let hash_of = |change: &dyn Fn(&mut BoundBootSet)| {
        let mut boot_sets = one_boot_set();
        change(&mut boot_sets[0]);
        hash(&bind("boot", boot_sets).unwrap())
    };
    let plain = hash_of(&|_| {});
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, hash_of(&|set| set.artifacts.as_mut().unwrap().id = BootArtifactsId(8)));
    assert_eq!(plain, hash_of(&|set| set.members.iter_mut().for_each(|member| member.0.0 += 5)));
    assert_ne!(plain, hash_of(&|set| set.artifacts.as_mut().unwrap().artifacts.kernel.push('x')));
    assert_ne!(plain, hash_of(&|set| set.members.truncate(5)));
    assert_ne!(plain, hash_of(&|set| set.configuration = Some("other".to_owned())));
}

#[test]
fn what_cannot_be_bound_is_refused() {
    let refused = |operation, boot_sets| {
        let mistakes = bind(operation, boot_sets).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let twice = vec![boot_set("compute", 1000, 2), boot_set("gateways", 1000, 1)];
    assert_eq!(
        refused("shutdown", twice),
        "shutdown.yaml: x1000c0s0b0n0 is in the boot sets compute and gateways"
    );
    let nothing = vec![BoundBootSet { artifacts: None, ..boot_set("compute", 1000, 2) }];
    assert_eq!(refused("reboot", nothing.clone()), "reboot.yaml: boot set compute has nothing to boot");
    assert!(bind("shutdown", nothing).is_ok());
    assert_eq!(refused("boot", vec![boot_set("compute", 1000, 0)]), "boot.yaml: there is nobody to act upon");
}

#[test]
fn contradicting_orders_are_refused() {
    let text = "
steps:
  - {name: inspect, verb: inspect, goal: shutdown}
  - {name: power_off, verb: power_off, needs: [inspect], when: [powers_off]}
barriers:
  - {by: all, after: power_off, before: [inspect]}
";
    let workflow = workflow::parse("odd", text).unwrap();
    let mistakes = bind_to(&workflow, ordered()).unwrap_err();
    assert!(mistakes[0].to_string().contains("would have to wait for itself"), "{}", mistakes[0]);
}

#[test]
fn every_mistake_of_a_workflow_is_reported_at_once() {
    let text = "
steps:
  - name: inspect
    verb: inspect
    gaol: boot
  - name: power_off
    verb: powr_off
    needs: [inspekt]
    when: [powers_of]
    timeout: 5 parsecs
    attempts: 0
  - name: power_off
    verb: power_off
    soft_off_within: 90
  - name: a
    verb: tag_image
    needs: [b]
  - name: b
    verb: await_boot
    needs: [a]
    again: {from: power_on, on: [boot_timeot], times: many}
  - name: c
    verb: set_boot_parameters
    when: powers_on
    again: {from: a, on: [boot_timeout]}
  - verb: stage_configuration
    enable: perhaps
barriers:
  - by: boot_order
    after: await_boots
    before: [b]
  - by: all
    after: b
    threshold_percent: 120
retries: 3
";
    let mistakes = workflow::parse("site", text).unwrap_err();
    insta::assert_snapshot!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn text_that_is_no_yaml_is_one_mistake() {
    let mistakes = workflow::parse("site", "steps: [").unwrap_err();
    assert_eq!(mistakes.len(), 1);
    insta::assert_snapshot!(mistakes[0].to_string());
    let mistakes =
        workflow::parse("site", "steps:\n  - {name: a, verb: power_off, verb: power_on}").unwrap_err();
    insta::assert_snapshot!(mistakes[0].to_string());
    insta::assert_snapshot!(workflow::parse("site", "").unwrap_err()[0].to_string());
}

#[test]
fn a_site_replaces_and_adds_operations() {
    let site = ("drain".to_owned(), workflow::EMBEDDED[3].1.to_owned());
    let workflows = workflow::Workflows::load([site]).unwrap();
    let operations: Vec<_> = workflows.operations().collect();
    assert_eq!(operations, ["boot", "configure", "drain", "reboot", "shutdown"]);
    let broken = ("boot".to_owned(), "steps: []".to_owned());
    let mistakes = workflow::Workflows::load([broken]).unwrap_err();
    assert_eq!(mistakes[0].to_string(), "boot.yaml: there are no steps");
}

#[test]
fn every_mistake_of_a_sites_own_steps_is_reported_at_once() {
    let text = "
steps:
  - {name: nothing, verb: http}
  - name: call
    verb: http
    call: {url: wlm.example.com/drain, method: GET, body: x}
    wait: {url: 'https://me:secret@wlm/state', method: put, until: {at: state, equals: [1]}}
    token: {secret: abc}
    per: sessions
    batch: 0
  - name: ask
    verb: http
    wait: {method: POST, until: {}}
    disturbs: true
    token: {file: /a, environment: B}
    per: slice
    batch: 5
    tokn: x
  - name: job
    verb: job
    command: []
    environment: {BOSUN_SESSION: x, LIST: [a]}
    within: 10m
    timeout: 5m
    kubernetes: {namespace: 5, imagee: slurm}
  - {name: shell, verb: jb, comand: 'true'}
";
    let mistakes = workflow::parse("site", text).unwrap_err();
    insta::assert_snapshot!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_sites_own_steps_are_shown_in_the_plan() {
    let text = "
steps:
  - {name: inspect, verb: inspect, goal: reboot}
  - name: drain
    verb: http
    call: {url: 'https://wlm/drain'}
    wait: {url: 'https://wlm/state', method: POST, until: {at: /drained, equals: true}}
    token: {file: /run/secrets/wlm}
    per: slice
    timeout: 2h
    needs: [inspect]
    when: [powers_off]
  - {name: power_off, verb: power_off, needs: [drain], when: [powers_off]}
  - {name: healthy, verb: http, wait: {url: 'http://monitor/ready'}, needs: [power_off]}
  - name: check
    verb: job
    command: [sh, -c, \"while read -r name; do ping -c 1 -W 2 \\\"$name\\\" >/dev/null || exit 1; done; echo and so on\"]
    environment: {RETRIES: 3}
    needs: [healthy]
  - {name: note, verb: job, command: [note], per: session, attempts: 2, needs: [check]}
";
    let workflow = workflow::parse("careful", text).unwrap();
    let plan = bind_to(&workflow, one_boot_set()).unwrap();
    insta::assert_snapshot!(render::tree(&plan));
    let stored = serde_json::to_value(&plan).unwrap();
    assert_eq!(
        serde_json::from_value::<Plan>(stored.clone()).unwrap(),
        plan,
        "it is kept as it is: {stored}"
    );
}

#[test]
fn a_share_of_a_boot_set_that_was_set_to_nothing_can_be_set_again() {
    let mut plan = bind("boot", ordered()).unwrap();
    let names: Vec<String> =
        plan.shares(&BTreeMap::new()).iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(!names.is_empty() && names.len() < plan.slices.len(), "{names:?}");
    let thresholds = BTreeMap::from([(names[0].clone(), 0)]);
    plan.apply(&Settings { thresholds: thresholds.clone(), ..Settings::default() });
    assert_eq!(plan.shares(&thresholds)[0], (names[0].as_str(), 0));
    assert_eq!(plan.shares(&thresholds).len(), names.len());
}
