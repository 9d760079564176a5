//! bosun boots, reboots, shuts down and configures the nodes of an HPC machine.
//!
//! The house, floor by floor: a room may only import what stands below it (`tests/it/floors.rs` enforces it).
//!
//! * `model`: the nouns and their laws. Pure.
//! * `clients`: one file per outside service. `db`: one file per table, all SQL. `plan`: the DAG and the law of how it
//!   moves; pure.
//! * `steps`: the verbs. Ask services, never the database.
//! * `admit`: from a request to an admitted session.
//! * `engine`: lease, call, observe, checkpoint; and the launcher.
//! * `api` and `cli`: what programs and people talk to. `sim`: a simulated machine.
//!
//! A noun has the same file name in every room: a session is `model/session.rs`, `db/session.rs`, `api/session.rs`,
//! `cli/session.rs`.

pub mod admit;
pub mod api;
pub mod cli;
pub mod clients;
pub mod config;
pub mod db;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod engine;
pub mod model;
pub mod plan;
pub mod serve;
pub mod sim;
pub mod steps;
pub mod telemetry;
pub mod worker;
