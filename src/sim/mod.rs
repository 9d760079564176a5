//! A simulated machine, over real HTTP: HSM, PCS, BSS, CFS, IMS, TAPMS, S3 and the nodes themselves.
//!
//! It is a second, independent reading of the services' contracts: it shares no code with `clients`, so that a
//! misreading on one side shows on the other. It reproduces what surprises: tables that lag, silent answers, statuses
//! of before, pages, reservations, nodes that do not do what they were told.
//!
//! | file | holds |
//! |---|---|
//! | `settings.rs` | what the machine looks like, how fast it is, what is broken |
//! | `world.rs` `clock.rs` | the whole machine as one value, and the queue of what is to happen |
//! | `machine.rs` | power that follows orders a little later, and nodes that boot what BSS says |
//! | `hsm.rs` `pcs.rs` `bss.rs` `cfs.rs` `ims.rs` `tapms.rs` `s3.rs` | the services, each with its records and its routes |
//! | `node.rs` | the reporter on the nodes, which tells bosun what they booted |
//! | `front.rs` `faults.rs` `door.rs` | what every request passes: counters, faults, connections that can be cut |
//! | `control.rs` | `/sim`: looking behind the scenes and moving them |
//! | `layout.rs` `http.rs` | names and places; small pieces of HTTP |
//!
//! There is one listener. Every service is found bare, as inside a cluster, and behind CSM's gateway paths.

mod bss;
mod cfs;
mod clock;
mod control;
mod door;
mod faults;
mod front;
mod hsm;
mod http;
mod ims;
mod layout;
mod machine;
mod node;
mod pcs;
mod s3;
mod settings;
mod tapms;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::faults::{FaultKind, NodeFault, Rule, Service};
pub use self::front::{Counters, RequestEntry};
pub use self::machine::{EdgeEntry, PowerLogEntry};
pub use self::s3::SeededImage;
pub use self::settings::{Initially, NodeGroup, Pick, Settings};

use self::clock::{Clock, Moment};
use self::door::{Connection, Door};
use self::front::Front;
use self::world::{Report, World};

