//! Templates and limits against a hundred nodes.

use super::*;
use crate::model::selection::InventoryComponent;

/// A hundred compute nodes x1000c0s0b0n0 … x1000c0s99b0n0; 3 are disabled, 1 is empty, 2 are locked. `group1` is
/// the first ninety and a stranger; partition `p1` the first fifty.
fn inventory() -> Inventory {
    let id = |slot: u32| format!("x1000c0s{slot}b0n0");
    let component = |slot: u32| InventoryComponent {
        is_node: true,
        is_empty: slot == 13,
        enabled: !(10..13).contains(&slot),
        arch: Arch::X86,
        role: Some("Compute".to_owned()),
        sub_role: (slot < 5).then(|| "Gateway".to_owned()),
        nid: Some(slot + 1_000),
        class: None,
    };
    Inventory {
        components: (0..100).map(|slot| (id(slot), component(slot))).collect(),
        groups: BTreeMap::from([
            ("group1".to_owned(), (0..90).map(id).chain(["x9c0s0b0n0".to_owned()]).collect()),
            ("few".to_owned(), (0..2).map(id).collect()),
        ]),
        partitions: BTreeMap::from([("p1".to_owned(), (0..50).map(id).collect())]),
        locked: BTreeSet::from([id(20), id(21)]),
        ..Inventory::default()
    }
}

fn template(boot_sets: &str) -> SessionTemplate {
    serde_json::from_str(&format!("{{\"boot_sets\": {boot_sets}}}")).unwrap()
}

