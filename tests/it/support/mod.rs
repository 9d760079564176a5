//! What tests stand on: a real Postgres, a simulated machine over real HTTP, bosun's own API, real workers.

pub mod app;
pub mod postgres;
pub mod proxy;
