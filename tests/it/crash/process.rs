//! The same with real processes and a real SIGKILL, at sampled points.

use std::time::Duration;

use bosun::sim::FaultKind;
use chrono::Utc;

use super::{NODES, Point, RUN_MAX, assert_hit, dry_run, judge, proxy, strike, unanswered};
use crate::support::{
    app::App,
    lane::{self, Verdict},
    proxy::Cut,
    worker::{self, Launch},
};

const LEASE_TIME: Duration = Duration::from_secs(30);
/// Of each kind of point.
const SAMPLES: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_worker_may_be_killed() {
    let machine = lane::settings(NODES);
    let (store, services) = dry_run(&machine).await;
    let points = (0..SAMPLES).flat_map(|nth| {
        let call = 1 + (2 * nth + 1) * store / (2 * SAMPLES);
        let request = (2 * nth + 1) * services / (2 * SAMPLES);
        [
            Point::Store(Cut::Before(call)),
            Point::Store(Cut::After(call)),
            Point::Service { nth: request, kind: FaultKind::Reset, dies: true },
            Point::Service { nth: request, kind: FaultKind::Lost, dies: true },
        ]
    });
    let unhit = lane::run_all(&machine, points, survive_kill).await;
    assert_hit(4 * SAMPLES, &unhit);
}

async fn survive_kill(app: &App, point: Point, name: &str) -> Verdict {
    let since = Utc::now();
    let session = app.admit("reboot", name).await;
    let proxy = proxy(app, session, if let Point::Store(cut) = point { Some(cut) } else { None });
    if let Point::Service { nth, kind, .. } = point {
        app.machine.set_fault(strike(nth, kind));
    }
    let launch = Launch {
        name: "first",
        database_url: &app.database.url_by(proxy.directory()),
        services_url: &app.machine.url(),
        lease_time: LEASE_TIME,
    };
    let mut first = worker::start(app, session, &launch);
    let struck = async {
        match point {
            Point::Store(_) => proxy.cut().await,
            Point::Service { .. } => unanswered(app).await,
        }
    };
    let hit = tokio::select! {
        biased;
        () = struck => true,
        ended = first.wait() => {
            let ended = ended.unwrap();
            assert!(ended.success() || proxy.is_cut(), "{point:?}: {ended}");
            proxy.is_cut()
        }
    };
    // SIGKILL; it may have gone by itself when its connection did.
    first.kill().await.unwrap();
    drop(proxy);
    app.machine.clear_faults();
    app.saw_death(session, "first").await;
    let launch = Launch { name: "second", database_url: &app.database.url, ..launch };
    let mut second = worker::start(app, session, &launch);
    let mut violations = Vec::new();
    match tokio::time::timeout(RUN_MAX, second.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        other => violations.push(format!("the second worker ended as {other:?}")),
    }
    violations.extend(judge(app, session, since).await);
    Verdict { hit, violations }
}
