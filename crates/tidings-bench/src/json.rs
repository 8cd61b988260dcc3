//! The results as JSON.

use std::path::Path;

use crate::results::Results;

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) fn print(results: &Results) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(results)?);
    Ok(())
}

pub(crate) fn write(results: &Results, file: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    Ok(std::fs::write(file, text)?)
}
