//! Prints the findings, and counts them.

use std::fmt::Write as _;

use serde::Serialize;

use crate::app::App;
use crate::commands::doctor::finding::{Finding, Severity};
use crate::output;
use crate::terminal::{Style, count, escape, paint};

/// The width of the longest severity and the space after it.
const COLUMN: usize = 9;

/// A check with its findings.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: &'static str,
    pub(crate) findings: Vec<Finding>,
}

/// The numbers of the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    /// Checks without an error or a warning.
    pub(crate) passed: usize,
    /// Checks whose facts are not known.
    pub(crate) skipped: usize,
}

impl Tally {
    pub(crate) fn of(checked: &[Checked]) -> Self {
        let mut tally = Self::default();
        for check in checked {
            let severities = check.findings.iter().map(|finding| finding.severity);
            let number = |severity| {
                let findings = check.findings.iter();
                findings.filter(|it| it.severity == severity).count()
            };
            tally.errors += number(Severity::Error);
            tally.warnings += number(Severity::Warning);
            match severities.max() {
                Some(Severity::Ok) => tally.passed += 1,
                Some(Severity::Skipped) => tally.skipped += 1,
                _ => {}
            }
        }
        tally
    }
}

pub(crate) fn print(app: &App, checked: &[Checked]) -> anyhow::Result<Tally> {
    let tally = Tally::of(checked);
    if app.is_json() {
        json(checked, tally)?;
        return Ok(tally);
    }
    let is_shown =
        |finding: &Finding| finding.severity >= Severity::Warning || app.global.verbose > 0;
    for check in checked {
        for finding in check.findings.iter().filter(|finding| is_shown(finding)) {
            output::stream(lines(check.id, finding))?;
        }
    }
    output::result(summary(tally))?;
    Ok(tally)
}

fn json(checked: &[Checked], tally: Tally) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Object<'a> {
        check: &'static str,
        severity: Severity,
        text: &'a str,
        servers: &'a [String],
        cures: &'a [String],
    }
    for check in checked {
        for finding in &check.findings {
            output::stream(output::versioned(&Object {
                check: check.id,
                severity: finding.severity,
                text: &finding.text,
                servers: &finding.servers,
                cures: &finding.cures,
            })?)?;
        }
    }
    output::json(&tally)
}

/// Returns a finding, with its cures on lines of their own.
fn lines(id: &str, finding: &Finding) -> String {
    let (style, label) = match finding.severity {
        Severity::Ok => (Style::Success, "ok"),
        Severity::Skipped => (Style::Dim, "skipped"),
        Severity::Warning => (Style::Warning, "warn"),
        Severity::Error => (Style::Error, "error"),
    };
    let label = paint(style, format_args!("{label:COLUMN$}"));
    let mut shown = format!("{label}{}", escape(&finding.text));
    if finding.severity != Severity::Ok && !finding.servers.is_empty() {
        let _ = write!(shown, " ({})", escape(finding.servers.join(", ")));
    }
    let _ = write!(shown, "{}", paint(Style::Dim, format_args!(" [{id}]")));
    for cure in &finding.cures {
        let _ = write!(shown, "\n{:COLUMN$}{}", "", escape(cure));
    }
    shown
}

/// Returns "2 errors, 1 warning, 22 checks passed".
fn summary(tally: Tally) -> String {
    let mut parts = vec![
        count(tally.errors, "error"),
        count(tally.warnings, "warning"),
        format!("{} passed", count(tally.passed, "check")),
    ];
    if tally.skipped > 0 {
        parts.push(format!("{} skipped", tally.skipped));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(findings: Vec<Finding>) -> Checked {
        Checked {
            id: "eviction",
            findings,
        }
    }

    #[test]
    fn a_check_counts_by_its_worst_finding() {
        let (ok, skipped) = (Finding::ok("fine"), Finding::skipped("unknown"));
        let tally = Tally::of(&[
            checked(vec![ok.clone()]),
            checked(vec![ok.clone(), skipped]),
            checked(vec![ok, Finding::error("bad"), Finding::error("worse")]),
            checked(vec![Finding::warning("so so")]),
            checked(Vec::new()),
        ]);
        let expected = Tally {
            errors: 2,
            warnings: 1,
            passed: 1,
            skipped: 1,
        };
        assert_eq!(tally, expected);
        assert_eq!(
            summary(tally),
            "2 errors, 1 warning, 1 check passed, 1 skipped"
        );
    }

    #[test]
    fn a_text_of_a_server_does_nothing_to_the_terminal() {
        let mut finding = Finding::error("bad \u{1b}[2J\r\n").cure("echo '\u{9b}2J'");
        finding.servers.push("\u{1b}]0;x\u{7}:1".to_owned());
        let shown = anstream::adapter::strip_str(&lines("eviction", &finding)).to_string();
        let shown: Vec<_> = shown.lines().collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(
            !shown.iter().any(|line| line.contains(char::is_control)),
            "{shown:?}"
        );
        assert!(shown[0].starts_with("error    bad"));
        assert!(shown[0].ends_with("[eviction]"));
    }
}
