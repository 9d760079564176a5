//! Measures bosun against its bars: the real binary, real HTTP, a real Postgres with its data on disk, one simulated
//! machine per size. Prints a table and then one JSON object.
//!
//! | file | holds |
//! |---|---|
//! | `house.rs` | a simulated machine, a database and `bosun dev`, started for one size |
//! | `process.rs` | processor time and memory by process |
//! | `path.rs` | how long the machine itself needed: the critical path |
//! | `session.rs` | one reboot, measured; and one whose worker is killed |
//! | `checkpoint.rs` `views.rs` | the database alone: a checkpoint of 1,000 results, the readers' views |
//! | `report.rs` | the table, and which bars are met |

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod checkpoint;
mod house;
mod path;
mod process;
mod report;
mod session;
mod views;

use clap::Parser;
use serde_json::json;

use house::House;

/// Measures bosun against its bars.
#[derive(Parser)]
struct Args {
    /// Components of each machine
    #[arg(long, value_delimiter = ',', default_values_t = [500, 6_000, 100_000])]
    sizes: Vec<usize>,
    /// Print the JSON object only
    #[arg(long)]
    json: bool,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut sizes = Vec::new();
    for components in args.sizes {
        eprintln!("{components} components: starting");
        sizes.push(measure(components).await);
    }
    let disk = checkpoint::disk();
    if !args.json {
        print!("{}", report::tables(&sizes, &disk));
    }
    println!("{}", json!({"sizes": sizes, "pg_test_fsync": disk}));
}

/// Everything about one size.
async fn measure(components: usize) -> report::Size {
    let mut house = House::start(components).await;
    eprintln!("{components} components: a reboot");
    let reboot = session::reboot(&mut house).await;
    eprintln!("{components} components: a reboot whose worker is killed");
    let resume = session::killed(&mut house).await;
    let views = views::time(&house).await;
    house.end_dev().await;
    eprintln!("{components} components: checkpoints");
    let checkpoint = checkpoint::time(&house).await;
    house.end().await;
    report::Size { components, reboot, resume, checkpoint, views }
}
