//! `bosun serve`: the API, admission, discovery and the launcher, until SIGTERM.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::Admit,
    api::{self, ApiState},
    config::{PcsArgs, ServeArgs, Services},
    db,
    engine::launcher::{self, LauncherSettings},
};

/// Connections for requests and the loops; workers bring their own.
const CONNECTIONS_MAX: u32 = 16;
/// How often waiting sessions are looked for when nobody says that there are new ones.
const ADMISSION_INTERVAL: Duration = Duration::from_secs(2);
/// How soon discovery is tried again while HSM is down.
const DISCOVERY_RETRY: Duration = Duration::from_secs(10);
/// How often the database's sign of life is renewed.
const LIFE_INTERVAL: Duration = Duration::from_secs(60);
/// A database without a sign of life for so long was restored or copied: nothing goes on by itself (law 6).
const RESUME_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How long open requests may go on after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
