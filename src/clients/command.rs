//! Commands of a site's own, as processes of the worker's machine.
//!
//! They stand among the clients because to a step this machine is one more service: it is asked for something, it may be
//! lost with what it was asked, and it has limits. A command lives no longer than the worker that started it: it runs
//! in the process group of a guard, a shell whose standard input is a pipe from us, and which kills the whole group when
//! that closes, however we went. So after a worker's death nobody has to look for what is left of it: a command that this
//! worker does not know has ended without a result, and is lost.
//!
//! A command gets `PATH`, `HOME`, `LANG` and `TZ` of the worker and what its step declares, never the worker's own
//! environment: that holds the database's password.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command as Process},
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

/// Most commands at once on this machine, for one worker.
const RUNNING_MAX: usize = 8;
/// Most bytes of standard error that are kept: the last ones.
const ERROR_BYTES_MAX: usize = 4 << 10;
/// Most bytes of a line on standard output that are kept: one may name 100,000 components.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How long it may take until what a killed group had open is closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// What commands inherit.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// Waits until we are gone, or done, and kills its process group: the command, its children and itself.
const GUARD: &str = "read -r _; kill -KILL 0";

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables beside the inherited ones.
    pub environment: BTreeMap<String, String>,
    /// What stands on its standard input.
    pub input: String,
    /// How long it may take, waiting for its turn included.
    pub within: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why it did not end with exit code 0; none if it did.
    pub trouble: Option<String>,
    /// The last line on its standard output.
    pub last_line: String,
    /// The end of its standard error.
    pub errors: String,
}

/// The commands of this worker, by name.
#[derive(Debug, Clone)]
pub struct Commands {
    /// None while it runs.
    known: Arc<Mutex<HashMap<String, Option<Ended>>>>,
    turns: Arc<Semaphore>,
}

impl Default for Commands {
    fn default() -> Self {
        Self { known: Arc::default(), turns: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Commands {
    /// Starts a command; one of a known name is not started again.
    pub fn start(&self, name: &str, command: Command) {
        let mut known = self.known.lock().expect("nothing panics while it is held");
        if known.contains_key(name) {
            return;
        }
        known.insert(name.to_owned(), None);
        drop(known);
        let (commands, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            let ended = commands.run(command).await;
            let mut known = commands.known.lock().expect("nothing panics while it is held");
            known.insert(name, Some(ended));
        });
    }

    /// How a command stands: unknown, running, or ended.
    pub fn look(&self, name: &str) -> Option<Option<Ended>> {
        self.known.lock().expect("nothing panics while it is held").get(name).cloned()
    }

    async fn run(&self, command: Command) -> Ended {
        let until = Instant::now() + command.within;
        let never =
            |trouble| Ended { trouble: Some(trouble), last_line: String::new(), errors: String::new() };
        let Ok(turn) = timeout_at(until, self.turns.acquire()).await else {
            return never(
                "other commands of this session took too long: it was not started in time".to_owned(),
            );
        };
        let ended = match Group::start(&command) {
            Ok(group) => group.end(command, until).await,
            Err(error) => never(format!("it could not be started: {error}")),
        };
        drop(turn);
        ended
    }
}

/// A command with its guard.
struct Group {
    guard: Child,
    child: Child,
}

impl Group {
    fn start(command: &Command) -> std::io::Result<Self> {
        let guard = Process::new("sh")
            .args(["-c", GUARD])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let group = guard.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let inherited: Vec<(&str, OsString)> = inherited.collect();
        let (program, arguments) = command.words.split_first().map_or(("", [].as_slice()), |(p, a)| (p, a));
        // Into the guard's group: should we die just now, it does not begin at all.
        let child = Process::new(program)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .envs(&command.environment)
            .current_dir("/")
            .process_group(group)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { guard, child })
    }

    async fn end(mut self, command: Command, until: Instant) -> Ended {
        let input = self.child.stdin.take();
        tokio::spawn(async move {
            if let Some(mut input) = input {
                // It need not read everything, or anything.
                let _ = input.write_all(command.input.as_bytes()).await;
            }
        });
        let out = self.child.stdout.take().map(|out| tokio::spawn(last_line(out)));
        let errors = self.child.stderr.take().map(|errors| tokio::spawn(last_bytes(errors)));
        let status = timeout_at(until, self.child.wait()).await;
        // Whatever it left behind ends with it; so does the guard.
        drop(self.guard.stdin.take());
        let _ = timeout(CLOSE_PATIENCE, self.guard.wait()).await;
        let _ = timeout(CLOSE_PATIENCE, self.child.wait()).await;
        let trouble = match status {
            Ok(Ok(status)) => (!status.success()).then(|| how(status)),
            Ok(Err(error)) => Some(format!("it was lost: {error}")),
            Err(_) => {
                let within = humantime::format_duration(command.within);
                Some(format!("it was still running after {within}, and was killed"))
            }
        };
        Ended { trouble, last_line: heard(out).await, errors: heard(errors).await }
    }
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => format!("it was ended by a {status}"),
    }
}

