//! Floor 0: the nouns and their laws. Parsed once, true for ever; no I/O, no clock, nothing of ours above it.
//!
//! `verb` is what the pure half (`plan`) and the asking half (`steps`) of the engine share, so that neither
//! has to know the other.

pub mod artifacts;
pub mod checkpoint;
pub mod command;
pub mod component;
pub mod effect;
pub mod event;
pub mod freeze;
pub mod gate;
pub mod import;
pub mod limit;
pub mod metric;
pub mod notification;
pub mod options;
pub mod pace;
pub mod plan;
pub mod reason;
pub mod result;
pub mod role;
pub mod selection;
pub mod session;
pub mod session_template;
pub mod site;
pub mod site_options;
pub mod spelling;
pub mod verb;
pub mod wave;
pub mod workflow;
pub mod xname;

/// A moment, in UTC. Moments that decide anything (leases, deadlines) are Postgres' own.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
