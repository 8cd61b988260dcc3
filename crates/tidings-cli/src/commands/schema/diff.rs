//! `tidings schema diff`: the changes between two versions as Markdown, for a changelog.

use std::fmt::Write as _;

use crate::app::App;
use crate::args::Diff;
use crate::commands::schema::source::{Read, not_compared, path_of, read, read_any};
use crate::contract::{Asked, Finding, Level, check};
use crate::exit::{Exit, Problem};
use crate::output;
use crate::terminal::escape;

const HEADINGS: [(Level, &str); 3] = [
    (Level::Break, "Breaking changes"),
    (Level::Warning, "Warnings"),
    (Level::Fine, "Compatible changes"),
];

pub(super) fn diff(app: &App, args: &Diff) -> anyhow::Result<Exit> {
    let path = path_of(None)?;
    let read_version = |from: &str| -> Result<Read, Problem> {
        read_any(&path, from)?.ok_or_else(|| {
            let (from, path) = (escape(from), escape(path.display()));
            Problem::failed(format!("`{from}` has no {path}"))
        })
    };
    let old = read_version(&args.old)?;
    let new = match &args.new {
        Some(new) => read_version(new)?,
        None => read(&path)?,
    };
    let report = check(&old.contract, &new.contract, &Asked::default())
        .map_err(|problem| not_compared(&old, &new, &problem))?;
    if app.is_json() {
        output::json(&serde_json::json!({
            "old": old.name,
            "new": new.name,
            "changes": report.findings,
        }))?;
    } else {
        output::result(markdown(&report.findings))?;
    }
    Ok(Exit::Done)
}

fn markdown(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (level, heading) in HEADINGS {
        let of_level = findings.iter().filter(|finding| finding.level == level);
        for (index, finding) in of_level.enumerate() {
            if index == 0 {
                let space = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{space}### {heading}\n");
            }
            let _ = writeln!(text, "{}", item(finding));
        }
    }
    if text.is_empty() {
        text += "The contract is unchanged.";
    }
    text.trim_end().to_owned()
}

fn item(finding: &Finding) -> String {
    let mut item = format!("* `{}`", code(&finding.name));
    if finding.kind != "event" {
        let _ = write!(item, " ({})", finding.kind);
    }
    if finding.path != "." {
        let _ = write!(item, " `{}`", code(&finding.path));
    }
    let _ = write!(item, ": {}", escape(&finding.text));
    if let Some(rule) = finding.rule {
        let _ = write!(item, " ({})", rule.name());
    }
    item
}

/// Escapes text between backticks.
fn code(text: &str) -> String {
    escape(text).replace('`', "'")
}
