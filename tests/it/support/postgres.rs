//! One Postgres per run of the test binary, one database per test.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use bosun::db::{self, Pool, private::PrivatePostgres};
use tokio::sync::OnceCell;

static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);
const TEMPLATE: &str = "bosun_template";

struct Server {
    postgres: PrivatePostgres,
    // Waits for our end of its standard input to close, then for the server to end, and removes the directory.
    _broom: Child,
}

/// A fresh database with today's schema.
pub struct Database {
    pub url: String,
    pub pool: Pool,
}

impl Database {
    /// A new database of a server, which the caller keeps alive.
    pub async fn of(server: &PrivatePostgres) -> Self {
        let url = server.url();
        let pool = db::connect(&url, 5, "bosun test").await.unwrap();
        db::migrate(&pool).await.unwrap();
        Self { url, pool }
    }

    /// The directory of the server's socket.
    pub fn socket_directory(&self) -> PathBuf {
        let url = url::Url::parse(&self.url).unwrap();
        let (_, host) = url.query_pairs().find(|(key, _)| key == "host").unwrap();
        PathBuf::from(host.into_owned())
    }

    /// The URL of the same database by another socket.
    pub fn url_by(&self, directory: &Path) -> String {
        let mut url = url::Url::parse(&self.url).unwrap();
        url.query_pairs_mut().clear().append_pair("host", directory.to_str().unwrap());
        url.into()
    }
}

pub async fn database() -> Database {
    let server = SERVER.get_or_init(start).await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let url = server.postgres.create_database(&name, Some(TEMPLATE)).await.unwrap();
    let pool = db::connect(&url, 5, "bosun test").await.unwrap();
    Database { url, pool }
}

async fn start() -> Server {
    let dir = std::env::temp_dir().join(format!("bosun-it-{}", std::process::id()));
    let postgres = PrivatePostgres::start(&dir).await.unwrap();
    let script = "read -r _; while kill -0 \"$1\" 2>/dev/null; do sleep 0.1; done; rm -rf \"$2\"";
    let broom = Command::new("sh")
        .args(["-c", script, "sh", &postgres.pid().to_string()])
        .arg(&dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let url = postgres.create_database(TEMPLATE, None).await.unwrap();
    let pool = db::connect(&url, 1, "bosun test").await.unwrap();
    db::migrate(&pool).await.unwrap();
    pool.close().await;
    Server { postgres, _broom: broom }
}