fn compute() -> SessionTemplate {
    template(r#"{"compute": {"path": "p", "type": "s3", "node_roles_groups": ["Compute"]}}"#)
}

fn ask(
    template: &SessionTemplate,
    limit: &str,
    dialect: Dialect,
    include_disabled: bool,
) -> Result<Selection, SelectionError> {
    let named_sets =
        BTreeMap::from([("@failed:night".to_owned(), BTreeSet::from(["x1000c0s7b0n0".to_owned()]))]);
    let wanted = Wanted {
        template,
        limit,
        include_disabled,
        dialect,
        named_sets: &named_sets,
        tenant: None,
        reject_nids: false,
    };
    select(&wanted, &inventory())
}

fn ours(template: &SessionTemplate, limit: &str) -> Selection {
    ask(template, limit, Dialect::Bosun, false).unwrap()
}

fn refused(template: &SessionTemplate, limit: &str) -> String {
    ask(template, limit, Dialect::Bosun, false).unwrap_err().to_string()
}

#[test]
fn skips_have_reasons_and_do_not_stop_the_rest() {
    let selection = ours(&compute(), "group1,&Compute,!x1000c0s0b0n0");
    assert_eq!(selection.member_count() + selection.skipped_count(), 89);
    let skips = selection.skips_by_reason();
    assert_eq!(
        skips,
        BTreeMap::from([(ReasonCode::Locked, 2), (ReasonCode::Disabled, 3), (ReasonCode::Empty, 1)])
    );
    assert!(selection.boot_sets[0].members.is_sorted());
}

#[test]
fn disabled_components_take_part_when_asked_for() {
    let selection = ask(&compute(), "", Dialect::Bosun, true).unwrap();
    assert_eq!(selection.skips_by_reason().get(&ReasonCode::Disabled), None);
    assert_eq!(selection.member_count(), 97);
}

#[test]
fn limits_that_can_only_be_mistakes_are_refused() {
    let compute = compute();
    assert!(refused(&compute, "!x1000c0s0b0n0").contains("write 'all,!x1000c0s0b0n0'"));
    assert!(refused(&compute, "a,,b").starts_with("limit, column 3:"));
    assert!(refused(&compute, "nid000001").contains("no node has the NID 1"));
    assert_eq!(
        refused(&compute, "all,!grup1"),
        "limit, column 5: 'grup1' is no HSM group, partition or role, and not the xname of a node \
         (did you mean 'group1'?)"
    );
    assert_eq!(ours(&compute, "*").member_count(), 94);
    assert_eq!(ours(&compute, "@failed:night").member_count(), 1);
}

#[test]
fn nobody_is_refused_before_anybody_is_skipped() {
    let compute = compute();
    assert_eq!(
        refused(&compute, "x2000c0s0b0n0"),
        "no component is selected; the limit names what the template does not: x2000c0s0b0n0"
    );
    let all_skipped = ours(&compute, "x1000c0s20b0n0");
    assert_eq!((all_skipped.member_count(), all_skipped.skipped_count()), (0, 1));
    assert!(ask(&compute, "!x1000c0s0b0n0", Dialect::Bos, false).is_err());
}

#[test]
fn names_of_components_are_brought_into_canonical_form() {
    let listed = template(
        r#"{"c": {"path": "p", "type": "s3", "node_list": ["X1000C0S07B0N0", "x1000c0s3b0n0", "lamp"]}}"#,
    );
    let selection = ours(&listed, "");
    assert_eq!(
        selection.boot_sets[0].members,
        ["x1000c0s3b0n0".parse().unwrap(), "x1000c0s7b0n0".parse().unwrap()]
    );
    assert_eq!(
        selection.boot_sets[0].skipped,
        [Skipped { reason: ReasonCode::UnknownComponent, id: "lamp".to_owned() }]
    );
}

#[test]
fn roles_with_sub_roles_and_partitions_narrow() {
    let gateways =
        template(r#"{"g": {"path": "p", "type": "s3", "node_roles_groups": ["Compute_Gateway"]}}"#);
    assert_eq!(ours(&gateways, "").member_count(), 5);
    let mut narrowed = compute();
    narrowed.partition = Some("p1".to_owned());
    let selection = ours(&narrowed, "");
    assert_eq!(selection.member_count() + selection.skipped_count(), 50);
    narrowed.partition = Some("p2".to_owned());
    assert_eq!(refused(&narrowed, ""), "the template: there is no HSM partition 'p2' (did you mean 'p1'?)");
}

#[test]
fn unknown_groups_are_refused_in_our_api_and_noted_for_bos() {
    let misspelt = template(
        r#"{"c": {"path": "p", "type": "s3", "node_groups": ["group", "few"], "node_roles_groups": ["Compte"]}}"#,
    );
    assert_eq!(refused(&misspelt, ""), "boot set c: there is no HSM group 'group' (did you mean 'group1'?)");
    let selection = ask(&misspelt, "", Dialect::Bos, false).unwrap();
    assert_eq!(selection.member_count(), 2);
    assert_eq!(selection.notes.len(), 2, "{:?}", selection.notes);
}

#[test]
fn a_component_in_two_boot_sets_is_refused_or_goes_to_the_last() {
    let both = template(
        r#"{"a": {"path": "p", "type": "s3", "node_groups": ["few"]},
            "b": {"path": "p", "type": "s3", "node_list": ["x1000c0s1b0n0"]}}"#,
    );
    assert_eq!(
        refused(&both, ""),
        "1 component is in two boot sets (x1000c0s1b0n0: a and b); use a limit, or take them out of one"
    );
    let selection = ask(&both, "", Dialect::Bos, false).unwrap();
    assert_eq!(selection.boot_sets[0].members, ["x1000c0s0b0n0".parse().unwrap()]);
    assert_eq!(selection.boot_sets[1].members, ["x1000c0s1b0n0".parse().unwrap()]);
    assert!(selection.notes[0].contains("the last by name was taken"), "{:?}", selection.notes);
    assert_eq!(ours(&both, "x1000c0s0b0n0").member_count(), 1);
}

#[test]
fn architectures_have_to_fit() {
    let mut inventory = inventory();
    for (slot, arch) in [(0, Arch::Arm), (1, Arch::Unknown), (2, Arch::Other)] {
        inventory.components.get_mut(&format!("x1000c0s{slot}b0n0")).unwrap().arch = arch;
    }
    let mut template = compute();
    let mut count = |arch| {
        template.boot_sets.get_mut("compute").unwrap().arch = arch;
        let wanted = Wanted {
            template: &template,
            limit: "x1000c0s0b0n0,x1000c0s1b0n0,x1000c0s2b0n0,x1000c0s3b0n0",
            include_disabled: false,
            dialect: Dialect::Bosun,
            named_sets: &BTreeMap::new(),
            tenant: None,
            reject_nids: false,
        };
        select(&wanted, &inventory).unwrap().member_count()
    };
    assert_eq!(count(None), 2);
    assert_eq!(count(Some(Arch::Arm)), 1);
    assert_eq!(count(Some(Arch::Unknown)), 1);
}

#[test]
fn a_partition_narrows_lists_groups_and_roles_alike() {
    let mut template = template(
        r#"{"g": {"path": "p", "type": "s3", "node_groups": ["group1"]},
            "l": {"path": "p", "type": "s3", "node_list": ["x1000c0s49b0n0", "x1000c0s95b0n0", "x1000c0s96b0n0"]},
            "r": {"path": "p", "type": "s3", "node_roles_groups": ["Compute"]}}"#,
    );
    template.partition = Some("p1".to_owned());
    let named = |boot_set: &str| {
        let mut one = template.clone();
        one.boot_sets.retain(|name, _| name == boot_set);
        let selection = ours(&one, "");
        selection.member_count() + selection.skipped_count()
    };
    assert_eq!((named("g"), named("l"), named("r")), (50, 1, 50));
    template.boot_sets.get_mut("l").unwrap().node_list = Some(vec!["x1000c0s95b0n0".to_owned()]);
    assert_eq!(
        refused(&template, "x1000c0s0b0n0"),
        "boot set l names nobody; nobody it names is in partition 'p1'"
    );
    let noted = ask(&template, "", Dialect::Bos, false).unwrap();
    assert!(noted.notes.iter().any(|note| note.contains("partition 'p1'")), "{:?}", noted.notes);
    let nobody = self::template(r#"{"c": {"path": "p", "type": "s3", "node_roles_groups": ["Compte"]}}"#);
    assert_eq!(
        refused(&nobody, ""),
        "boot set c names nobody; boot set c: no node has the role 'Compte' (did you mean 'Compute'?)"
    );
}

#[test]
fn who_is_in_quarantine_or_below_a_parent_that_is_off_is_left_out() {
    let mut inventory = inventory();
    inventory.quarantined.insert("x1000c0s1b0n0".to_owned());
    inventory.parents_off.insert("x1000c0s2".to_owned());
    let judged =
        |id: &str, inventory: &Inventory| judge(id, None, false, inventory).map_err(ReasonCode::label);
    assert_eq!(judged("x1000c0s1b0n0", &inventory), Err("quarantined"));
    assert_eq!(judged("x1000c0s2b0n0", &inventory), Err("parent_off"));
    assert!(judged("x1000c0s22b0n0", &inventory).is_ok(), "another slot");
    inventory.parents_off.insert("x1000c0".to_owned());
    assert_eq!(judged("x1000c0s22b0n0", &inventory), Err("parent_off"));
}
