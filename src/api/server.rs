//! Connections: how many there may be, and how long each may be slow.
//!
//! A head that does not come in time, or a client that does not read what it asked for, ends its connection; a body that
//! does not come in time is answered by 408 (`body`). Beyond the bound new connections wait in the system's queue, where
//! they cost nothing.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::tls::Certificates;

/// Most connections at once; fewer where the system allows fewer files.
const CONNECTIONS_MAX: u64 = 4_096;
/// Files that are kept for everything else: database, workers, services.
const OTHER_FILES: u64 = 256;
/// How long a request's head may take; and how long a connection may stay open between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may read nothing of what is being sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted: no files are left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How many connections there may be, and how slow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once.
    pub connections: usize,
    /// For a request's head.
    pub head: Duration,
    /// For each piece of an answer to be taken.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: connections_max(), head: HEAD_TIMEOUT, write: WRITE_TIMEOUT }
    }
}

/// Answers requests until `stop`, and then those that have begun.
pub async fn serve(
    listener: TcpListener,
    certificates: Option<Certificates>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let certificates = certificates.map(Arc::new);
    let free = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &free)).await {
        match accepted {
            Ok((stream, permit)) => {
                let serving = connection(stream, certificates.clone(), router.clone(), limits, stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> io::Result<(TcpStream, Permit)> {
    let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

/// As many as the system lets us have, and no more than we want.
fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = files.saturating_sub(OTHER_FILES).clamp(16, CONNECTIONS_MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// One connection, to its end. What a client does wrong on it is nobody else's business.
async fn connection(
    stream: TcpStream,
    certificates: Option<Arc<Certificates>>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let stream = Paced::new(stream, limits.write);
    let Some(certificates) = certificates else { return exchange(stream, router, limits, stop).await };
    match stop.run_until_cancelled(certificates.greet(stream)).await {
        Some(Ok(stream)) => exchange(stream, router, limits, stop).await,
        Some(Err(error)) => tracing::debug!("a connection ended before it began: {error}"),
        None => {}
    }
}

/// Requests and answers, to the end of the connection.
async fn exchange<S>(stream: S, router: Router, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// A stream whose other end has to go on reading.
struct Paced {
    stream: TcpStream,
    patience: Duration,
    /// Runs while something waits to be written.
    late: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, late: None }
    }

    /// Lets a write wait, but not for ever.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + self.patience)));
        match late.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(60);
    const ASK: &[u8] = b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n";

    async fn server(limits: Limits) -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async |uri: Uri| {
            if uri.path() == "/large" { vec![b'x'; 64 << 20] } else { b"small".to_vec() }
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, None, router, limits, stop.clone()));
        (address, stop)
    }

    /// What comes until the server closes the connection.
    async fn rest(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A connection that is reset is over as well.
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("it is closed");
        bytes
    }

    /// Whether an answer begins within `time`.
    async fn answered(stream: &mut TcpStream, time: Duration) -> bool {
        let mut bytes = [0; 512];
        let read = tokio::time::timeout(time, stream.read(&mut bytes)).await;
        read.is_ok_and(|read| bytes[..read.unwrap()].starts_with(b"HTTP/1.1 200"))
    }

    #[tokio::test]
    async fn a_head_that_trickles_in_is_not_waited_for() {
        let (address, _stop) = server(Limits { connections: 8, head: SHORT, write: LONG }).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        let trickle = async {
            for byte in ASK.iter().cycle().take(100_000) {
                if slow.write_all(std::slice::from_ref(byte)).await.is_err() {
                    return;
                }
                sleep(SHORT / 10).await;
            }
        };
        tokio::time::timeout(LONG, trickle).await.expect("the server closes it");
        let said = rest(&mut silent).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"));
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_let_go() {
        let (address, _stop) = server(Limits { connections: 1, head: LONG, write: SHORT }).await;
        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        // There is one place, and it comes free.
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(ASK).await.unwrap();
        assert!(answered(&mut next, LONG).await);
        assert!(rest(&mut deaf).await.len() < 64 << 20);
    }

    #[tokio::test]
    async fn there_are_so_many_connections_and_no_more() {
        let (address, stop) = server(Limits { connections: 2, head: LONG, write: LONG }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        for stream in [&mut first, &mut second] {
            stream.write_all(ASK).await.unwrap();
            assert!(answered(stream, LONG).await);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(ASK).await.unwrap();
        assert!(!answered(&mut third, SHORT).await);
        drop(first);
        assert!(answered(&mut third, LONG).await);
        // Idle connections do not keep a server from ending.
        stop.cancel();
        rest(&mut second).await;
    }
}
