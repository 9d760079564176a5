//! Story 6: boot sets that boot one after the other, and go off the other way round. The fourth gateway does not come up.

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended, errors},
    machine::{Order, client},
    process::until,
};

/// Gateways, user access nodes, and the rest.
const SETS: [(&str, usize); 3] = [("gateways", 4), ("uan", 6), ("compute", 30)];

struct Ordered {
    dev: Dev,
    /// Names by boot set, in the order in which they boot.
    sets: Vec<Vec<String>>,
}

impl Ordered {
    /// A machine that is off, and of which one gateway does not come up: one try each.
    async fn start() -> Self {
        let nodes: usize = SETS.iter().map(|(_, nodes)| nodes).sum();
        let dev = Dev::start(&[&format!("--nodes={nodes}"), "--initially=off"], &[]).await;
        let v2 = client(dev.url(), &["v2"]);
        let _: Value = v2.patch(&["options"], &json!({"default_retry_policy": 1})).await.unwrap();
        let machine = dev.machine.nodes().await;
        let mut names = machine.iter().map(|node| node["xname"].as_str().unwrap().to_owned());
        let sets: Vec<Vec<String>> =
            SETS.iter().map(|(_, nodes)| names.by_ref().take(*nodes).collect()).collect();
        let mut template = dev.template("image-a").await;
        let mut boot_set = template["boot_sets"]["compute"].take();
        boot_set.as_object_mut().unwrap().remove("node_roles_groups");
        let of_set = |((name, _), turn): (&(&str, usize), usize)| {
            let mut boot_set = boot_set.clone();
            boot_set["node_list"] = json!(sets[turn]);
            boot_set["boot_ordinal"] = json!(turn + 1);
            boot_set["shutdown_ordinal"] = json!(SETS.len() - turn);
            ((*name).to_owned(), boot_set)
        };
        template["boot_sets"] = Value::Object(SETS.iter().zip(0..).map(of_set).collect());
        dev.apply("ordered", &template).await;
        let ordered = Self { dev, sets };
        ordered.dev.machine.change(ordered.broken(), json!({"faults": ["never_boots"]})).await;
        let nodes = ordered.dev.machine.nodes().await;
        assert!(nodes.iter().all(|node| node["powered"] == false && node["up"] == false), "{nodes:?}");
        ordered
    }

    fn broken(&self) -> &str {
        &self.sets[0][3]
    }

    async fn create(&self, name: &str, operation: &str, threshold: &str) {
        let line = ["session", "create", "--template", "ordered", "--operation", operation, "--name", name];
        self.dev.bosun(&[&line[..], &["--threshold", threshold]].concat()).await.expect(0);
    }

    /// Orders to those of a boot set, oldest first.
    async fn orders(&self, set: usize, action: &str) -> Vec<Order> {
        let mut orders = self.dev.machine.orders().await;
        orders.retain(|order| order.action == action && self.sets[set].contains(&order.xname));
        orders
    }

    /// Nobody of a boot set was ordered on before all of the one before who came up had done so, as the machine has it.
    async fn judge_boot(&self) {
        let nodes = &self.dev.machine.nodes().await;
        let up_since = |set: usize| {
            let of_set = move |node: &&Value| self.sets[set].iter().any(|name| node["xname"] == **name);
            let up = nodes.iter().filter(of_set).filter(|node| node["up"] == true);
            up.map(|node| node["up_since"].as_str().unwrap())
        };
        for (set, (name, _)) in SETS.iter().enumerate().skip(1) {
            let first = self.orders(set, "on").await.into_iter().map(|order| order.at).min().unwrap();
            let last = up_since(set - 1).max().unwrap();
            assert!(last < first.as_str(), "{name} began at {first}, {last} is later");
        }
        assert_eq!(up_since(2).count(), 30);
    }

