//! The clients and the verbs on the wire: against small scripted services whose answers are shaped like the real ones.

mod cfs;
mod clients;
mod loopback;
mod power;
mod s3;
mod simulated;
mod steps;
mod transport;
