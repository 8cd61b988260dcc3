//! Looks for passwords in the output of the tests: logs, errors, debug output. Documentation
//! examples leave no report, and are not searched.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::tool::repository;

/// Part of every password of a test, and of nothing else.
const MARK: &str = "hush-hush";

/// The report, as set in `.config/nextest.toml`, whatever the target directory is.
const REPORT: &str = "target/nextest/default/junit.xml";

/// Removes the report of an earlier run, which would be searched if no test ran now.
pub(crate) fn forget() -> Result<()> {
    match fs::remove_file(report()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("cannot remove the report of an earlier run")
        }
        _ => Ok(()),
    }
}

fn report() -> PathBuf {
    repository().join(REPORT)
}

/// Searches the report of the last test run.
pub(crate) fn look() -> Result<()> {
    let report = report();
    let text = fs::read_to_string(&report)
        .with_context(|| format!("cannot read the report of the tests, {}", report.display()))?;
    // A report without output would prove nothing.
    ensure!(
        text.contains("<system-out>"),
        "{} has no output of the tests",
        report.display()
    );
    let shown = shown(&text);
    ensure!(
        shown.is_empty(),
        "a password was printed; see {}:\n{}",
        report.display(),
        shown.join("\n")
    );
    println!("{} bytes of output contain no password", text.len());
    Ok(())
}

/// Returns the lines that contain a password, with their numbers.
fn shown(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.contains(MARK))
        .map(|(index, line)| format!("{:>8}  {line}", index + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_password_is_found() {
        let text = format!("one\nredis://shop:{MARK}@localhost\nthree");

        let shown = shown(&text);

        assert_eq!(shown.len(), 1);
        assert!(shown[0].trim_start().starts_with('2'), "{shown:?}");
    }
}
