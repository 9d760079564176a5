//! Integration tests, one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod admission;
mod db;
mod engine;
mod floors;
mod plans;
mod sim;
mod support;
mod wire;
