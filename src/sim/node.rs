//! What runs on the nodes: the reporter, which tells bosun with which boot parameters a node came up.
//!
//! All nodes share one HTTP client and a bounded number of requests at once. A node whose report fails tries again
//! for as long as it is up.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use reqwest::Client;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;
use super::clock::scatter;
use super::world::{Report, World};

/// Reports on their way at once. Real nodes do not wait for each other: with 64 those of 100,000 took half a minute, and
/// the session was measured by that.
const AT_ONCE: usize = 256;

/// How long a report may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The first and the longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sends reports until it is dropped.
pub async fn send_reports(sim: Shared, reports: UnboundedReceiver<Report>) {
    // Installing a second time fails, and then the first one serves as well.
    _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(TIMEOUT).pool_max_idle_per_host(AT_ONCE).no_proxy().build();
    let client = client.expect("a client with a provider and without certificates of its own can be built");
    let stream = unfold(reports, async |mut reports| reports.recv().await.map(|report| (report, reports)));
    stream
        .for_each_concurrent(AT_ONCE, async |report| {
            let taken = send(&client, &report).await;
            sim.with(|world| world.reported(&report, taken));
        })
        .await;
}

/// Sends one report; whether bosun took it.
async fn send(client: &Client, report: &Report) -> bool {
    let xname = &report.xname;
    let url = format!("{}/v2/components/{xname}", report.url);
    let body = json!({"id": xname, "actual_state": {"bss_token": &*report.token}});
    client.patch(url).json(&body).send().await.is_ok_and(|response| response.status().is_success())
}

impl World {
    /// Where nodes report to from now on. Those that are up do so at some time within the report interval.
    pub fn set_bosun_url(&mut self, url: &str) {
        if self.settings.no_reporter {
            return;
        }
        let first = self.bosun_url.is_none();
        self.bosun_url = Some(url.trim_end_matches('/').into());
        if first {
            self.announce_all();
        }
    }

    /// Plans the next report of a node whose last one was taken or not.
    fn reported(&mut self, report: &Report, taken: bool) {
        let node = &mut self.nodes[report.node];
        if node.boot != report.boot || !node.up {
            return;
        }
        let pause = if taken {
            node.report_tries = 0;
            self.settings.report_interval
        } else {
            let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(node.report_tries.min(16)));
            node.report_tries += 1;
            let chance =
                scatter(self.settings.seed ^ 9, (report.node as u64) << 8 | u64::from(node.report_tries));
            longest.mul_f64(0.5 + 0.5 * (chance as f64 / u64::MAX as f64))
        };
        self.report_in(report.node, pause);
    }
}
