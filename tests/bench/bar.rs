//! A figure beside what it must not exceed.

use serde::Serialize;

/// A figure and its bar.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// Which part it belongs to: a number of components, or a section.
    pub of: String,
    pub what: &'static str,
    pub measured: f64,
    /// None: the figure is only told.
    pub at_most: Option<f64>,
    pub unit: &'static str,
    /// Whether the bar is met; what could not be measured is not.
    pub met: Option<bool>,
}

impl Bar {
    /// A figure that must not exceed a bar.
    pub fn new(of: &str, what: &'static str, measured: f64, at_most: f64, unit: &'static str) -> Self {
        let met = Some(measured <= at_most);
        Self { of: of.to_owned(), what, measured, at_most: Some(at_most), unit, met }
    }

    /// A figure without a bar.
    pub fn told(of: &str, what: &'static str, measured: f64, unit: &'static str) -> Self {
        Self { of: of.to_owned(), what, measured, at_most: None, unit, met: None }
    }
}
