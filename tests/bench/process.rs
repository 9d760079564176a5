//! Processor time and memory by process, as the kernel counts them.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Linux counts a process' time in hundredths of a second, on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// A worker that grows in its last moments is seen at most so much too small.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Seconds of processor time.
#[derive(Debug, Clone, Copy)]
struct Times {
    parent: u32,
    own: f64,
    /// Of children that have ended.
    reaped: f64,
}

fn times(pid: u32) -> Option<Times> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let seconds = |at: usize| fields.get(at)?.parse::<f64>().ok().map(|ticks| ticks / TICKS_PER_SECOND);
    Some(Times {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(11)? + seconds(12)?,
        reaped: seconds(13)? + seconds(14)?,
    })
}

/// The processes below one, those that ended but were not waited for included.
pub fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&child| times(child).is_some_and(|times| times.parent == pid))
        .collect()
}

/// The workers that a server's launcher runs now.
pub fn workers(server: u32) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"worker")
    };
    children(server).into_iter().filter(is_worker).collect()
}

/// A process' own time.
pub fn own_seconds(pid: u32) -> f64 {
    times(pid).map_or(0.0, |times| times.own)
}

/// The time of all workers that a server ever had: the launcher waits for each, so the kernel adds them up.
pub fn worker_seconds(server: u32) -> f64 {
    let live: f64 = workers(server).into_iter().map(own_seconds).sum();
    live + times(server).map_or(0.0, |times| times.reaped)
}

/// A process' time with that of everything below it, ended or not.
pub fn tree_seconds(pid: u32) -> f64 {
    let below: f64 = children(pid).into_iter().map(tree_seconds).sum();
    below + times(pid).map_or(0.0, |times| times.own + times.reaped)
}

/// The most memory a process ever had resident, in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Peaks of processes that come and go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peaks {
    /// The largest worker, in MiB.
    pub worker: f64,
    /// The largest process of Postgres, shared memory included, in MiB.
    pub postgres: f64,
}

/// Looks at processes until it is told to stop.
pub struct Watch {
    over: Arc<AtomicBool>,
    peaks: Arc<Mutex<Peaks>>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to look at a server's workers and at Postgres' processes.
    pub fn start(server: u32, postgres: u32) -> Self {
        let (over, peaks) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Peaks>>::default());
        let (stop, seen) = (over.clone(), peaks.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let highest = |pids: Vec<u32>| pids.into_iter().map(peak_mib).fold(0.0, f64::max);
                let (worker, backend) = (highest(workers(server)), highest(children(postgres)));
                let mut peaks = seen.lock().unwrap();
                peaks.worker = peaks.worker.max(worker);
                peaks.postgres = peaks.postgres.max(backend);
                drop(peaks);
                thread::sleep(LOOK_INTERVAL);
            }
        });
        Self { over, peaks, thread }
    }

    /// Stops, and tells what was seen.
    pub fn stop(self) -> Peaks {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        *self.peaks.lock().unwrap()
    }
}
