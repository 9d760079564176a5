//! `/metrics`, on a port of its own: for Prometheus, in the OpenMetrics format.
//!
//! What was counted comes from the database, so all replicas tell the same; what this process is like is its own.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    metrics::MetricType,
    registry::Registry,
};
use tokio::{net::TcpListener, sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        self,
        metric::{Now, Total},
    },
    model::{
        metric::{self, FAMILIES, Kind, Tally},
        session::SessionState,
    },
};

use super::server::{self, Limits};

/// What Prometheus wants to see of the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Whoever asks again so soon gets the same answer.
const CACHE_TIME: Duration = Duration::from_millis(500);
/// Longest time for an answer: Prometheus gives up after 10 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// Connections for scrapes.
const CONNECTIONS_MAX: usize = 16;

/// States that a session may be in before its end.
const LIVE: [SessionState; 6] = [
    SessionState::Waiting,
    SessionState::Running,
    SessionState::Paused,
    SessionState::Halted,
    SessionState::Stuck,
    SessionState::Cancelling,
];

#[derive(Debug)]
struct Source {
    pool: db::Pool,
    tally: Arc<Tally>,
    last: Mutex<Option<(Instant, String)>>,
}

/// Answers scrapes until `stop`. `tally` is what this process itself has counted.
pub async fn serve_metrics(
    listener: TcpListener,
    pool: db::Pool,
    tally: Arc<Tally>,
    stop: CancellationToken,
) {
    let source = Source { pool, tally, last: Mutex::new(None) };
    let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(source));
    let limits = Limits { connections: CONNECTIONS_MAX, ..Limits::default() };
    server::serve(listener, None, router, limits, stop).await;
}

async fn metrics(State(source): State<Arc<Source>>) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, source.text()).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(Err(fmt::Error)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database did not answer in time\n").into_response(),
    }
}

impl Source {
    async fn text(&self) -> Result<String, fmt::Error> {
        let mut last = self.last.lock().await;
        if let Some((at, text)) = &*last
            && at.elapsed() < CACHE_TIME
        {
            return Ok(text.clone());
        }
        let counted = self.counted().await;
        if let Err(error) = &counted {
            tracing::warn!("metrics lack what the database has: {error}");
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            counted: counted.ok(),
            pool: (self.pool.size(), self.pool.num_idle()),
        }));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    async fn counted(&self) -> Result<(Vec<Total>, Now), db::DbError> {
        let samples = self.tally.take();
        let mut conn = db::acquire(&self.pool).await?;
        if !samples.is_empty() {
            db::metric::report(&mut conn, &samples).await?;
        }
        db::metric::fold(&self.pool).await?;
        Ok((db::metric::totals(&mut conn).await?, db::metric::now(&mut conn).await?))
    }
}

/// What one scrape tells.
#[derive(Debug)]
struct Scrape {
    /// Nothing while the database is away.
    counted: Option<(Vec<Total>, Now)>,
    /// Connections to the database: all, and those that nobody uses.
    pool: (u32, usize),
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let up = f64::from(u8::from(self.counted.is_some()));
        gauges(&mut encoder, "bosun_database_up", "Whether the database answers", [(vec![], up)])?;
        let (size, idle) = (f64::from(self.pool.0), self.pool.1 as f64);
        gauges(
            &mut encoder,
            "bosun_database_connections",
            "Connections of this process to the database",
            [(label("state", "idle"), idle), (label("state", "used"), (size - idle).max(0.0))],
        )?;
        let Some((totals, now)) = &self.counted else { return Ok(()) };
        encode_totals(&mut encoder, totals)?;
        encode_now(&mut encoder, now)
    }
}

type Label = Vec<(String, String)>;

fn label(name: &str, value: &str) -> Label {
    vec![(name.to_owned(), value.to_owned())]
}

fn gauges(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Label, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn encode_totals(encoder: &mut DescriptorEncoder, totals: &[Total]) -> fmt::Result {
    for family in FAMILIES {
        let of_family: Vec<&Total> = totals.iter().filter(|total| total.family == family.name).collect();
        // What carries no label is there from the start, so that its first growth is seen.
        let always = [metric::TAKEOVERS, metric::CHECKPOINT_SECONDS].contains(&family);
        if of_family.is_empty() && !always {
            continue;
        }
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Histogram(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
        let mut groups: Vec<&[&Total]> =
            of_family.chunk_by(|one, other| one.labels == other.labels).collect();
        if groups.is_empty() {
            groups.push(&[]);
        }
        for group in groups {
            let labels = group.first().map(|total| labels(&total.labels)).unwrap_or_default();
            let mut metric = metric.encode_family(&labels)?;
            match family.kind {
                Kind::Counter => {
                    let value: f64 = group.iter().map(|total| total.value).sum();
                    metric.encode_counter::<Label, _, u64>(&value, None)?;
                }
                Kind::Histogram(_) => {
                    let (buckets, sum) = db::metric::buckets(&family, group.iter().copied());
                    let count = buckets.iter().map(|(_, count)| count).sum();
                    metric.encode_histogram::<Label>(sum, count, &buckets, None)?;
                }
            }
        }
    }
    Ok(())
}

/// Names and values; an empty one is as good as none.
fn labels(value: &serde_json::Value) -> Label {
    let pairs = value.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

fn encode_now(encoder: &mut DescriptorEncoder, now: &Now) -> fmt::Result {
    let of = |state: SessionState| now.sessions.iter().find(|(name, _, _)| name == state.label());
    gauges(
        encoder,
        "bosun_sessions",
        "Sessions that have not ended, by state",
        LIVE.map(|state| {
            (label("state", state.label()), of(state).map_or(0.0, |(_, count, _)| *count as f64))
        }),
    )?;
    gauges(
        encoder,
        "bosun_sessions_oldest_seconds",
        "How long ago the oldest session in this state was asked for",
        LIVE.map(|state| (label("state", state.label()), of(state).map_or(0.0, |(_, _, seconds)| *seconds))),
    )?;
    let steps = now.steps.iter().flat_map(|(verb, not_reached, in_flight)| {
        [("not_reached", *not_reached), ("in_flight", *in_flight)].map(|(place, count)| {
            let labels = [("verb", verb.as_str()), ("place", place)];
            (labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), count as f64)
        })
    });
    if !now.steps.is_empty() {
        let help =
            "Components of sessions that have not ended, by the verb of the step and where they are in it";
        gauges(encoder, "bosun_components", help, steps)?;
    }
    for (name, help, value) in [
        (
            "bosun_sessions_without_worker",
            "Sessions that need a worker and have none now",
            now.without_worker as f64,
        ),
        (
            "bosun_commands_waiting",
            "Commands of operators that are not obeyed yet",
            now.commands_waiting as f64,
        ),
        (
            "bosun_commands_oldest_seconds",
            "How long ago the oldest command that waits was given",
            now.oldest_command_s,
        ),
        (
            "bosun_parked",
            "Whether nothing is admitted because the database may be a restored or copied one",
            f64::from(u8::from(now.parked)),
        ),
    ] {
        gauges(encoder, name, help, [(vec![], value)])?;
    }
    Ok(())
}
