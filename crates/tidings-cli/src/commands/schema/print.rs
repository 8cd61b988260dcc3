//! Prints the changes of a contract: as text, as annotations of GitHub, or as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::ReportFormat;
use crate::contract::{Contract, Finding, Level, Report, Rule};
use crate::output;
use crate::terminal::{Style, count, escape, paint};

/// The width of the longest label and the space after it.
const COLUMN: usize = 9;

/// The most breaks that are printed for an event.
const MOST: usize = 20;

/// The result of a comparison with one baseline.
#[derive(Debug)]
pub(super) struct Compared<'a> {
    pub(super) against: &'a str,
    pub(super) report: Report,
    /// Findings that an exception allows, with its reason.
    pub(super) allowed: Vec<(Finding, String)>,
}

#[derive(Debug)]
pub(super) struct Printer<'a> {
    /// The file that is checked.
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) format: ReportFormat,
}

/// A finding in JSON.
#[derive(Serialize)]
struct Line<'a> {
    against: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
    /// The reason of the exception that allows it.
    allowed: Option<&'a str>,
}

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Summary<'a> {
    file: &'a str,
    against: Vec<&'a str>,
    breaks: usize,
    warnings: usize,
    allowed: usize,
    fine: usize,
    unchanged: usize,
    /// True if a member did not answer, or its contract cannot be compared.
    is_partial: bool,
}

impl Printer<'_> {
    /// Prints the changes since one baseline.
    pub(super) fn compared(&self, compared: &Compared<'_>, new: &Contract) -> anyhow::Result<()> {
        match self.format {
            ReportFormat::Json => as_json(compared),
            ReportFormat::Github => self.as_annotations(compared),
            ReportFormat::Text => self.as_text(compared, new),
        }
    }

    fn as_annotations(&self, compared: &Compared<'_>) -> anyhow::Result<()> {
        for finding in &compared.report.findings {
            let level = match finding.level {
                Level::Break => "error",
                Level::Warning => "warning",
                Level::Fine => continue,
            };
            let title = finding.rule.map(Rule::name).unwrap_or_default();
            let instead = finding.instead.as_deref().unwrap_or_default();
            let text = format!(
                "{} {}, against {}: {} (instead: {instead})",
                finding.name, finding.path, compared.against, finding.text
            );
            output::stream(format_args!(
                "::{level} file={},line={},title={}::{}",
                property(self.file),
                self.line_of(&finding.name),
                property(&title),
                data(&text),
            ))?;
        }
        Ok(())
    }

    /// Returns the line of an event or a value in the file.
    fn line_of(&self, name: &str) -> usize {
        let key = format!("{}: {{", serde_json::Value::from(name));
        let line = self
            .text
            .lines()
            .position(|line| line.trim_start().starts_with(&key));
        line.map_or(1, |line| line + 1)
    }

    fn as_text(&self, compared: &Compared<'_>, new: &Contract) -> anyhow::Result<()> {
        output::stream(format_args!("{} against {}", self.file, compared.against))?;
        let mut printed = BTreeMap::<_, usize>::new();
        for finding in &compared.report.findings {
            let place = (finding.level, finding.kind, finding.name.as_str());
            let number = printed.entry(place).or_default();
            *number += 1;
            if *number <= MOST {
                output::stream(text_of(finding, new))?;
            }
        }
        for ((_, kind, name), number) in printed.iter().filter(|(_, number)| **number > MOST) {
            let more = count(number - MOST, "more change");
            let label = paint(Style::Dim, format_args!("{:COLUMN$}", "and"));
            output::stream(format_args!(
                "  {label}{more} of the {kind} {}",
                escape(name)
            ))?;
        }
        for (finding, reason) in &compared.allowed {
            let label = paint(Style::Dim, format_args!("{:COLUMN$}", "allowed"));
            output::stream(format_args!(
                "  {label}{}: {}",
                place_of(finding),
                escape(reason)
            ))?;
        }
        Ok(())
    }

    pub(super) fn summary(
        &self,
        compared: &[Compared<'_>],
        is_partial: bool,
    ) -> anyhow::Result<()> {
        let mut summary = Summary {
            file: self.file,
            is_partial,
            ..Summary::default()
        };
        for one in compared {
            let number = |level| {
                one.report
                    .findings
                    .iter()
                    .filter(|it| it.level == level)
                    .count()
            };
            summary.against.push(one.against);
            summary.breaks += number(Level::Break);
            summary.warnings += number(Level::Warning);
            summary.fine += number(Level::Fine);
            summary.allowed += one.allowed.len();
            summary.unchanged += one.report.unchanged;
        }
        match self.format {
            ReportFormat::Json => output::json(&summary),
            _ => output::result(summary.text()),
        }
    }
}

fn as_json(compared: &Compared<'_>) -> anyhow::Result<()> {
    let open = compared.report.findings.iter().map(|it| (it, None));
    let allowed = compared
        .allowed
        .iter()
        .map(|(it, why)| (it, Some(why.as_str())));
    for (finding, allowed) in open.chain(allowed) {
        output::stream(output::versioned(&Line {
            against: compared.against,
            finding,
            allowed,
        })?)?;
    }
    Ok(())
}

impl Summary<'_> {
    /// Returns "1 break, 1 change that is fine, 11 places unchanged".
    fn text(&self) -> String {
        let mut parts = vec![count(self.breaks, "break")];
        if self.warnings > 0 {
            parts.push(count(self.warnings, "warning"));
        }
        if self.allowed > 0 {
            parts.push(format!("{} allowed", self.allowed));
        }
        match self.fine {
            0 => {}
            1 => parts.push("1 change that is fine".to_owned()),
            fine => parts.push(format!("{fine} changes that are fine")),
        }
        parts.push(format!("{} unchanged", self.unchanged));
        if self.is_partial {
            parts.push("and not all members were compared".to_owned());
        }
        parts.join(", ")
    }
}

/// Returns `user.renamed  field-added-required  .reason`.
fn place_of(finding: &Finding) -> String {
    let mut parts = vec![match finding.kind {
        "event" => escape(&finding.name),
        kind => format!("{} ({kind})", escape(&finding.name)),
    }];
    parts.extend(finding.rule.map(Rule::name));
    parts.extend(finding.cause.map(|cause| format!("({})", cause.name())));
    if finding.path != "." {
        parts.push(escape(&finding.path));
    }
    parts.join("  ")
}

fn text_of(finding: &Finding, new: &Contract) -> String {
    let (style, label) = match finding.level {
        Level::Break => (Style::Error, "breaks"),
        Level::Warning => (Style::Warning, "warn"),
        Level::Fine => (Style::Success, "fine"),
    };
    let label = paint(style, format_args!("{label:COLUMN$}"));
    let place = place_of(finding);
    let text = escape(&finding.text);
    let Some(instead) = &finding.instead else {
        return format!("  {label}{place}: {text}");
    };
    let source = new.source_of(&finding.name).map(escape);
    let source = source
        .map(|it| paint(Style::Dim, format_args!("  {it}")))
        .unwrap_or_default();
    let indent = " ".repeat(2 + COLUMN);
    format!("  {label}{place}\n{indent}{text}\n{indent}instead: {instead}{source}")
}

/// Escapes the text of an annotation.
fn data(text: &str) -> String {
    escape(text).replace('%', "%25")
}

/// Escapes a property of an annotation.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
