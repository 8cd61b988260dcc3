//! What happens when hearers cannot keep up, and when Redis does not answer.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Trial {}

impl fmt::Display for Trial {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub(crate) async fn run(_only: &[String], _quick: bool) -> anyhow::Result<Vec<Trial>> {
    Ok(Vec::new())
}
