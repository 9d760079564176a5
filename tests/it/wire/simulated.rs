//! The verbs against the simulated machine: a second reading of the services' contracts, made without the first.

use std::time::{Duration, Instant};

use bosun::{
    clients::{ServiceSettings, Services},
    model::{
        Timestamp,
        artifacts::BootArtifacts,
        effect::EffectNo,
        plan::Ordinal,
        reason::ReasonCode,
        verb::{Call, CallError, Decision, Goal, Member, OpenEffect, Seen, Shared, Sight, Took, Verb},
        xname::Xname,
    },
    sim::{FaultKind, Handle, Initially, NodeFault, Pick, Rule, Service, Settings, spawn},
    steps,
};
use chrono::Utc;
use tokio::net::TcpListener;

use super::{
    loopback::endpoints,
    steps::{member, shared},
};

const CONFIGURATION: &str = "day2";

/// A machine in a hurry: a minute of PCS lasts a second.
fn quick() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        nodes: 8,
        initially: Initially::On,
        soft_off: ms(60),
        force_off: ms(40),
        power_on: ms(40),
        boot: ms(200),
        configure: ms(100),
        jitter: 0.0,
        hsm_lag: ms(20),
        boot_retry: ms(50),
        pcs_sample_interval: ms(100),
        pcs_confirm_interval: ms(50),
        pcs_minute: ms(1000),
        pcs_start: ms(40),
        pcs_bmc_patience: ms(60),
        no_reporter: true,
        ..Settings::default()
    }
}

/// A machine, our clients of it, and what we know of its nodes.
struct Machine {
    sim: Handle,
    services: Services,
    xnames: Vec<Xname>,
    last_power: Option<Timestamp>,
    powered_on: Option<Timestamp>,
    noticed: Vec<Ordinal>,
}

async fn machine(settings: Settings) -> Machine {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = ServiceSettings {
        pcs_sample_interval: settings.pcs_sample_interval,
        pcs_confirm_interval: settings.pcs_confirm_interval,
        pcs_minute: settings.pcs_minute,
        write_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(4),
    };
    _ = rustls::crypto::ring::default_provider().install_default();
    let sim = spawn(settings, listener).unwrap();
    let services = Services::new(&endpoints(&sim.url()), ours).unwrap();
    let xnames = sim.xnames().iter().map(|xname| xname.parse().unwrap()).collect();
    Machine { sim, services, xnames, last_power: None, powered_on: None, noticed: Vec::new() }
}

