//! The results of a run.

use serde::Serialize;

use crate::compare::Comparison;
use crate::row::Summary;

/// The results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) seed: u64,
    pub(crate) machine: String,
    pub(crate) rows: Vec<Summary>,
    pub(crate) compared: Vec<Comparison>,
    pub(crate) libraries: Vec<Library>,
}

/// A library that took part, and its settings.
#[derive(Debug, Serialize)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) settings: &'static str,
}
