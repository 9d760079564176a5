//! Floor 1: workflow × template × members → the DAG of a session, and the law of how it moves. Pure: no I/O, no clock.
//!
//! * [`workflow`] reads a workflow's text and reports every mistake in it at once.
//! * [`members`] says which components a session is for, and why others are left out.
//! * [`compile`](compile()) binds a workflow to the members: steps are *verb × slice*, edges lead upwards.
//! * [`join`](join()) puts two plans side by side into one.
//! * [`standstill`](standstill()) says whether a limit would keep it from moving at all.
//! * [`flow`] says how it moves.
//! * [`change`] says in what a plan differs from one that was shown.
//! * [`hash`](hash()) names a plan, [`render`] shows it to people.

pub mod change;
pub mod compile;
pub mod flow;
pub mod hash;
mod join;
pub mod members;
pub mod render;
mod standstill;
mod wave;
pub mod workflow;

pub use compile::{Binding, BoundBootSet, compile};
pub use hash::hash;
pub use join::join;
pub use standstill::standstill;

use std::fmt;

/// Something wrong with a workflow, by itself or with the members it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// The workflow's file name.
    pub file: String,
    /// The step, or another place in the file, where the mistake has one.
    pub place: Option<String>,
    /// What is wrong, and what to write instead.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{}, {place}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}
