//! All SQL: one file per table, free functions. Nothing outside this room names the driver.
//!
//! Rules of the room. Statements work on arrays, never in a loop over components. Hot statements are single
//! data-modifying CTEs, so that no transaction is open while anything but Postgres is awaited; what needs a transaction
//! ([`admission`], [`component`]) runs it in a task of its own, because a `begin` that is cancelled half-way leaves a
//! poisoned connection in the pool. Rows are locked in one order: lease, session, step, component_progress, component
//! (ids ascending), event. Progress is written only under a [`lease::Lease`].

pub mod admission;
pub mod artifacts;
pub mod boot_token;
pub mod checkpoint;
pub mod claim;
pub mod command;
pub mod component;
pub mod component_progress;
pub mod cursor;
pub mod effect;
mod error;
pub mod error_text;
pub mod event;
pub mod freeze;
pub mod hand_over;
pub mod health;
mod label;
pub mod lease;
pub mod listen;
pub mod metric;
pub mod notification;
pub mod options;
pub mod plan;
pub mod plan_shown;
mod pool;
pub mod private;
pub mod quarantine;
pub mod result;
pub mod service_life;
pub mod session;
pub mod session_component_batch;
pub mod session_record;
pub mod session_template;
pub mod skip;
pub mod slice;
mod span;
pub mod staged;
pub mod step;
pub mod step_edge;
pub mod verb_time;
pub mod wave;
pub mod workflow;

pub use error::DbError;
pub use pool::{
    Connection, Pool, PooledConnection, acquire, check_schema, check_schema_of, connect, is_alive, migrate,
    open, open_beside,
};
