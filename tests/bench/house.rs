//! A simulated machine, a database and `bosun dev`, started for one size.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bosun::db::{self, Pool, private::PrivatePostgres};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How PCS is set up, here and there.
pub const PCS_SAMPLE: Duration = Duration::from_secs(1);
/// How long PCS sleeps before each look for a confirmation.
pub const PCS_CONFIRM: Duration = Duration::from_secs(1);
/// From a request until PCS orders the first node: the time it needs to make its tasks.
pub const PCS_START: Duration = Duration::from_millis(300);
/// The machine's other times; each node's own deviate by up to 10 %.
const TIMES: [(&str, &str); 4] =
    [("--soft-off", "5s"), ("--power-on", "2s"), ("--boot", "20s"), ("--configure", "10s")];

/// How long a part may take to start: 100,000 nodes and their components are made.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// The template that every session is of.
pub const TEMPLATE: &str = "bench";

/// Everything for one size.
pub struct House {
    pub pool: Pool,
    pub postgres: PrivatePostgres,
    /// `bosun dev`: the API, admission and the launcher.
    pub dev: Child,
    machine: Child,
    /// Roots.
    pub bosun_url: String,
    machine_url: String,
    http: reqwest::Client,
    directory: PathBuf,
}

impl House {
    /// Starts everything, and waits until bosun knows every component.
    pub async fn start(components: usize) -> Self {
        // On disk, not in memory: a checkpoint is as fast as its commit.
        let directory = Path::new("/var/tmp").join(format!("bosun-bench-{}", std::process::id()));
        let postgres = PrivatePostgres::start(&directory).await.unwrap();
        let (machine, machine_url) =
            start(program().arg("simulate").args(["--listen", "127.0.0.1:0"]).args(machine(components)))
                .await;
        let url = postgres.url();
        let roots =
            ["hsm", "pcs", "bss", "cfs", "ims"].map(|service| format!("--{service}-url={machine_url}"));
        let (dev, bosun_url) = start(
            program()
                .args(["dev", "--listen", "127.0.0.1:0", "--database-url", &url])
                .args(roots)
                .arg(format!("--s3-endpoint={machine_url}/s3"))
                .env("BOSUN_PCS_SAMPLE_INTERVAL", format!("{}s", PCS_SAMPLE.as_secs()))
                .env("BOSUN_PCS_CONFIRM_INTERVAL", format!("{}s", PCS_CONFIRM.as_secs())),
        )
        .await;
        let pool = db::connect(&url, 4, "bosun bench").await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let house = Self { pool, postgres, dev, machine, bosun_url, machine_url, http, directory };
        house.sim_post("bosun-url", json!({"url": house.bosun_url})).await;
        house.keep_template().await;
        let known = "select count(*) from component";
        house.until(START_TIMEOUT, async || house.count(known).await >= components as i64).await;
        house
    }

    async fn keep_template(&self) {
        let images = self.sim("images").await;
        let images = images.as_object().unwrap();
        let image = images.values().find(|image| image["etag"].as_str() != Some("")).unwrap();
        let template = json!({
            "enable_cfs": true,
            "cfs": {"configuration": "compute-config"},
            "boot_sets": {"compute": {
                "path": image["path"],
                "type": "s3",
                "etag": image["etag"],
                "kernel_parameters": "console=ttyS0,115200 ip=dhcp",
                "node_roles_groups": ["Compute"],
                "rootfs_provider": "sbps",
                "rootfs_provider_passthrough": "sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.sim.local:300",
            }},
        });
        let url = format!("{}/v2/sessiontemplates/{TEMPLATE}", self.bosun_url);
        let answer = self.http.put(url).json(&template).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Creates a session; it is admitted when this returns.
    pub async fn create(&self, name: &str) {
        let request = json!({"template": TEMPLATE, "operation": "reboot", "name": name});
        let url = format!("{}/bosun/v1/sessions", self.bosun_url);
        let answer = self.http.post(url).json(&request).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What the simulator tells of itself.
    pub async fn sim(&self, what: &str) -> Value {
        let answer = self.http.get(format!("{}/sim/{what}", self.machine_url)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Tells the simulator something.
    pub async fn sim_post(&self, what: &str, body: Value) {
        let url = format!("{}/sim/{what}", self.machine_url);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{what}: {}", answer.text().await.unwrap());
    }

    /// When PCS last saw a change of this node: one of the moments at which it refilled its table.
    pub async fn pcs_sampled_at(&self, xname: &str) -> Value {
        let url = format!("{}/apis/power-control/v1/power-status?xname={xname}", self.machine_url);
        let status: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        status["status"][0]["lastUpdated"].clone()
    }

    /// One number from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits for a condition, looking often enough to measure by.
    pub async fn until(&self, at_most: Duration, mut holds: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(at_most, wait).await.expect("the condition holds in time");
    }

    /// The process of `bosun dev`.
    pub fn server(&self) -> u32 {
        self.dev.id().expect("it runs until it is ended")
    }

    /// Ends `bosun dev`; the database stays.
    pub async fn end_dev(&mut self) {
        end(&mut self.dev).await;
    }

    /// Ends the rest, and leaves nothing.
    pub async fn end(mut self) {
        end(&mut self.machine).await;
        self.pool.close().await;
        self.postgres.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bosun"));
    command.env("BOSUN_LOG", "warn").env_remove("DATABASE_URL").kill_on_drop(true);
    command
}

fn machine(components: usize) -> Vec<String> {
    let mut flags = vec![
        format!("--nodes={components}"),
        format!("--pcs-sample-interval={}s", PCS_SAMPLE.as_secs()),
        format!("--pcs-confirm-interval={}s", PCS_CONFIRM.as_secs()),
        format!("--pcs-start={}ms", PCS_START.as_millis()),
    ];
    flags.extend(TIMES.map(|(flag, time)| format!("{flag}={time}")));
    flags
}

/// Starts a role and waits for its `ready URL`.
async fn start(command: &mut Command) -> (Child, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(url) = line.strip_prefix("ready ") {
                return url.to_owned();
            }
        }
        panic!("a role ended before it was ready");
    };
    let url = timeout(START_TIMEOUT, ready).await.expect("a role is ready in time");
    (child, url)
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id() {
        kill(pid, Signal::TERM);
    }
    if timeout(END_TIMEOUT, child.wait()).await.is_err() {
        child.kill().await.unwrap();
    }
}

/// Sends a signal to one of our own processes.
pub fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number");
    let _ = kill_process(pid, signal);
}
