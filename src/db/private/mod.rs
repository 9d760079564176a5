//! A Postgres of our own, for `dev`, `demo` and tests: started from the installed server binaries on a Unix socket, never
//! on the network. It ends when we do, however we end: a small guard process waits for our end of a pipe to close.

mod binaries;
mod lock;

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Connection, DbError, open};

/// Connections the server takes: the API's, and two for each of many workers.
const CONNECTIONS_MAX: u32 = 300;
/// How long it may take to start, crash recovery included.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at a starting or stopping server.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest path of a Unix socket is 107 bytes; `/.s.PGSQL.5432` belongs to it.
const SOCKET_DIR_MAX: usize = 90;

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The server binaries are nowhere to be found.
    #[error(
        "no Postgres server (14 or later) is installed: install the package 'postgresql' (Debian, Ubuntu) or 'postgresql-server' (RHEL, SUSE), or set BOSUN_PG_BIN to the directory that holds initdb and postgres"
    )]
    NotInstalled,
    /// Another Postgres works there.
    #[error("{dir} is in use by a running Postgres (process {pid}); stop it, or choose another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Its process.
        pid: i32,
    },
    /// The path is too long for a Unix socket.
    #[error("the path {dir} is too long for a Unix socket; choose a shorter one")]
    PathTooLong {
        /// The directory.
        dir: PathBuf,
    },
    /// A server binary failed.
    #[error("{program} failed: {text}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        text: String,
    },
    /// A file or process could not be handled.
    #[error("cannot {what} {path}: {cause}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// It runs, but does not do as it is told.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A running private Postgres; stopped when dropped.
#[derive(Debug)]
pub struct PrivatePostgres {
    dir: PathBuf,
    server: Child,
    guard: Option<Child>,
}

impl PrivatePostgres {
    /// Starts the Postgres of this directory; makes it, and its database `bosun`, where there is none. What is left of
    /// one that died is recovered; a live one is refused.
    pub async fn start(dir: &Path) -> Result<Self, PrivateError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |cause| PrivateError::Io { what, path, cause }
        };
        // First: without them nothing is made.
        let bin = binaries::find()?;
        fs::create_dir_all(dir).map_err(io("create", dir))?;
        let dir = dir.canonicalize().map_err(io("find", dir))?;
        if dir.as_os_str().len() > SOCKET_DIR_MAX {
            return Err(PrivateError::PathTooLong { dir });
        }
        let user = binaries::user();
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid)).map_err(io("give away", &dir))?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).map_err(io("open", &dir))?;
        }
        let data = dir.join("data");
        lock::check(&dir, &data)?;
        if !data.join("PG_VERSION").exists() {
            initialise(&bin, &data, user)?;
        }
        let log_path = dir.join("postgres.log");
        let log = fs::File::create(&log_path).map_err(io("write", &log_path))?;
        let errors = log.try_clone().map_err(io("write", &log_path))?;
        let server = command(&bin, "postgres", user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&dir)
            .args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0777"])
            .args(["-c", &format!("max_connections={CONNECTIONS_MAX}")])
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(io("run", &bin.join("postgres")))?;
        let guard = guard(server.id()).map_err(io("run", Path::new("sh")))?;
        let mut postgres = Self { dir, server, guard: Some(guard) };
        postgres.wait_until_ready().await?;
        postgres.create_database("bosun", None).await?;
        Ok(postgres)
    }

    /// The URL of its database `bosun`.
    pub fn url(&self) -> String {
        self.url_of("bosun")
    }

    /// The URL of one of its databases.
    pub fn url_of(&self, database: &str) -> String {
        let host: String =
            url::form_urlencoded::byte_serialize(self.dir.as_os_str().as_encoded_bytes()).collect();
        format!("postgres://bosun@localhost/{database}?host={host}")
    }

    /// The server's process, for those who want to see it die.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Creates a database where there is none, as a copy of `template` if one is named (nobody may be connected to it).
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<String, PrivateError> {
        let mut conn = open(&self.url_of("postgres"), "bosun").await?;
        if !exists(&mut conn, name).await? {
            let template = template.unwrap_or("template1");
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let text = format!("create database {} template {}", quoted(name), quoted(template));
            sqlx::query(sqlx::AssertSqlSafe(text))
                .execute(&mut conn)
                .await
                .map_err(super::error::doing("create a database"))?;
        }
        Ok(self.url_of(name))
    }

    /// Stops it: a fast shutdown, awaited.
    pub fn stop(mut self) {
        self.end();
    }

    async fn wait_until_ready(&mut self) -> Result<(), PrivateError> {
        let url = self.url_of("postgres");
        let begun = Instant::now();
        loop {
            let error = match open(&url, "bosun").await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let ended = self.server.try_wait().ok().flatten().is_some();
            if ended || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.dir.join("postgres.log")).unwrap_or_default();
                let text = format!("{error}; its log says: {}", log.trim());
                return Err(PrivateError::Failed { program: "postgres", text });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn end(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        signal(self.server.id(), Signal::INT);
        let begun = Instant::now();
        while let Ok(None) = self.server.try_wait() {
            if begun.elapsed() > STOP_TIMEOUT {
                signal(self.server.id(), Signal::QUIT);
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.server.wait();
        let _ = guard.kill();
        let _ = guard.wait();
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.end();
    }
}

async fn exists(conn: &mut Connection, name: &str) -> Result<bool, DbError> {
    sqlx::query_scalar!(r#"select exists (select from pg_database where datname = $1) as "exists!""#, name)
        .fetch_one(conn)
        .await
        .map_err(super::error::doing("look for a database"))
}

fn initialise(bin: &Path, data: &Path, user: Option<(u32, u32)>) -> Result<(), PrivateError> {
    let output = command(bin, "initdb", user)
        .arg("-D")
        .arg(data)
        .args(["-U", "bosun", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .output()
        .map_err(|cause| PrivateError::Io { what: "run", path: bin.join("initdb"), cause })?;
    if output.status.success() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(data);
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(PrivateError::Failed { program: "initdb", text })
}

/// A server binary, as a user that Postgres accepts, in a process group of its own: a Ctrl-C meant for us must not take
/// the database away before we are through.
fn command(bin: &Path, program: &str, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(bin.join(program));
    command.process_group(0).stdin(Stdio::null()).current_dir("/").env_remove("PGDATA");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Shuts the server down when our end of its standard input closes, that is, when we are gone.
fn guard(server: u32) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -INT \"$1\"", "sh", &server.to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
