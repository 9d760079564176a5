//! Options that say how a session goes over its components: waves, thresholds, gates, pace.

use clap::Args;
use serde_json::{Value, json};

use crate::model::{
    gate::{InvalidThreshold, Share, Thresholds},
    pace::{InvalidInterval, PowerIntervals, Rate},
    wave::Waves,
};

/// How a session goes over its components.
#[derive(Args, Debug, Clone)]
pub struct RolloutArgs {
    /// Begin with a few, then with more: numbers of nodes or shares of them, as in 1,10,100,rest or 10%; in the natural
    /// order of names
    #[arg(long, value_name = "SIZES")]
    pub waves: Option<Waves>,
    /// Which share of a boot set (or wave) has to succeed before the next one's turn: 75%, or gateways=90%
    #[arg(long, value_name = "[BOOT_SET=]SHARE", value_delimiter = ',', value_parser = threshold)]
    pub threshold: Vec<String>,
    /// How many nodes may be out of service at once: N, or N%
    #[arg(long, value_name = "N|N%")]
    pub max_unavailable: Option<Share>,
    /// Halt as soon as N nodes have failed, or N% of a wave
    #[arg(long, value_name = "N|N%")]
    pub halt_on_failures: Option<Share>,
    /// Let each wave but the first wait for `bosun session approve`
    #[arg(long, requires = "waves")]
    pub approve_between_waves: bool,
    /// Begin nothing before then: a moment (2026-03-01T02:00:00Z) or a time from now (90m)
    #[arg(long, value_name = "WHEN")]
    pub not_before: Option<String>,
    /// Begin nothing more after then: nodes whose turn has not come are left as they are
    #[arg(long, value_name = "WHEN")]
    pub not_after: Option<String>,
    /// Power on no more nodes than this in any span of so long, as in 50/10s
    #[arg(long, value_name = "N/TIME")]
    pub power_on_rate: Option<Rate>,
    /// The same for each cabinet
    #[arg(long, value_name = "N/TIME")]
    pub cabinet_power_on_rate: Option<Rate>,
    /// Shortest interval between two power actions on one node, or on one of a hardware class (River=30s)
    #[arg(long, value_name = "[CLASS=]TIME", value_delimiter = ',', value_parser = interval)]
    pub power_interval: Vec<String>,
}

fn threshold(text: &str) -> Result<String, InvalidThreshold> {
    text.parse::<Thresholds>().map(|threshold| threshold.to_string())
}

fn interval(text: &str) -> Result<String, InvalidInterval> {
    text.parse::<PowerIntervals>().map(|interval| interval.to_string())
}

impl RolloutArgs {
    /// Adds what was given to a request's body.
    pub fn add_to(&self, body: &mut Value) {
        let threshold = (!self.threshold.is_empty()).then(|| self.threshold.join(","));
        let intervals = (!self.power_interval.is_empty()).then(|| self.power_interval.join(","));
        let given = [
            ("waves", self.waves.as_ref().map(|waves| json!(waves))),
            ("threshold", threshold.map(|threshold| json!(threshold))),
            ("max_unavailable", self.max_unavailable.map(|share| json!(share))),
            ("halt_on_failures", self.halt_on_failures.map(|share| json!(share))),
            ("approve_between_waves", self.approve_between_waves.then_some(json!(true))),
            ("not_before", self.not_before.as_ref().map(|when| json!(when))),
            ("not_after", self.not_after.as_ref().map(|when| json!(when))),
            ("power_on_rate", self.power_on_rate.map(|rate| json!(rate))),
            ("cabinet_power_on_rate", self.cabinet_power_on_rate.map(|rate| json!(rate))),
            ("power_interval", intervals.map(|intervals| json!(intervals))),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = value;
            }
        }
    }
}
