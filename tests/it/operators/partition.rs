//! Boot sets by name, by role and by group, each only within its template's partition.

use serde_json::{Value, json};

use crate::support::dev::{Dev, ended};

/// The fifth is outside the partition.
const GATEWAYS: [&str; 5] =
    ["x1000c0s0b0n0", "x1000c0s0b0n1", "x1000c0s0b1n0", "x1000c0s0b1n1", "x1000c0s1b0n0"];
/// Outside the partition: one that is named (and of the group of workers), and one of the role.
const OUTSIDE: [&str; 2] = [GATEWAYS[4], "x1000c0s5b1n1"];

/// 24 nodes: four gateways, fourteen workers (a group), six with the role Application.
async fn machine() -> Dev {
    let name = |node| format!("x1000c0s{}b{}n{}", node / 4, node / 2 % 2, node % 2);
    let workers: Vec<String> = (4..18).map(name).collect();
    let workers = format!("--node-group=workers={}", workers.join(","));
    let dev = Dev::start(&["--nodes=24", "--uan=6", &workers], &[]).await;
    let hsm = crate::support::machine::client(&dev.machine.url, &["hsm", "v2"]);
    // All nodes are in it at first.
    for outside in OUTSIDE {
        hsm.delete(&["partitions", "p1", "members", outside]).await.unwrap();
    }
    dev.apply("demo", &template(&dev).await).await;
    dev
}

async fn template(dev: &Dev) -> Value {
    let mut template = dev.template("image-a").await;
    let mut whole = template["boot_sets"]["compute"].take();
    whole.as_object_mut().unwrap().remove("node_roles_groups");
    let boot_set = |key: &str, whom: Value, boot: u32| {
        let mut boot_set = whole.clone();
        boot_set[key] = whom;
        boot_set["boot_ordinal"] = json!(boot);
        boot_set["shutdown_ordinal"] = json!(4 - boot);
        boot_set
    };
    template["boot_sets"] = json!({
        "gateways": boot_set("node_list", json!(GATEWAYS), 1),
        "uan": boot_set("node_roles_groups", json!(["Application"]), 2),
        "compute": boot_set("node_groups", json!(["workers"]), 3),
    });
    template["partition"] = json!("p1");
    template
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_goes_off_in_the_one_order_and_on_in_the_other_within_its_partition() {
    let dev = machine().await;
    let plan = dev.bosun(&["plan", "--template", "demo", "--operation", "reboot"]).await.expect(0).out;
    for said in ["gateways (4)", "uan (5)", "compute (13)"] {
        assert!(plan.contains(said), "{said} in {plan}");
    }
    let done = dev.session("night", "reboot", &["-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (22, 0, 0));
    // The first call of a step, and the last result of the one that it waits for: at the earliest in the same checkpoint.
    for (before, after) in [
        ("compute/power_off", "uan/power_off"),
        ("uan/power_off", "gateways/power_off"),
        ("gateways/power_off", "gateways/power_on"),
        ("gateways/await_boot", "uan/power_on"),
        ("uan/await_boot", "compute/power_on"),
    ] {
        let in_order: bool = sqlx::query_scalar(
            "select (select max(at) from step_history where session = 'night' and step = $1)
                 <= (select min(intended_at) from effects where session = 'night' and step = $2)",
        )
        .bind(before)
        .bind(after)
        .fetch_one(&dev.pool)
        .await
        .unwrap();
        assert!(in_order, "{after} did not wait for {before}");
    }
    assert_eq!(dev.machine.ordered_on(&OUTSIDE).await, [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_set_that_is_empty_in_its_partition_is_a_mistake() {
    let dev = machine().await;
    let refused = async |change: &dyn Fn(&mut Value)| {
        let mut template = template(&dev).await;
        change(&mut template);
        dev.apply("wrong", &template).await;
        let done = dev.bosun(&["plan", "--template", "wrong", "--operation", "boot"]).await;
        assert!(done.code != 0, "{done:?}");
        done.complaint().to_owned()
    };
    let nobody =
        refused(&|template| template["boot_sets"]["gateways"]["node_list"] = json!([OUTSIDE[0]])).await;
    assert!(
        nobody.contains("gateways") && nobody.contains("nobody it names is in partition 'p1'"),
        "{nobody}"
    );
    let partition = refused(&|template| template["partition"] = json!("p11")).await;
    assert!(partition.contains("there is no HSM partition 'p11' (did you mean 'p1'?)"), "{partition}");
    let group =
        refused(&|template| template["boot_sets"]["compute"]["node_groups"] = json!(["worker"])).await;
    assert!(group.contains("there is no HSM group 'worker' (did you mean 'workers'?)"), "{group}");
    assert!(dev.machine.orders().await.is_empty());
}
