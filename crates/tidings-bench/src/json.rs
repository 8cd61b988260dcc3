//! The results as JSON.

use std::path::Path;

use serde::Serialize;

/// Writes results to a file, or prints them if it is `-`. Returns whether a table is to be printed.
#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) fn output(results: &impl Serialize, file: Option<&Path>) -> anyhow::Result<bool> {
    let Some(file) = file else {
        return Ok(true);
    };
    let text = serde_json::to_string_pretty(results)?;
    if file.as_os_str() == "-" {
        println!("{text}");
        return Ok(false);
    }
    std::fs::write(file, text + "\n")?;
    Ok(true)
}
