//! What operators ask for beyond a plain session, from their command line to the simulated machine.

mod plan;
mod selection;