async fn heard(reader: Option<tokio::task::JoinHandle<Vec<u8>>>) -> String {
    let bytes = match reader {
        Some(reader) => timeout(CLOSE_PATIENCE, reader).await.ok().and_then(Result::ok).unwrap_or_default(),
        None => Vec::new(),
    };
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The last line that is not blank; one that is too long is none.
async fn last_line(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut last, mut line, mut buffer) = (Vec::new(), Vec::new(), vec![0; 16 << 10]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            if line.len() <= LINE_BYTES_MAX {
                line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                keep(&mut last, &mut line);
            }
        }
    }
    keep(&mut last, &mut line);
    last
}

fn keep(last: &mut Vec<u8>, line: &mut Vec<u8>) {
    if line.len() > LINE_BYTES_MAX {
        last.clear();
    } else if !line.trim_ascii().is_empty() {
        std::mem::swap(last, line);
    }
    line.clear();
}

async fn last_bytes(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut last, mut buffer) = (Vec::new(), vec![0; ERROR_BYTES_MAX]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        last.extend_from_slice(&buffer[..count]);
        last.drain(..last.len().saturating_sub(ERROR_BYTES_MAX));
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command {
            words: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: BTreeMap::from([("GIVEN".to_owned(), "1".to_owned())]),
            input: "x1\nx2\n".to_owned(),
            within: Duration::from_secs(20),
        }
    }

    async fn run(command: Command) -> Ended {
        Commands::default().run(command).await
    }

    #[tokio::test]
    async fn it_reads_names_and_its_last_words_are_kept() {
        let ended = run(shell("wc -l; echo; echo first >&2; echo last >&2; exit 3")).await;
        assert_eq!((ended.trouble.as_deref(), ended.last_line.as_str()), (Some("exit code 3"), "2"));
        assert_eq!(ended.errors, "first\nlast");
        let good = run(shell("env; echo '{\"failed\": {}}'")).await;
        assert_eq!((good.trouble, good.last_line.as_str()), (None, "{\"failed\": {}}"));
        // More than a pipe holds, in both directions, and none of it read.
        let deaf =
            Command { input: "x".repeat(1 << 20), ..shell("yes | head -c 300000; yes | head -c 300000 >&2") };
        let ended = run(deaf).await;
        assert_eq!(
            (ended.trouble, ended.last_line.as_str(), ended.errors.len()),
            (None, "y", ERROR_BYTES_MAX - 1)
        );
    }

    #[tokio::test]
    async fn it_sees_nothing_of_the_workers_own_environment() {
        let ended =
            run(shell("env | grep -v -e ^PWD -e ^SHLVL -e ^_= | cut -d= -f1 | sort | tr '\\n' ' '")).await;
        let known = ["GIVEN", "HOME", "LANG", "PATH", "TZ"];
        assert!(ended.last_line.split(' ').all(|name| known.contains(&name)), "{}", ended.last_line);
        assert!(ended.last_line.contains("GIVEN") && ended.last_line.contains("PATH"), "{}", ended.last_line);
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_its_children() {
        let marker = format!("9{}", std::process::id());
        let hangs = Command {
            within: Duration::from_millis(300),
            ..shell(&format!("sleep {marker} & sleep {marker}"))
        };
        let ended = run(hangs).await;
        assert_eq!(ended.trouble.as_deref(), Some("it was still running after 300ms, and was killed"));
        let left = Process::new("pgrep").args(["-f", &format!("^sleep {marker}")]).output().await.unwrap();
        assert!(left.stdout.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_so_and_a_name_is_started_once() {
        let commands = Commands::default();
        let unknown = Command { words: vec!["no-such-program".to_owned()], ..shell("") };
        commands.start("bosun-1-1", unknown.clone());
        let ended = loop {
            match commands.look("bosun-1-1").unwrap() {
                Some(ended) => break ended,
                None => tokio::task::yield_now().await,
            }
        };
        assert!(
            ended.trouble.as_deref().unwrap().starts_with("it could not be started: No such file"),
            "{ended:?}"
        );
        commands.start("bosun-1-1", shell("true"));
        assert_eq!(commands.look("bosun-1-1").unwrap(), Some(ended));
        assert_eq!(commands.look("bosun-1-2"), None);
    }
}
