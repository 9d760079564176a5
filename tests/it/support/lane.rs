//! Lanes: many short runs, a few at a time, each on a database and a machine that no other run uses meanwhile.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::Mutex,
    time::{Duration, Instant},
};

use bosun::sim;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::{
    app::{App, fast},
    postgres,
};

/// Runs at once, of all tests together: two cores, and most of a run is waiting; and Postgres has a hundred connections.
const LANES: usize = 8;
static FREE_LANES: Semaphore = Semaphore::const_new(LANES);
/// A worker's calls time out after so long here, so that a lost one is dead after half as much again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Violations told of; the first ones tell most.
const TOLD_MAX: usize = 40;

/// A machine that obeys fast, but not so fast that nobody ever has to look twice.
pub fn settings(nodes: usize) -> sim::Settings {
    let ms = Duration::from_millis;
    sim::Settings {
        power_on: ms(250),
        boot: ms(600),
        configure: ms(400),
        pcs_confirm_interval: ms(100),
        ..fast(nodes)
    }
}

/// That machine, with a database of its own.
pub async fn app(settings: &sim::Settings) -> App {
    App::on(postgres::database().await, settings.clone(), WRITE_TIMEOUT).await
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Whether what was to strike it did.
    pub hit: bool,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// Carries all runs out and fails with what did not hold in any of them. Returns those that were not hit.
pub async fn run_all<P: Copy + Debug>(
    settings: &sim::Settings,
    points: impl IntoIterator<Item = P>,
    run: impl AsyncFn(&App, P, &str) -> Verdict,
) -> Vec<P> {
    let begun = Instant::now();
    let left: Mutex<VecDeque<(usize, P)>> = Mutex::new(points.into_iter().enumerate().collect());
    let told = Mutex::new(Vec::new());
    let unhit = Mutex::new(Vec::new());
    let lane = async || {
        let _lane = FREE_LANES.acquire().await.unwrap();
        if left.lock().unwrap().is_empty() {
            return;
        }
        let mut machine = app(settings).await;
        loop {
            let next = left.lock().unwrap().pop_front();
            let Some((number, point)) = next else { return };
            forget_requests(&machine).await;
            let verdict = run(&machine, point, &format!("run-{number}")).await;
            if !verdict.hit {
                unhit.lock().unwrap().push(point);
            }
            if !verdict.violations.is_empty() {
                let violations = verdict.violations.iter().map(|violation| format!("{point:?}: {violation}"));
                told.lock().unwrap().extend(violations);
                // What went wrong here must not taint the next run.
                machine = app(settings).await;
            }
        }
    };
    let total = left.lock().unwrap().len();
    join_all((0..LANES.min(total)).map(|_| lane())).await;
    let mut told = told.into_inner().unwrap();
    let many = told.len();
    told.truncate(TOLD_MAX);
    assert!(told.is_empty(), "{many} violations in {total} runs, the first:\n{}", told.join("\n"));
    println!("{total} runs in {:.0?}", begun.elapsed());
    unhit.into_inner().unwrap()
}

async fn forget_requests(app: &App) {
    let url = format!("{}/sim/reset-counters", app.machine.url());
    reqwest::Client::new().post(url).send().await.unwrap();
}