impl Machine {
    fn members(&self) -> Vec<Member<'_>> {
        let one = |(place, xname)| {
            let ordinal = Ordinal(place as u32);
            let noticed = self.noticed.contains(&ordinal);
            let (last_power, powered_on) = (self.last_power, self.powered_on);
            Member { ordinal, noticed, last_power, powered_on, ..member(xname) }
        };
        self.xnames.iter().enumerate().map(one).collect()
    }

    async fn act(&self, verb: &Verb, rung: u8, shared: Shared<'_>) -> Result<OpenEffect, CallError> {
        let members = self.members();
        let intended_at = Utc::now();
        let call = Call { effect: EffectNo(1), rung, members: &members, shared };
        let answer = steps::act(verb, &self.services, &call).await?;
        assert!(!matches!(answer.rest, Took::Refused(_) | Took::Busy(_)), "{answer:?}");
        let members = members.iter().map(|member| member.ordinal).collect();
        Ok(OpenEffect { effect: EffectNo(1), rung, members, reference: answer.reference, intended_at })
    }

    async fn look(&self, verb: &Verb, open: &[OpenEffect], shared: Shared<'_>) -> Vec<(Ordinal, Seen)> {
        let sight = Sight { members: &self.members(), open, shared: Shared { now: Utc::now(), ..shared } };
        let mut seen = steps::observe(verb, &self.services, &sight).await.unwrap();
        seen.sort_by_key(|(ordinal, _)| *ordinal);
        seen
    }

    /// Looks until nobody is pending.
    async fn settled(&mut self, verb: &Verb, open: &[OpenEffect], shared: Shared<'_>) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.look(verb, open, shared).await;
            assert_eq!(seen.len(), self.xnames.len(), "somebody is unseen");
            let noticed = seen.iter().filter(|(_, seen)| *seen == Seen::Noticed);
            self.noticed.extend(noticed.map(|(ordinal, _)| *ordinal));
            if !seen.iter().any(|(_, seen)| matches!(seen, Seen::Pending | Seen::Noticed)) {
                return seen.into_iter().map(|(_, seen)| seen).collect();
            }
            assert!(Instant::now() < deadline, "still {seen:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes a configuration with one layer.
    async fn configuration(&self) {
        let body =
            serde_json::json!({ "layers": [{ "clone_url": "u", "playbook": "site.yml", "commit": "c" }] });
        let url = format!("{}/v3/configurations/{CONFIGURATION}", self.sim.url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(client.put(url).json(&body).send().await.unwrap().status().is_success());
    }
}

fn off() -> Verb {
    Verb::PowerOff { soft_off_within: Duration::from_secs(1), force_off_within: Duration::from_secs(1) }
}

fn on() -> Verb {
    Verb::PowerOn { within: Duration::from_secs(1), tries: 1 }
}

fn label(seen: &Seen) -> String {
    match seen {
        Seen::Reached(_) => "reached".to_owned(),
        Seen::Spent(reason) => format!("spent: {}", reason.code.label()),
        Seen::Busy(reason) => format!("busy: {}", reason.code.label()),
        Seen::Failed(reason) => format!("failed: {}", reason.code.label()),
        Seen::Skipped(reason) => format!("skipped: {}", reason.code.label()),
        Seen::Pending | Seen::Waits(_) | Seen::Noticed => format!("{seen:?}"),
    }
}

/// All reached but one.
fn all_but(seen: &[Seen], place: usize, expected: &str) {
    for (at, seen) in seen.iter().enumerate() {
        assert_eq!(label(seen), if at == place { expected } else { "reached" }, "node {at}: {seen:?}");
    }
}

#[tokio::test]
async fn a_reboot_verb_by_verb() {
    let mut machine = machine(quick()).await;
    machine.configuration().await;
    let artifacts = {
        let image = &machine.sim.images()[0];
        let manifest = machine.services.s3.manifest(&image.path).await.unwrap();
        assert_eq!(manifest.etag.as_deref(), Some(image.etag.as_str()));
        BootArtifacts {
            kernel: manifest.kernel[0].path.clone(),
            initrd: manifest.initrd[0].path.clone(),
            kernel_parameters: "console=ttyS0".to_owned(),
        }
    };
    let shared = Shared { artifacts: Some(&artifacts), configuration: Some(CONFIGURATION), ..shared() };
    assert!(machine.sim.set_node_fault(&machine.xnames[3].to_string(), NodeFault::RefuseSoftOff));

    let seen = machine.look(&Verb::Inspect { goal: Goal::Boot }, &[], shared).await;
    let unknown = Seen::Reached(Some(Decision::UnknownArtifacts));
    assert!(seen.iter().all(|(_, seen)| *seen == unknown), "up, and nobody knows with what: {seen:?}");

    let soft = machine.act(&off(), 0, shared).await.unwrap();
    let seen = machine.settled(&off(), &[soft], shared).await;
    all_but(&seen, 3, "spent: power_off_timeout");
    machine.last_power = Some(Utc::now());
    let force = machine.act(&off(), 1, shared).await.unwrap();
    let seen = machine.settled(&off(), &[force], shared).await;
    assert!(seen.iter().all(|seen| *seen == Seen::Reached(None)), "{seen:?}");

    machine.act(&Verb::SetBootParameters {}, 0, shared).await.unwrap();
    machine.act(&Verb::StageConfiguration { enable: false }, 0, shared).await.unwrap();
    machine.powered_on = Some(Utc::now());
    let start = machine.act(&on(), 0, shared).await.unwrap();
    let seen = machine.settled(&on(), &[start], shared).await;
    assert!(seen.iter().all(|seen| *seen == Seen::Reached(None)), "{seen:?}");
    machine.last_power = Some(Utc::now());
    let seen = machine.settled(&Verb::AwaitBoot {}, &[], shared).await;
    assert!(seen.iter().all(|seen| *seen == Seen::Reached(None)), "{seen:?}");
    assert_eq!(machine.noticed.len(), machine.xnames.len(), "all were seen to be on before they were ready");
    let seen = machine.settled(&Verb::AwaitConfiguration {}, &[], shared).await;
    assert!(seen.iter().all(|seen| *seen == Seen::Reached(None)), "{seen:?}");
    let edges = machine.sim.edges();
    assert!(edges.values().all(|edges| edges.len() == 2), "off and on, once each: {edges:?}");
}

#[tokio::test]
async fn each_trouble_of_a_node_has_its_name() {
    let mut machine = machine(Settings { fail_power_on: Pick::Xnames(vec![]), ..quick() }).await;
    machine.xnames.push("x9999c0s0b0n0".parse().unwrap());
    let stranger = machine.xnames.len() - 1;
    assert!(machine.sim.set_node_fault(&machine.xnames[2].to_string(), NodeFault::FailPowerOff));
    assert!(machine.sim.set_node_fault(&machine.xnames[5].to_string(), NodeFault::BmcDead));
    let lock = serde_json::json!({ "ComponentIDs": [machine.xnames[1].to_string()] });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/hsm/v2/locks/lock", machine.sim.url());
    assert!(client.post(url).json(&lock).send().await.unwrap().status().is_success());
    let effect = machine.act(&off(), 1, shared()).await.unwrap();
    let seen = machine.settled(&off(), &[effect], shared()).await;
    let labels: Vec<String> = seen.iter().map(label).collect();
    assert_eq!(labels[1], "skipped: locked");
    assert_eq!(labels[2], "spent: power_off_timeout");
    assert_eq!(labels[5], "spent: power_off_failed");
    assert_eq!(labels[stranger], "failed: unknown_to_power_control");
    for place in [0, 3, 4, 6, 7] {
        assert_eq!(labels[place], "reached");
    }
    let Seen::Spent(reason) = &seen[5] else { panic!("{:?}", seen[5]) };
    assert!(!reason.text.contains("x1000") && !reason.text.is_empty(), "{}", reason.text);
    assert_eq!(machine.services.hsm.locked_nodes().await.unwrap(), [machine.xnames[1].to_string()]);
}

#[tokio::test]
async fn a_table_that_lags_makes_nothing_succeed() {
    let ms = Duration::from_millis;
    // The premise of the window: an order takes hold within a confirmation interval.
    let settings =
        Settings { pcs_start: ms(10), force_off: ms(10), pcs_confirm_interval: ms(200), ..quick() };
    let mut machine = machine(settings).await;
    // On, posted before PCS' table shows the Off before it: "already in desired state", and a node that goes off.
    machine.act(&off(), 1, shared()).await.unwrap();
    machine.last_power = Some(Utc::now());
    let start = machine.act(&on(), 0, shared()).await.unwrap();
    let seen = machine.settled(&on(), &[start], shared()).await;
    let spent = |seen: &Seen| {
        matches!(seen, Seen::Spent(reason) if reason.code == ReasonCode::PowerOnTimeout)
            || matches!(seen, Seen::Busy(_))
    };
    assert!(seen.iter().all(spent), "{seen:?} {:?} {:?}", machine.sim.edges(), machine.sim.power_log());
}

#[tokio::test]
async fn a_lost_transition_is_found_and_one_not_taken_is_not() {
    for (kind, taken) in [(FaultKind::Lost, true), (FaultKind::Reset, false)] {
        let machine = machine(quick()).await;
        let rule = Rule { times: Some(1), ..Rule::new(Service::Pcs, "POST", "/transitions", kind) };
        machine.sim.set_fault(rule);
        let intended_at = Utc::now();
        let error = machine.act(&off(), 1, shared()).await.unwrap_err();
        assert!(matches!(error, CallError::Lost { .. }), "{error}");
        let members = machine.members();
        let call = Call { effect: EffectNo(1), rung: 1, members: &members, shared: shared() };
        let deadline = Instant::now() + Duration::from_secs(if taken { 10 } else { 1 });
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            let call = Call { shared: shared(), ..call };
            found = steps::find(&off(), &machine.services, &call, intended_at).await.unwrap();
        }
        assert_eq!(found.is_some_and(|answer| answer.reference.is_some()), taken, "{kind:?}");
        assert_eq!(!machine.sim.power_log().is_empty(), taken, "{kind:?}");
    }
}

#[tokio::test]
async fn services_say_when_it_is_too_much() {
    let machine = machine(Settings { pcs_max_xnames: 5, bss_max_hosts: Some(5), ..quick() }).await;
    assert_eq!(machine.act(&off(), 0, shared()).await.unwrap_err(), CallError::TooLarge);
    let artifacts = BootArtifacts::default();
    let shared = Shared { artifacts: Some(&artifacts), ..shared() };
    let error = machine.act(&Verb::SetBootParameters {}, 0, shared).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge | CallError::Rejected { .. }), "{error}");
}

