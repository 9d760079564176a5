//! A proxy before Postgres that cuts a worker's connections at a chosen write boundary, and says when it did.
//!
//! It speaks just enough of the protocol to know where a call ends: frontend messages are held back until their Sync,
//! so that a cut "before" means the server saw nothing of the call, and a cut "after" that it committed and the
//! answer was never seen.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
};
use tokio_util::sync::CancellationToken;

/// What postgres and its clients call the socket of the default port.
pub const SOCKET: &str = ".s.PGSQL.5432";
/// The startup code of a request for TLS.
const TLS_REQUEST: u32 = 80_877_103;

/// Where to cut: at which call of the writer's connections, counted from 1, and on which side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The call is never sent.
    Before(u64),
    /// The call is carried out; its answer is never seen.
    After(u64),
}

/// A running proxy.
pub struct Proxy {
    directory: PathBuf,
    calls: Arc<AtomicU64>,
    at: Arc<Mutex<Option<Cut>>>,
    cut: CancellationToken,
    over: CancellationToken,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Proxy {
    /// Listens in `directory` for clients of the server whose socket is `server`.
    pub fn start(directory: PathBuf, server: PathBuf, at: Option<Cut>) -> Self {
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(SOCKET)).unwrap();
        let proxy = Self {
            directory,
            calls: Arc::default(),
            at: Arc::new(Mutex::new(at)),
            cut: CancellationToken::new(),
            over: CancellationToken::new(),
        };
        let (calls, at) = (proxy.calls.clone(), proxy.at.clone());
        let (cut, over) = (proxy.cut.clone(), proxy.over.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = over.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((client, _)) = accepted else { return };
                let line = Line { calls: calls.clone(), cut: cut.clone(), at: at.clone() };
                let (server, over) = (server.clone(), over.clone());
                tokio::spawn(async move {
                    let cut = line.cut.clone();
                    tokio::select! {
                        () = over.cancelled() => {}
                        () = cut.cancelled() => {}
                        _ = line.relay(client, &server) => {}
                    }
                });
            }
        });
        proxy
    }

    /// The directory that clients name as `host`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Calls the writer's connections made.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Cuts at a call counted from now.
    pub fn cut_from_now(&self, cut: Cut) {
        let mut at = self.at.lock().unwrap();
        let calls = self.calls();
        *at = Some(match cut {
            Cut::Before(n) => Cut::Before(calls + n),
            Cut::After(n) => Cut::After(calls + n),
        });
    }

    /// Returns once the connections were cut.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Whether they were.
    pub fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

struct Line {
    calls: Arc<AtomicU64>,
    cut: CancellationToken,
    at: Arc<Mutex<Option<Cut>>>,
}

impl Line {
    async fn relay(self, client: UnixStream, server: &Path) -> std::io::Result<()> {
        let server = UnixStream::connect(server).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let startup = loop {
            let startup = read_startup(&mut from_client).await?;
            let code = u32::from_be_bytes([startup[4], startup[5], startup[6], startup[7]]);
            if code != TLS_REQUEST {
                break startup;
            }
            to_client.write_all(b"N").await?;
        };
        let is_writer = contains(&startup, b"application_name\0bosun worker\0");
        to_server.write_all(&startup).await?;
        // Authentication and parameters, up to the first ReadyForQuery.
        relay_until_ready(&mut from_server, Some(&mut to_client)).await?;
        if !is_writer {
            let up = tokio::io::copy(&mut from_client, &mut to_server);
            let down = tokio::io::copy(&mut from_server, &mut to_client);
            tokio::try_join!(up, down)?;
            return Ok(());
        }
        loop {
            let mut call = Vec::new();
            loop {
                let message = read_message(&mut from_client).await?;
                let kind = message[0];
                call.extend(message);
                match kind {
                    b'S' | b'Q' => break,
                    b'X' => return Ok(()),
                    _ => {}
                }
            }
            let (number, at) = {
                let at = self.at.lock().unwrap();
                (self.calls.fetch_add(1, Ordering::SeqCst) + 1, *at)
            };
            if at == Some(Cut::Before(number)) {
                self.cut.cancel();
                return Ok(());
            }
            to_server.write_all(&call).await?;
            if at == Some(Cut::After(number)) {
                relay_until_ready(&mut from_server, None).await?;
                self.cut.cancel();
                return Ok(());
            }
            relay_until_ready(&mut from_server, Some(&mut to_client)).await?;
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

async fn read_startup(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await?;
    let length = u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize;
    message.resize(length, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

async fn read_message(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.resize(1 + length, 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}

async fn relay_until_ready(
    from: &mut OwnedReadHalf,
    mut to: Option<&mut tokio::net::unix::OwnedWriteHalf>,
) -> std::io::Result<()> {
    loop {
        let message = read_message(from).await?;
        if let Some(to) = to.as_mut() {
            to.write_all(&message).await?;
        }
        if message[0] == b'Z' {
            return Ok(());
        }
    }
}
