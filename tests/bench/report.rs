//! The table, and which bars are met.

use std::{collections::BTreeMap, fmt::Write as _};

use bosun::cli::output::{Column, table};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::{
    bar::Bar,
    checkpoint::Checkpoints,
    session::{ByProcess, Reboot, Resume},
    times::Times,
};

/// What was measured of one size.
#[derive(Debug, Serialize)]
pub struct Size {
    pub components: usize,
    pub reboot: Reboot,
    pub resume: Resume,
    pub load: Times,
    pub checkpoint: Checkpoints,
    pub views: Vec<(&'static str, f64)>,
}

impl Size {
    /// Requests that change the world, per 1,000 components.
    fn changing_requests(&self) -> f64 {
        self.requests(|route| !is_question(route))
    }

    fn requests(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let services: BTreeMap<String, BTreeMap<String, u64>> =
            serde_json::from_value(self.reboot.requests.clone()).unwrap_or_default();
        let routes = services.values().flatten().filter(|(route, _)| counts(route));
        routes.map(|(_, count)| *count as f64).sum::<f64>() * 1_000.0 / self.components as f64
    }

    /// The bars that are set for this size.
    pub fn bars(&self) -> Vec<Bar> {
        let of = self.components.to_string();
        let bar = |what, measured, at_most, unit| Bar::new(&of, what, measured, at_most, unit);
        let (reboot, path) = (&self.reboot, &self.reboot.seconds);
        let ByProcess { serve, worker, postgres } = reboot.cpu_seconds;
        let rss = &reboot.peak_rss_mib;
        let mut bars = vec![
            bar("WAL per transition", reboot.wal.bytes_per_transition, 220.0, "B"),
            bar("resume after a seen death, to the first intent", self.resume.to_intent, 2.0, "s"),
        ];
        if self.components >= 1_000 {
            let changing = self.changing_requests();
            bars.push(bar("requests that change something, per 1,000 components", changing, 20.0, ""));
            for (what, times) in [
                (
                    ["checkpoint of 1,000 results, p50", "checkpoint of 1,000 results, p99"],
                    self.checkpoint.fresh,
                ),
                (
                    ["the same under stale statistics, p50", "the same under stale statistics, p99"],
                    self.checkpoint.stale,
                ),
            ] {
                bars.push(bar(what[0], times.p50_ms, 8.0, "ms"));
                bars.push(bar(what[1], times.p99_ms, 25.0, "ms"));
            }
        }
        match self.components {
            6_000 => bars.extend([
                bar("overhead above the critical path", path.overhead, 1.0 + 0.02 * path.critical, "s"),
                bar("CPU of serve, worker and Postgres", serve + worker + postgres, 2.0, "s"),
                bar("peak RSS of serve and worker", rss.serve + rss.worker, 150.0, "MiB"),
                Bar::told(&of, "loading a session", self.load.p50_ms, "ms"),
            ]),
            100_000 => {
                let slowest = self.views.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
                bars.extend([
                    Bar::told(&of, "overhead above the critical path", path.overhead, "s"),
                    bar("CPU of worker and Postgres", worker + postgres, 60.0, "s"),
                    bar("peak RSS of the worker", rss.worker, 512.0, "MiB"),
                    bar("loading a session", self.load.p50_ms, 500.0, "ms"),
                    bar("the slowest view", slowest, 150.0, "ms"),
                ]);
            }
            _ => {}
        }
        bars
    }
}

/// Whether a request only asks: reads, and the queries that services want by POST.
fn is_question(route: &str) -> bool {
    route.starts_with("GET ")
        || route.starts_with("HEAD ")
        || route.contains("query")
        || route.ends_with("power-status")
}

/// Everything, for people.
pub fn tables(sizes: &[Size], bars: &[Bar], disk: &str) -> String {
    let mut text = String::new();
    if !sizes.is_empty() {
        let _ = writeln!(text, "{}\n", figures(sizes));
        let _ = writeln!(text, "disk: pg_test_fsync: {disk}\n");
    }
    let columns = [
        Column::Text("OF"),
        Column::Text("BAR"),
        Column::Number("MEASURED"),
        Column::Number("AT MOST"),
        Column::Text(""),
    ];
    let rows = bars.iter().map(|Bar { of, what, measured, at_most, unit, met }| {
        let met = match met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        let at_most = at_most.map_or_else(String::new, |at_most| format!("{at_most:.1} {unit}"));
        let measured = format!("{measured:.2} {unit}");
        vec![of.clone(), (*what).to_owned(), measured, at_most, met.to_owned()]
    });
    let _ = writeln!(text, "{}", table(&columns, rows));
    for size in sizes {
        let _ = writeln!(text, "requests, {} components:", size.components);
        let services = size.reboot.requests.as_object().into_iter().flatten();
        for (service, routes) in services {
            for (route, count) in routes.as_object().into_iter().flatten() {
                let _ = writeln!(text, "  {service:<4} {:>7}  {route}", count.to_string());
            }
        }
    }
    text
}

fn figures(sizes: &[Size]) -> Table {
    let mut table = Table::new();
    let mut header = vec!["".to_owned()];
    header.extend(sizes.iter().map(|size| size.components.to_string()));
    table.load_style(NOTHING);
    table.set_header(header);
    let mut row = |name: &str, figure: &dyn Fn(&Size) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(sizes.iter().map(figure));
        table.add_row(cells);
    };
    row("outcome", &|size| size.reboot.outcome.clone());
    row("session, s", &|size| format!("{:.1}", size.reboot.seconds.total));
    row("critical path, s", &|size| format!("{:.1}", size.reboot.seconds.critical));
    row("overhead, s", &|size| format!("{:.2}", size.reboot.seconds.overhead));
    row("  until off was asked for", &|size| format!("{:.2}", size.reboot.seconds.until_off));
    row("  from off to on", &|size| format!("{:.2}", size.reboot.seconds.off_to_on));
    row("  from configured to the end", &|size| format!("{:.2}", size.reboot.seconds.until_ended));
    row("requests per 1,000", &|size| format!("{:.1}", size.requests(|_| true)));
    row("  that change something", &|size| format!("{:.1}", size.changing_requests()));
    row("WAL, kB", &|size| format!("{}", size.reboot.wal.bytes / 1_000));
    row("  full pages", &|size| size.reboot.wal.full_page_images.to_string());
    row("transitions", &|size| size.reboot.wal.transitions.to_string());
    row("WAL per transition, B", &|size| format!("{:.0}", size.reboot.wal.bytes_per_transition));
    row("CPU of serve, s", &|size| format!("{:.2}", size.reboot.cpu_seconds.serve));
    row("CPU of the worker, s", &|size| format!("{:.2}", size.reboot.cpu_seconds.worker));
    row("CPU of Postgres, s", &|size| format!("{:.2}", size.reboot.cpu_seconds.postgres));
    row("peak RSS of serve, MiB", &|size| format!("{:.0}", size.reboot.peak_rss_mib.serve));
    row("peak RSS of the worker, MiB", &|size| format!("{:.0}", size.reboot.peak_rss_mib.worker));
    row("peak RSS of Postgres' largest, MiB", &|size| format!("{:.0}", size.reboot.peak_rss_mib.postgres));
    row("killed: to the next lease, s", &|size| format!("{:.2}", size.resume.to_lease));
    row("killed: to the first intent, s", &|size| format!("{:.2}", size.resume.to_intent));
    row("loading a session, ms", &|size| format!("{:.0}", size.load.p50_ms));
    row("checkpoint p50, ms", &|size| format!("{:.1}", size.checkpoint.fresh.p50_ms));
    row("checkpoint p99, ms", &|size| format!("{:.1}", size.checkpoint.fresh.p99_ms));
    row("  stale statistics p50, ms", &|size| format!("{:.1}", size.checkpoint.stale.p50_ms));
    row("  stale statistics p99, ms", &|size| format!("{:.1}", size.checkpoint.stale.p99_ms));
    if let Some(first) = sizes.first() {
        for (at, (name, _)) in first.views.iter().enumerate() {
            row(&format!("view {name}, ms"), &|size| format!("{:.1}", size.views[at].1));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
