//! A simulated machine, a database and `bosun dev`, started for one section.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
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

use crate::process;

/// How PCS is set up, here and there.
pub const PCS_SAMPLE: Duration = Duration::from_secs(1);
/// How long PCS sleeps before each look for a confirmation.
pub const PCS_CONFIRM: Duration = Duration::from_secs(1);
/// From a request until PCS orders the first node: the time it needs to make its tasks.
pub const PCS_START: Duration = Duration::from_millis(300);
/// The machine's other times; each node's own deviate by up to 10 %.
const TIMES: &[(&str, &str)] =
    &[("--soft-off", "5s"), ("--power-on", "2s"), ("--boot", "20s"), ("--configure", "10s")];

/// How long a part may take to start: 100,000 nodes and their components are made.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// The template of all compute nodes.
pub const TEMPLATE: &str = "bench";
/// As the database knows us.
const OWN_NAME: &str = "bosun bench";

/// What is started.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub components: usize,
    /// The machine's times, as flags of the simulator.
    pub times: &'static [(&'static str, &'static str)],
    /// How long a worker's lease lives without a heartbeat.
    pub lease_time: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self { components: 0, times: TIMES, lease_time: Duration::from_secs(30) }
    }
}

/// Everything for one machine.
pub struct House {
    pub pool: Pool,
    pub postgres: PrivatePostgres,
    dev: Child,
    machine: Child,
    /// Roots.
    pub bosun_url: String,
    machine_url: String,
    pub http: reqwest::Client,
    lease_time: Duration,
    directory: PathBuf,
    sessions: AtomicUsize,
}

impl House {
    /// Starts everything, and waits until bosun knows every component.
    pub async fn start(setting: &Setting) -> Self {
        // On disk, not in memory: a checkpoint is as fast as its commit.
        let directory = Path::new("/var/tmp").join(format!("bosun-bench-{}", std::process::id()));
        let postgres = PrivatePostgres::start(&directory).await.unwrap();
        let (machine, machine_url) =
            start(program().arg("simulate").args(["--listen", "127.0.0.1:0"]).args(machine(setting))).await;
        let url = postgres.url();
        let (dev, bosun_url) = dev(&url, &machine_url, setting.lease_time).await;
        let pool = db::connect(&url, 4, OWN_NAME).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let house = Self {
            pool,
            postgres,
            dev,
            machine,
            bosun_url,
            machine_url,
            http,
            lease_time: setting.lease_time,
            directory,
            sessions: AtomicUsize::new(0),
        };
        house.sim_post("bosun-url", json!({"url": house.bosun_url})).await;
        house.keep_template().await;
        let known = "select count(*) from component";
        house.until(START_TIMEOUT, async || house.count(known).await >= setting.components as i64).await;
        house
    }

    /// Starts `bosun dev` anew, where it was killed.
    pub async fn start_dev(&mut self) {
        (self.dev, self.bosun_url) = dev(&self.postgres.url(), &self.machine_url, self.lease_time).await;
        self.sim_post("bosun-url", json!({"url": self.bosun_url})).await;
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
        self.put_template(TEMPLATE, &template).await;
    }

    /// Keeps a template.
    pub async fn put_template(&self, name: &str, template: &Value) {
        let url = format!("{}/v2/sessiontemplates/{name}", self.bosun_url);
        let answer = self.http.put(url).json(template).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A template as it may be kept under another name.
    pub async fn template(&self, name: &str) -> Value {
        let url = format!("{}/v2/sessiontemplates/{name}", self.bosun_url);
        let mut template: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let fields = template.as_object_mut().unwrap();
        fields.remove("name");
        fields.remove("tenant");
        template
    }

    /// A name that no session of this house has yet.
    pub fn fresh_name(&self) -> String {
        format!("bench-{}", self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a session; it is admitted when this returns.
    pub async fn create(&self, name: &str, template: &str) {
        let request = json!({"template": template, "operation": "reboot", "name": name});
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

    /// Services behave again.
    pub async fn forget_faults(&self) {
        let answer = self.http.delete(format!("{}/sim/faults", self.machine_url)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
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

    /// Seconds of processor time of Postgres, without what our own looks at it cost.
    pub async fn postgres_seconds(&self) -> f64 {
        let ours: Vec<i32> =
            sqlx::query_scalar("select pid from pg_stat_activity where application_name = $1")
                .bind(OWN_NAME)
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let ours = ours.into_iter().filter_map(|pid| u32::try_from(pid).ok()).map(process::own_seconds);
        process::tree_seconds(self.postgres.pid()) - ours.sum::<f64>()
    }

    /// The process of `bosun dev`: the API, admission and the launcher.
    pub fn server(&self) -> u32 {
        self.dev.id().expect("it runs until it is ended")
    }

    /// Kills `bosun dev`.
    pub async fn kill_dev(&mut self) {
        self.dev.kill().await.unwrap();
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

fn machine(setting: &Setting) -> Vec<String> {
    let mut flags = vec![
        format!("--nodes={}", setting.components),
        format!("--pcs-sample-interval={}s", PCS_SAMPLE.as_secs()),
        format!("--pcs-confirm-interval={}s", PCS_CONFIRM.as_secs()),
        format!("--pcs-start={}ms", PCS_START.as_millis()),
    ];
    flags.extend(setting.times.iter().map(|(flag, time)| format!("{flag}={time}")));
    flags
}

async fn dev(database_url: &str, machine_url: &str, lease_time: Duration) -> (Child, String) {
    let roots = ["hsm", "pcs", "bss", "cfs", "ims"].map(|service| format!("--{service}-url={machine_url}"));
    start(
        program()
            .args(["dev", "--listen", "127.0.0.1:0", "--database-url", database_url])
            .args(roots)
            .arg(format!("--s3-endpoint={machine_url}/s3"))
            .env("BOSUN_PCS_SAMPLE_INTERVAL", format!("{}s", PCS_SAMPLE.as_secs()))
            .env("BOSUN_PCS_CONFIRM_INTERVAL", format!("{}s", PCS_CONFIRM.as_secs()))
            // Workers inherit it.
            .env("BOSUN_LEASE_TIME", format!("{}s", lease_time.as_secs())),
    )
    .await
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