    /// The same of a session's results and calls, as its history has it; also of whom it waited for in vain. The last result
    /// and the first intent may be in one checkpoint.
    async fn judge_history(&self, session: &str) {
        let (settled, first): (bool, bool) = sqlx::query_as(
            "with first as (select min(intended_at) as at from effects
                             where session = $1 and verb = 'power_on' and step = 'uan/power_on'),
                  compute as (select min(intended_at) as at from effects
                               where session = $1 and step = 'compute/power_on')
             select (select max(h.at) <= first.at from step_history h
                      where h.session = $1 and h.step = 'gateways/await_boot' and h.result in ('succeeded', 'failed')),
                    (select max(h.at) <= compute.at from step_history h
                      where h.session = $1 and h.step = 'uan/await_boot' and h.result in ('succeeded', 'failed'))
               from first, compute",
        )
        .bind(session)
        .fetch_one(&self.dev.pool)
        .await
        .unwrap();
        assert!(settled && first, "uan began after the gateways: {settled}; compute after uan: {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_of_four_are_enough_and_all_goes_off_the_other_way_round() {
    let ordered = Ordered::start().await;
    let dev = &ordered.dev;
    ordered.create("evening", "boot", "75%").await;
    let done = dev.bosun(&["session", "wait", "evening", "-o", "json"]).await.expect(3).json();
    assert_eq!(ended(&done), (39, 1, 0), "{done:#}");
    let timed_out = ("gateways/await_boot".to_owned(), "boot_timeout".to_owned(), 1);
    assert_eq!(errors(&done), [timed_out], "{done:#}");
    ordered.judge_boot().await;
    ordered.judge_history("evening").await;

    ordered.create("night", "shutdown", "100%").await;
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (40, 0, 0), "{done:#}");
    let edges = dev.machine.edges().await;
    for (set, (name, _)) in SETS.iter().enumerate().take(SETS.len() - 1) {
        let first = ordered.orders(set, "off").await.into_iter().map(|order| order.at).min().unwrap();
        for after in &ordered.sets[set + 1] {
            let edge = edges[after].last().unwrap();
            assert!(edge.power == "off" && edge.at < first, "{name} began at {first}: {after} {edge:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_too_few_halts_the_rest_until_it_is_mended_and_its_step_restarted() {
    let ordered = Ordered::start().await;
    let dev = &ordered.dev;
    ordered.create("evening", "boot", "100%").await;
    let waits = dev.bosun(&["session", "wait", "evening"]).await.expect(7);
    let halted = dev.show("evening").await;
    assert_eq!(halted["state"], "halted", "{halted:#}");
    let reason = halted["reason"].as_str().unwrap();
    let why = "gateways/await_boot cannot reach 100 % any more (1 failed, 0 skipped of 4)";
    assert!(reason.starts_with(why), "{reason}");
    for next in ["'bosun session retry evening'", "'bosun session cancel evening'"] {
        assert!(reason.contains(next) && waits.out.contains(next), "{next} is not in {reason}, or {waits:?}");
    }
    // What stands behind the barrier is held, and off.
    let nodes = dev.machine.nodes().await;
    let dark = nodes.iter().filter(|node| node["powered"] == false && node["up"] == false).count();
    assert_eq!(dark, 36, "{nodes:?}");
    assert_eq!(ordered.orders(1, "on").await.len() + ordered.orders(2, "on").await.len(), 0);
    let behind = halted["steps"].as_array().unwrap().iter().filter(|step| {
        let name = step["name"].as_str().unwrap();
        name == "uan/power_on" || name == "compute/power_on"
    });
    assert_eq!(behind.map(|step| count(step, "not_reached")).collect::<Vec<_>>(), [6, 30]);
    let held: i64 = sqlx::query_scalar("select count(*) from claims where session = 'evening'")
        .fetch_one(&dev.pool)
        .await
        .unwrap();
    assert!(held >= 36, "{held}");
    assert_eq!(ordered.orders(0, "on").await.len(), 4);

    // Mended, it boots from the parameters that this session gave it; bosun has only to look again.
    dev.machine.change(ordered.broken(), json!({"faults": [], "power": "off"})).await;
    dev.machine.change(ordered.broken(), json!({"power": "on"})).await;
    until("the gateway is up", || async {
        let nodes = dev.machine.nodes().await;
        nodes.iter().any(|node| node["xname"] == *ordered.broken() && node["up"] == true).then_some(())
    })
    .await;
    let restart = ["step", "restart", "evening", "gateways/await_boot", "--reason", "new memory"];
    dev.bosun(&restart).await.expect(0);
    until("it goes on", || async { (dev.show("evening").await["state"] != "halted").then_some(()) }).await;
    let done = dev.bosun(&["session", "wait", "evening", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (40, 0, 0), "{done:#}");
    ordered.judge_boot().await;
    ordered.judge_history("evening").await;
    assert_eq!(ordered.orders(0, "on").await.len(), 4, "it was not power-cycled once more");
}
