//! A relay before the services that counts what one worker sends them: the simulator cannot tell workers apart.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub struct Relay {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, counter.clone()));
            }
        });
        Self { address, sent, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes sent to the services so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Ends with either side: a connection that is closed is no harm to a test.
async fn relay(client: TcpStream, server: SocketAddr, sent: Arc<AtomicU64>) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_server.shutdown().await;
            }
            sent.fetch_add(read as u64, Ordering::SeqCst);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let down = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(drop) };
    tokio::try_join!(up, down).map(drop)
}
