//! The real program as a child process: commands that end, and roles that serve until they are told to stop.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A directory of one test, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("bosun-story-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// It ended as it should; else everything it said is shown.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The one line on stderr of a command that failed; it left nothing on stdout.
    #[track_caller]
    pub fn complaint(&self) -> &str {
        assert_eq!(self.out, "", "stderr: {}", self.err);
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!(lines.len(), 1, "one line, not: {}", self.err);
        lines[0]
    }

    pub fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

/// The program with these arguments, and nothing of our environment that it listens to.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bosun"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name == "DATABASE_URL" || (name.starts_with("BOSUN_") && name != "BOSUN_PG_BIN") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Done {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A role that serves.
pub struct Server {
    child: Child,
    log: PathBuf,
    pub url: String,
}

impl Server {
    /// Starts it, and waits for `ready URL`. Its log goes to a file, shown when the test fails.
    pub async fn start(arguments: &[String], log: PathBuf) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let file = std::fs::File::create(&log).unwrap();
        let mut child = command(&arguments).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = line.strip_prefix("ready ") {
                    return url.to_owned();
                }
            }
            panic!("{arguments:?} does not serve: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let url = tokio::time::timeout(PATIENCE, ready).await.expect("it serves at last");
        Self { child, log, url }
    }

    /// The same for one that says in its log where it serves.
    pub async fn start_silent(arguments: &[String], log: PathBuf) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let file = std::fs::File::create(&log).unwrap();
        let child = command(&arguments).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let mut server = Self { child, log, url: String::new() };
        server.url = until("it serves", || async {
            let log = server.log();
            let (_, rest) = log.split_once("bosun serves url=\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        })
        .await;
        server
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it stops").unwrap()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// Looks again and again until there is something to see.
#[track_caller]
pub fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{place}: still waiting for this: {what}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The processes whose command line holds all these words.
pub fn processes(words: &[&str]) -> Vec<i32> {
    let numbers = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let holds = |number: &i32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        words.iter().all(|word| line.split('\0').any(|argument| argument == *word))
    };
    numbers.filter(holds).collect()
}

/// The workers of a session in this database: other tests have sessions of the same number.
pub fn workers(database_url: &str, session: &str) -> Vec<i32> {
    let wanted = format!("DATABASE_URL={database_url}");
    let of_database = |number: &i32| {
        let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
    };
    processes(&["worker", "--session", session]).into_iter().filter(of_database).collect()
}

/// SIGKILL.
pub fn kill(process: i32) {
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
}
