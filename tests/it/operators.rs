//! What operators ask for beyond a plain session, from their command line to the simulated machine.

mod command;
mod conflict;
mod freeze;
mod history;
mod notify;
mod partition;
mod plan;
mod selection;
mod waves;
