//! No password may show, in whatever the tests print: logs, errors, debug views. Examples in the
//! documentation leave no report, and are not looked at.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::tool::repository;

/// Every password that a server in a test knows contains this, and nothing else does.
const MARK: &str = "hush-hush";

/// Where `.config/nextest.toml` has it written, whatever the target directory is.
const REPORT: &str = "target/nextest/default/junit.xml";

/// Looks through the report of the tests that ran last.
pub(crate) fn look() -> Result<()> {
    let report = repository().join(REPORT);
    let text = fs::read_to_string(&report)
        .with_context(|| format!("the tests left no report at {}", report.display()))?;
    // A report without what was printed would prove nothing.
    ensure!(
        text.contains("<system-out>"),
        "{} does not have what the tests printed",
        report.display()
    );
    let shown = shown(&text);
    ensure!(
        shown.is_empty(),
        "a password was printed; see {}:\n{}",
        report.display(),
        shown.join("\n")
    );
    println!("no password is in {} bytes of output", text.len());
    Ok(())
}

/// The lines that show a password, with their numbers.
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
    fn a_line_that_shows_a_password_is_found() {
        let text = format!("one\nredis://shop:{MARK}@localhost\nthree");

        let shown = shown(&text);

        assert_eq!(shown.len(), 1);
        assert!(shown[0].trim_start().starts_with('2'), "{shown:?}");
    }
}