#[tokio::test]
async fn the_machine_is_read_whole() {
    let machine = machine(Settings { nodes: 250, uan: 2, disabled: Pick::Count(1), ..quick() }).await;
    let nodes = machine.services.hsm.nodes().await.unwrap();
    assert_eq!(nodes.len(), 250);
    assert_eq!(nodes.iter().filter(|node| !node.enabled).count(), 1);
    assert_eq!(nodes.iter().filter(|node| node.sub_role.as_deref() == Some("UAN")).count(), 2);
    assert!(nodes.iter().all(|node| node.kind == "Node" && node.nid.is_some() && node.arch.is_some()));
    let ids: Vec<String> = machine.xnames.iter().map(ToString::to_string).collect();
    assert_eq!(machine.services.hsm.nodes_by_id(&ids).await.unwrap().len(), 250);
    assert_eq!(machine.services.pcs.power_status(&ids).await.unwrap().len(), 250);
    assert!(!machine.services.hsm.groups().await.unwrap().is_empty());
    let shared = Shared { configuration: Some("none such"), ..shared() };
    let seen = machine.look(&Verb::Inspect { goal: Goal::Configure }, &[], shared).await;
    assert_eq!(seen.len(), 250, "two chunks of CFS");
    assert_eq!(machine.services.cfs.configuration("none such").await.unwrap(), None);
    let image = machine.sim.images()[0].clone();
    let known = machine.services.ims.image(image.id).await.unwrap();
    assert_eq!(known.map(|image| image.id).as_deref(), Some(image.id));
}
