//! `bosun dev` as people run it, against a simulated machine that outlives it.

use bosun::{db::Pool, plan::workflow::EMBEDDED};
use serde_json::{Value, json};

use super::{
    machine::{Machine, PCS_TIMES},
    postgres,
    process::{Done, Scratch, Server, command, kill, processes, run, until},
};

/// What verbs of the workflows are given: what a machine in a hurry needs, and some more for a busy host. Those of power
/// are PCS' minutes, which are short here.
const WAITS: [(&str, &str); 3] = [
    ("    verb: power_off\n", "    soft_off_within: 60s\n    force_off_within: 60s\n"),
    ("    verb: await_boot\n", "    timeout: 15s\n"),
    ("    verb: await_configuration\n", "    timeout: 4s\n"),
];

/// From a component's first Off to its last result: how many such spans overlap.
const MOST_INSIDE: &str = "
  with span as (
    select u.c, min(f.intended_at) as from_at,
           (select max(r.at) from step_result_batch r where r.session_id = f.session_id and u.c = any (r.component_ids)) as to_at
      from effect f join session s on s.session_id = f.session_id and s.name = $1
      cross join lateral unnest(f.component_ids) u (c)
     where f.verb in ('power_off', 'power_on') and f.state <> 'not_taken' group by u.c, f.session_id)
  select max((select count(*) from span o where o.from_at <= span.from_at and o.to_at > span.from_at)) from span";

pub struct Dev {
    server: Server,
    pub machine: Machine,
    pub pool: Pool,
    database_url: String,
    pub scratch: Scratch,
}

impl Dev {
    /// A machine, a database of its own and `dev`, with the template `demo`.
    pub async fn start(machine: &[&str], dev: &[&str]) -> Self {
        let scratch = Scratch::new();
        let machine = Machine::start(machine, &scratch).await;
        let database = postgres::database().await;
        let server = serve(&scratch, &machine, &["--database-url", &database.url], dev).await;
        let house = Self { server, machine, pool: database.pool, database_url: database.url, scratch };
        house.apply("demo", &house.template("image-a").await).await;
        house
    }

    /// Another one on the same machine, with a database of its own. The nodes report to it from now on.
    pub async fn beside(other: &Self) -> Self {
        let scratch = Scratch::new();
        let database = postgres::database().await;
        let machine = other.machine.again();
        let server = serve(&scratch, &machine, &["--database-url", &database.url], &[]).await;
        let house = Self { server, machine, pool: database.pool, database_url: database.url, scratch };
        house.apply("demo", &house.template("image-a").await).await;
        house
    }

    pub fn url(&self) -> &str {
        &self.server.url
    }

    pub fn log(&self) -> String {
        self.server.log()
    }

    /// All compute nodes with one of the machine's images.
    pub async fn template(&self, image: &str) -> Value {
        let images = self.machine.images().await;
        json!({
            "enable_cfs": true,
            "cfs": {"configuration": "compute-config"},
            "boot_sets": {"compute": {
                "path": images[image]["path"], "etag": images[image]["etag"], "type": "s3",
                "kernel_parameters": "console=ttyS0", "node_roles_groups": ["Compute"],
                "rootfs_provider": "sbps", "rootfs_provider_passthrough": "sbps:v1:iqn:_sbps:300",
            }},
        })
    }

    pub async fn apply(&self, name: &str, template: &Value) {
        let file = self.scratch.write(&format!("{name}.json"), &template.to_string());
        self.bosun(&["template", "apply", name, "--file", file.to_str().unwrap()]).await.expect(0);
    }

    /// A client command.
    pub async fn bosun(&self, arguments: &[&str]) -> Done {
        run(command(arguments).env("BOSUN_URL", self.url())).await
    }

    /// `session create --wait` of the template `demo`, with what else is given.
    pub async fn session(&self, name: &str, operation: &str, more: &[&str]) -> Done {
        let mut line = vec!["session", "create", "--template", "demo", "--operation", operation];
        line.extend(["--name", name, "--wait"]);
        line.extend(more);
        self.bosun(&line).await
    }

    /// Starts a session and comes back.
    pub async fn begin(&self, name: &str, operation: &str) {
        let line = ["session", "create", "--template", "demo", "--operation", operation, "--name", name];
        self.bosun(&line).await.expect(0);
    }

    pub async fn show(&self, name: &str) -> Value {
        self.bosun(&["session", "show", name, "-o", "json", "--full"]).await.expect(0).json()
    }

    pub async fn events(&self, name: &str) -> Vec<Value> {
        let events = self.bosun(&["session", "events", name, "-o", "json"]).await.expect(0).json();
        events.as_array().unwrap().clone()
    }

    /// Changes options of BOS.
    pub async fn options(&self, patch: &Value) {
        let mut conn = bosun::db::acquire(&self.pool).await.unwrap();
        bosun::db::options::patch(&mut conn, patch).await.unwrap();
    }

