//! The figures to reach.

use std::fmt;

use serde::Serialize;

use crate::overload::Trial;
use crate::rounds::LeftOut;
use crate::rows::Row;
use crate::summary::Summary;

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {}

impl Outcome {
    pub(crate) fn is_short(&self) -> bool {
        false
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub(crate) fn needs(_row: &Row) -> bool {
    true
}

pub(crate) fn outcomes(_: &[Summary], _: &[Trial], _: &[LeftOut]) -> Vec<Outcome> {
    Vec::new()
}
