//! The Slurm examples with a real Slurm: a controller and a daemon for each of three nodes, started here.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bosun::model::session::Outcome;

use super::{example::examples, run};
use crate::support::{
    app::{App, Wish, fast},
    eventually,
    process::Scratch,
};

const START_PATIENCE: Duration = Duration::from_secs(60);
const NODES: usize = 3;

struct Slurm {
    daemons: Vec<Child>,
    conf: String,
    scratch: Scratch,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; 'make slurm' installs what is missing, or: apt-get install slurmctld slurmd slurm-client")
    });
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Ports that are free now; Slurm wants to know them beforehand.
fn ports() -> [u16; NODES + 1] {
    let held: Vec<TcpListener> = (0..=NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|index| held[index].local_addr().unwrap().port())
}

impl Slurm {
    async fn start(xnames: &[String]) -> Self {
        let scratch = Scratch::new();
        let (host, user) = (said(&mut program("hostname")), said(program("id").arg("-un")));
        let [controller, nodes @ ..] = ports();
        let root = scratch.path().display();
        let mut text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/none\n\
             CredType=cred/none\nStateSaveLocation={root}/state\nSlurmdSpoolDir={root}/%n\nSlurmctldPidFile={root}/c.pid\n\
             SlurmdPidFile={root}/%n.pid\nSlurmctldPort={controller}\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nSelectType=select/linear\nMpiDefault=none\nMailProg=/bin/true\nKillWait=1\n"
        );
        for (xname, port) in xnames.iter().zip(nodes) {
            text.push_str(&format!(
                "NodeName={xname} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1\n"
            ));
        }
        text.push_str("PartitionName=all Nodes=ALL Default=YES State=UP\n");
        std::fs::create_dir_all(scratch.path().join("state")).unwrap();
        let conf = scratch.write("slurm.conf", &text).to_str().unwrap().to_owned();
        let mut slurm = Self { daemons: Vec::new(), conf, scratch };
        slurm.daemon("slurmctld", &[]);
        for xname in xnames {
            std::fs::create_dir_all(slurm.scratch.path().join(xname)).unwrap();
            slurm.daemon("slurmd", &["-N", xname]);
        }
        let idle = async || {
            (slurm.states().iter().filter(|state| state.ends_with(" idle")).count() == NODES).then_some(())
        };
        eventually("every node idle", START_PATIENCE, idle).await;
        slurm
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let log =
            std::fs::File::create(self.scratch.path().join(format!("{name}{}.log", self.daemons.len())))
                .unwrap();
        let mut command = program(name);
        command.args(["-D", "-f", &self.conf]).args(arguments).env("SLURM_CONF", &self.conf);
        let started = command.stdout(Stdio::null()).stderr(log).spawn();
        self.daemons.push(started.unwrap_or_else(|error| {
            panic!(
                "{name}: {error}; 'make slurm' installs it, or: apt-get install slurmctld slurmd slurm-client"
            )
        }));
    }

    fn ask(&self, name: &str, arguments: &[&str]) -> String {
        said(program(name).args(arguments).env("SLURM_CONF", &self.conf).current_dir(self.scratch.path()))
    }

    /// Node, state and reason of each; none while the controller does not answer.
    fn states(&self) -> Vec<String> {
        let mut sinfo = program("sinfo");
        sinfo.args(["--noheader", "--Node", "--format=%N %T"]).env("SLURM_CONF", &self.conf);
        let output = sinfo.output().unwrap_or_else(|error| panic!("sinfo: {error}; run 'make slurm'"));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn drain(&self, node: &str, reason: &str) {
        self.ask(
            "scontrol",
            &["update", &format!("NodeName={node}"), "State=DRAIN", &format!("Reason={reason}")],
        );
    }

    fn wish(&self, operation: &str) -> Wish {
        let (_, text) = examples().into_iter().find(|(name, _)| name == operation).unwrap();
        Wish { workflow: Some(text.replace("/etc/slurm/slurm.conf", &self.conf)), ..Wish::default() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_drained_rebooted_looked_at_and_given_back() {
    let app = App::new(fast(NODES + 1)).await;
    let mut xnames = app.machine.xnames();
    xnames.sort();
    // The last node of the machine is none of Slurm's.
    let slurm = Slurm::start(&xnames[..NODES]).await;
    let node = |index: usize, state: &str| format!("{} {state}", xnames[index]);
    slurm.drain(&xnames[2], "fan");
    let job = ["--parsable", "--output=/dev/null", "--wrap=sleep 3", "-w", xnames[0].as_str()];
    let job = slurm.ask("sbatch", &job);
    let running = async || (slurm.ask("squeue", &["-h", "-j", &job, "-o", "%T"]) == "RUNNING").then_some(());
    eventually("the job to run", START_PATIENCE, running).await;

    let wish = slurm.wish("slurm_reboot");
    let session = app.admit_as("slurm_reboot", "night", &wish).await;
    let watch = async {
        let drained = async || {
            let states = slurm.states();
            (states.contains(&node(0, "draining")) && states.contains(&node(1, "drained"))).then_some(())
        };
        eventually("the drain", START_PATIENCE, drained).await;
        let ended = async || {
            let orders = app.machine.power_log().len();
            let runs = !slurm.ask("squeue", &["-h", "-o", "%i"]).is_empty();
            assert!(orders == 0 || !runs, "a node was switched off under its job");
            (!runs).then_some(())
        };
        eventually("the job's end", START_PATIENCE, ended).await;
    };
    let (driven, ()) = tokio::join!(app.drive(session, "worker"), watch);
    driven.unwrap();
    let row = app.session(session).await;
    assert_eq!(
        (row.outcome, row.succeeded),
        (Some(Outcome::Succeeded), 4),
        "{:?}",
        super::failures(&app, session).await
    );
    assert_eq!(slurm.ask("squeue", &["-h", "-o", "%i"]), "");
    // A node that was given back is asked whether it is there before it counts as idle.
    let as_before = async || {
        let expected = [node(0, "idle"), node(1, "idle"), node(2, "drained")];
        (slurm.states() == expected).then_some(())
    };
    eventually("the nodes back, but for somebody else's", START_PATIENCE, as_before).await;
    assert_eq!(slurm.ask("sinfo", &["-hN", "-n", &xnames[2], "-o", "%E"]), "fan");

    // What a session left behind is given back, and nothing else.
    slurm.drain(&xnames[1], "bosun other");
    let session = run(&app, "give-back", &slurm.wish("slurm_resume")).await;
    assert_eq!(app.session(session).await.outcome, Some(Outcome::Succeeded));
    eventually("the node back", START_PATIENCE, as_before).await;

    // Without its controller nothing is known, and nobody is switched off.
    let orders = app.machine.power_log().len();
    let mut slurm = slurm;
    let wish = slurm.wish("slurm_reboot");
    slurm.daemons[0].kill().unwrap();
    let session = app.admit_as("slurm_reboot", "blind", &wish).await;
    app.drive(session, "worker").await.unwrap();
    let failures = super::failures(&app, session).await;
    assert_eq!((failures.len(), app.machine.power_log().len()), (4, orders), "{failures:?}");
    assert!(
        failures
            .iter()
            .all(|failure| failure.0 == "compute/drain" && failure.3.contains("Unable to contact slurm"))
    );
}
