//! Measures bosun against its bars: the real binary, real HTTP, a real Postgres with its data on disk, one simulated
//! machine per section. Prints a table and then one JSON object.
//!
//! | file | holds |
//! |---|---|
//! | `house.rs` | a simulated machine, a database and `bosun dev`, started for one section |
//! | `process.rs` | processor time and memory by process |
//! | `times.rs` `bar.rs` | many measurements of one thing; a figure and its bar |
//! | `path.rs` | how long the machine itself needed: the critical path |
//! | `session.rs` | section `sizes`: one reboot, measured; and one whose worker is killed |
//! | `load.rs` `checkpoint.rs` `views.rs` | the same, on the database alone: what the next worker loads, a checkpoint of 1,000 results, the readers' views |
//! | `api.rs` `idle.rs` `chain.rs` | section `api`: what BOS's clients wait for, what rest costs, what a report sets off |
//! | `fault.rs` | section `faults`: what one refused or lost call costs, and a death that nobody saw |
//! | `report.rs` | the table, and which bars are met |

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod api;
mod bar;
mod chain;
mod checkpoint;
mod fault;
mod house;
mod idle;
mod load;
mod path;
mod process;
mod report;
mod session;
mod times;
mod views;

use clap::{Parser, ValueEnum};
use serde_json::json;

use house::{House, Setting};

/// Measures bosun against its bars. 100,000 components take a quarter of an hour more: `--sizes 500,6000,100000`.
#[derive(Parser)]
struct Args {
    /// Components of each machine
    #[arg(long, value_delimiter = ',', default_values_t = [500, 6_000])]
    sizes: Vec<usize>,
    /// Only these sections
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Section::Sizes, Section::Api, Section::Faults])]
    only: Vec<Section>,
    /// Print the JSON object only
    #[arg(long)]
    json: bool,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// A reboot of each size
    Sizes,
    /// BOS's API on 6,000 components
    Api,
    /// One misbehaviour of a service at a time
    Faults,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = |section| args.only.contains(&section);
    let mut sizes = Vec::new();
    if wanted(Section::Sizes) {
        for components in args.sizes.iter().copied() {
            sizes.push(measure(components).await);
        }
    }
    let api = if wanted(Section::Api) { Some(api::measure().await) } else { None };
    let faults = if wanted(Section::Faults) { Some(fault::measure().await) } else { None };
    let disk = checkpoint::disk();
    let mut bars: Vec<bar::Bar> = sizes.iter().flat_map(report::Size::bars).collect();
    bars.extend(api.iter().flat_map(api::Api::bars));
    bars.extend(faults.iter().flat_map(fault::Faults::bars));
    if !args.json {
        print!("{}", report::tables(&sizes, &bars, &disk));
    }
    println!(
        "{}",
        json!({"sizes": sizes, "api": api, "faults": faults, "pg_test_fsync": disk, "bars": bars})
    );
}

/// Everything about one size.
async fn measure(components: usize) -> report::Size {
    eprintln!("{components} components: starting");
    let mut house = House::start(&Setting { components, ..Setting::default() }).await;
    eprintln!("{components} components: a reboot");
    let reboot = session::reboot(&mut house).await;
    let load = load::time(&house, "reboot").await;
    let views = views::time(&house).await;
    eprintln!("{components} components: a reboot whose worker is killed");
    let resume = session::killed(&mut house).await;
    house.end_dev().await;
    eprintln!("{components} components: checkpoints");
    let checkpoint = checkpoint::time(&house).await;
    house.end().await;
    report::Size { components, reboot, resume, load, checkpoint, views }
}