    /// Waits until the session has an event of this kind.
    pub async fn event(&self, name: &str, kind: &str) -> Value {
        let look = || async { self.events(name).await.into_iter().find(|event| event["kind"] == kind) };
        until(&format!("an event {kind}"), look).await
    }

    /// Waits until a step of the session is as wanted.
    pub async fn step(&self, name: &str, step: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = || async {
            let session = self.show(name).await;
            session["steps"].as_array()?.iter().find(|row| row["name"] == step && wanted(row)).cloned()
        };
        until(&format!("{step} as wanted"), look).await
    }

    /// How many were inside a session's gates at once, at most.
    pub async fn most_inside(&self, name: &str) -> i64 {
        let most: Option<i64> =
            sqlx::query_scalar(MOST_INSIDE).bind(name).fetch_one(&self.pool).await.unwrap();
        most.expect("somebody was inside")
    }

    /// SIGKILL for the session's worker, as soon as there is one.
    pub async fn kill_worker(&self, name: &str) {
        let id = self.show(name).await["id"].to_string();
        let own = || async {
            let workers = processes(&["worker", "--session", &id]);
            workers.into_iter().find(|worker| belongs_to(*worker, self))
        };
        kill(until("its worker", own).await);
    }

    /// SIGTERM: it ends well, and its children with it.
    pub async fn stop(&mut self) {
        let status = self.server.stop().await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// SIGKILL: it ends at once.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts it again, on the same database.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with arguments.
    pub async fn restart_with(&mut self, dev: &[&str]) {
        let database = ["--database-url", &self.database_url];
        self.server = serve(&self.scratch, &self.machine, &database, dev).await;
    }

    /// A `serve` beside it, on the same database and machine.
    pub async fn replica(&self, name: &str) -> Server {
        self.replica_with(name, &[]).await
    }

    /// The same with arguments.
    pub async fn replica_with(&self, name: &str, more: &[&str]) -> Server {
        let database = ["--database-url", &self.database_url];
        let line = line("serve", &self.scratch, &self.machine, &database, more);
        Server::start_silent(&line, self.scratch.path().join(format!("{name}.log"))).await
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }
}

/// Whether a worker's process was started by this `dev`: its log names the worker.
pub fn belongs_to(worker: i32, dev: &Dev) -> bool {
    let line = std::fs::read(format!("/proc/{worker}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.split('\0').any(|word| word.starts_with("local-") && dev.log().contains(word))
}

async fn serve(scratch: &Scratch, machine: &Machine, database: &[&str], dev: &[&str]) -> Server {
    let line = line("dev", scratch, machine, database, dev);
    let server = Server::start(&line, scratch.path().join("dev.log")).await;
    machine.introduce(&server.url).await;
    server
}

/// The command line of a role that serves this machine.
fn line(role: &str, scratch: &Scratch, machine: &Machine, database: &[&str], more: &[&str]) -> Vec<String> {
    let url = &machine.url;
    let mut line = vec![role.to_owned(), "--listen=127.0.0.1:0".to_owned()];
    for service in ["hsm", "pcs", "bss", "cfs", "ims"] {
        line.push(format!("--{service}-url={url}"));
    }
    line.push(format!("--s3-endpoint={url}/s3"));
    line.push(format!("--workflows={}", workflows(scratch)));
    line.extend(PCS_TIMES.iter().chain(database).chain(more).map(|word| (*word).to_owned()));
    line
}

/// The built-in workflows with short waits.
fn workflows(scratch: &Scratch) -> String {
    for (operation, text) in EMBEDDED {
        let short = WAITS
            .iter()
            .fold(text.to_owned(), |text, (verb, waits)| text.replace(verb, &format!("{verb}{waits}")));
        scratch.write(&format!("workflows/{operation}.yaml"), &short);
    }
    scratch.path().join("workflows").to_str().unwrap().to_owned()
}

/// A number of a session or step.
pub fn count(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Succeeded, failed, skipped; nobody is anywhere else.
#[track_caller]
pub fn ended(session: &Value) -> (i64, i64, i64) {
    let of = |key| count(session, key);
    assert_eq!((of("not_reached"), of("in_flight")), (0, 0), "{session:#}");
    assert_eq!(of("targeted"), of("succeeded") + of("failed") + of("skipped"), "{session:#}");
    for step in session["steps"].as_array().unwrap() {
        let of = |key| count(step, key);
        assert_eq!((of("not_reached"), of("in_flight")), (0, 0), "{step}");
        assert_eq!(of("targeted"), of("succeeded") + of("failed") + of("skipped"), "{step}");
    }
    (of("succeeded"), of("failed"), of("skipped"))
}

/// The reason's name and the count of every error, in order.
pub fn errors(session: &Value) -> Vec<(String, String, i64)> {
    let error = |error: &Value| {
        let text = error["error"].as_str().unwrap();
        let code = text.split(':').next().unwrap_or_default();
        (error["step"].as_str().unwrap().to_owned(), code.to_owned(), count(error, "count"))
    };
    let mut errors: Vec<_> = session["errors"].as_array().unwrap().iter().map(error).collect();
    errors.sort();
    errors
}
