//! Integration tests, one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod admission;
mod api;
mod auth;
mod bad_input;
mod bos;
mod cli;
mod cookbook;
mod crash;
mod db;
mod doctor;
mod document;
mod engine;
mod faults;
mod floors;
mod import;
mod lease;
mod logs;
mod metrics;
mod operators;
mod plans;
mod reference;
mod sim;
mod site;
mod stories;
mod support;
mod terminal;
mod traces;
mod ui;
mod wire;