/// How long a shutdown waits for requests under way.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// Why the simulator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {listen}: {source}; choose another address or stop what uses it")]
    Listen {
        /// What was asked for.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listener has no address, or signals cannot be waited for.
    #[error("cannot run the simulator: {0}")]
    System(#[from] io::Error),
}

/// Serves a simulated machine on `listen` until the process is told to stop. Prints `ready` and the URL on standard
/// output once it answers.
///
/// # Errors
/// [`Error::Listen`] if the address cannot be bound.
pub async fn run(settings: Settings, listen: SocketAddr) -> Result<(), Error> {
    let listener = TcpListener::bind(listen).await.map_err(|source| Error::Listen { listen, source })?;
    let handle = spawn(settings, listener)?;
    println!("ready {}", handle.url());
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    handle.shutdown().await;
    Ok(())
}

/// Starts a simulated machine behind `listener`. It stops when the handle is dropped.
///
/// # Errors
/// [`Error::System`] if the listener has no address.
pub fn spawn(settings: Settings, listener: TcpListener) -> Result<Handle, Error> {
    let address = listener.local_addr()?;
    let front = Front::new(settings.faults.clone());
    let (reports, outbox) = mpsc::unbounded_channel();
    let world = World::new(settings, Clock::start());
    let sim = Arc::new(Sim {
        inner: Mutex::new(Inner { world, wake_at: Moment::START }),
        front: Mutex::new(front),
        wake: Notify::new(),
        reports,
    });
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(stop.clone().run_until_cancelled_owned(drive(sim.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(node::send_reports(sim.clone(), outbox)));
    let app = router(sim.clone()).into_make_service_with_connect_info::<Connection>();
    let serve = axum::serve(Door::new(listener), app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.spawn(async move { serve.await });
    tasks.close();
    Ok(Handle { sim, address, tasks, stop: stop.drop_guard() })
}

fn router(sim: Shared) -> Router {
    let v3 = || cfs::v3_routes().merge(ims::routes());
    Router::new()
        .nest("/hsm/v2", hsm::routes())
        .nest("/apis/smd/hsm/v2", hsm::routes())
        .merge(pcs::routes())
        .nest("/v1", pcs::routes())
        .nest("/apis/power-control/v1", pcs::routes())
        .nest("/boot/v1", bss::routes())
        .nest("/apis/bss/boot/v1", bss::routes())
        .nest("/v3", v3())
        .route("/healthz", get(async || "{\"db_status\":\"ok\",\"kafka_status\":\"ok\"}"))
        .route("/healthz/ready", get(async || "{}"))
        .route("/version", get(async || "{\"version\":\"3.20.0\"}"))
        .nest("/v1alpha3", tapms::routes())
        .nest("/v2", cfs::v2_routes())
        .nest("/apis/cfs/v3", cfs::v3_routes())
        .nest("/apis/cfs/v2", cfs::v2_routes())
        .nest("/apis/ims/v3", ims::routes())
        .nest("/apis/tapms/v1alpha3", tapms::routes())
        .merge(s3::routes())
        .nest("/sim", control::routes().merge(tapms::controls()))
        .layer(axum::middleware::from_fn_with_state(sim.clone(), front::pass))
        .layer(DefaultBodyLimit::disable())
        .with_state(sim)
}

/// Lets things happen when they are due, if no request comes by before.
async fn drive(sim: Shared) {
    loop {
        let next = sim.sleep_until();
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => sim.with(|_| ()),
            () = sim.wake.notified() => {}
        }
    }
}

/// The simulator as its handlers see it.
type Shared = Arc<Sim>;

#[derive(Debug)]
struct Sim {
    inner: Mutex<Inner>,
    front: Mutex<Front>,
    /// Told when something is due before the driver would wake.
    wake: Notify,
    /// Reports on their way to the sender; the nodes bound their number, one each.
    reports: mpsc::UnboundedSender<Report>,
}

#[derive(Debug)]
struct Inner {
    world: World,
    /// Until when the driver sleeps.
    wake_at: Moment,
}

impl Sim {
    /// Brings the world to the present, does something with it, and passes on what came of it.
    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let world = &mut inner.world;
        let now = world.clock.now();
        world.advance(now);
        let result = act(world);
        world.advance(now);
        for report in world.outbox.drain(..) {
            // The sender is gone only while the simulator stops.
            _ = self.reports.send(report);
        }
        if world.queue.next().is_some_and(|next| next < inner.wake_at) {
            self.wake.notify_one();
        }
        result
    }

    /// When the driver has to wake, which it is expected to obey.
    fn sleep_until(&self) -> Instant {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = inner.world.clock;
        let next = inner.world.queue.next().unwrap_or(clock.now().after(Duration::from_secs(3600)));
        inner.wake_at = next;
        clock.instant(next)
    }

    fn front<T>(&self, act: impl FnOnce(&mut Front) -> T) -> T {
        act(&mut self.front.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    sim: Shared,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of all its services.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it, and waits a little for requests under way.
    pub async fn shutdown(self) {
        drop(self.stop);
        // What does not end in time ends with the process.
        _ = tokio::time::timeout(SHUTDOWN_PATIENCE, self.tasks.wait()).await;
    }

    /// Tells the nodes where to report to.
    pub fn set_bosun_url(&self, url: &str) {
        self.sim.with(|world| world.set_bosun_url(url));
    }

    /// Adds a service's misbehaviour.
    pub fn set_fault(&self, rule: Rule) {
        self.sim.front(|front| front.rules.push(rule));
    }

    /// Ends all misbehaviour of services.
    pub fn clear_faults(&self) {
        self.sim.front(|front| front.rules.clear());
    }

    /// Gives a node a fault; false if there is no such node.
    pub fn set_node_fault(&self, xname: &str, fault: NodeFault) -> bool {
        self.sim.with(|world| {
            let no = world.names.get(xname).copied();
            no.map(|no| world.nodes[no].faults.add(fault)).is_some()
        })
    }

    /// Gives a tenant, new or not, exactly these nodes.
    pub fn set_tenant(&self, name: &str, xnames: &[String]) {
        self.sim.with(|world| world.tapms.set(name, xnames.to_vec()));
    }

    /// Takes a tenant away.
    pub fn remove_tenant(&self, name: &str) {
        self.sim.with(|world| world.tapms.remove(name));
    }

    /// Orders sent to BMCs so far, oldest first.
    pub fn power_log(&self) -> Vec<PowerLogEntry> {
        self.sim.with(|world| world.power_log())
    }

    /// Real changes of power so far, by xname, oldest first.
    pub fn edges(&self) -> BTreeMap<String, Vec<EdgeEntry>> {
        self.sim.with(|world| world.edges())
    }

    /// Requests so far, by service and by method with route.
    pub fn counters(&self) -> Counters {
        self.sim.front(|front| front.counters.clone())
    }

    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<RequestEntry> {
        self.sim.front(|front| front.requests.iter().cloned().collect())
    }

    /// The images that the machine started with.
    pub fn images(&self) -> Vec<SeededImage> {
        self.sim.with(|world| world.s3.images().cloned().collect())
    }

    /// The nodes' xnames, in the order of the layout.
    pub fn xnames(&self) -> Vec<String> {
        self.sim.with(|world| world.nodes.iter().map(|node| node.xname.clone()).collect())
    }
}
