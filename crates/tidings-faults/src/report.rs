//! The tables, for the terminal and for the book.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};

use crate::compare::Comparison;
use crate::results::Results;

/// Returns the tables for the terminal.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    if !results.rows.is_empty() {
        text += &rows(results);
    }
    if !results.compared.is_empty() {
        text += &comparison(results);
    }
    text
}

fn rows(results: &Results) -> String {
    let mut text = bold(&format!(
        "{:<50} {:<34} {:>8} {:>5} {:>9} {:>9} {:>7}  {}\n",
        "fault", "figure", "limit", "trials", "median", "max", "lost", "result"
    ));
    for row in &results.rows {
        let verdict = if row.has_failed() {
            red("FAILED")
        } else {
            green("passed")
        };
        let _ = writeln!(
            text,
            "{:<50} {:<34} {:>8} {:>5} {:>9} {:>9} {:>7}  {verdict}",
            row.fault,
            row.figure,
            time(Some(row.limit_ms)),
            row.trials,
            time(row.median_ms),
            time(row.max_ms),
            row.lost,
        );
        for note in &row.notes {
            let _ = writeln!(text, "    {note}");
        }
        for finding in row.findings.iter().take(10) {
            let _ = writeln!(text, "    {}", red(finding));
        }
    }
    text
}

fn comparison(results: &Results) -> String {
    let mut text = bold(&format!(
        "\n{:<34} {:<26} {:>18} {:>18} {:>7} {:>20}\n",
        "compared", "library", "notified", "receiving again", "lost", "lost silently"
    ));
    for row in &results.compared {
        let _ = writeln!(
            text,
            "{:<34} {:<26} {:>18} {:>18} {:>7} {:>20}",
            row.fault,
            row.library,
            often(row.detected, row.trials, row.detected_ms),
            often(row.again, row.trials, row.again_ms),
            row.lost,
            row.lost_silently,
        );
        if let Some(complaint) = &row.complaint {
            let _ = writeln!(text, "    {}", red(complaint));
        }
    }
    for library in &results.libraries {
        let _ = writeln!(text, "{}: {}", library.name, library.settings);
    }
    text
}

/// Formats a count, and the longest time.
fn often(count: usize, of: usize, most: Option<f64>) -> String {
    match most {
        Some(_) => format!("{count} of {of}, {}", time(most)),
        None => format!("{count} of {of}"),
    }
}

/// Returns the tables as Markdown.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from(
        "| fault | figure | limit | trials | median | max | events lost, all reported |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in &results.rows {
        let lost = if row.has_failed() {
            format!("{}, failed: {}", row.lost, row.findings.join("; "))
        } else {
            row.lost.to_string()
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {lost} |",
            row.fault,
            row.figure,
            time(Some(row.limit_ms)),
            row.trials,
            time(row.median_ms),
            time(row.max_ms),
        );
    }
    for row in results.rows.iter().filter(|row| !row.notes.is_empty()) {
        let _ = writeln!(text, "\n{}: {}.", row.fault, row.notes.join("; "));
    }
    text += "\n| fault | library | notified | receiving again | events lost | lost silently |\n\
             | --- | --- | --- | --- | --- | --- |\n";
    for row in &results.compared {
        text += &compared(row);
    }
    text
}

fn compared(row: &Comparison) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        row.fault,
        row.library,
        often(row.detected, row.trials, row.detected_ms),
        often(row.again, row.trials, row.again_ms),
        row.lost,
        row.lost_silently,
    )
}

/// Formats a time in milliseconds or seconds.
pub(crate) fn time(milliseconds: Option<f64>) -> String {
    match milliseconds {
        None => "-".to_owned(),
        Some(time) if time < 1_000.0 => format!("{time:.0} ms"),
        Some(time) => format!("{:.2} s", time / 1e3),
    }
}

pub(crate) fn bold(text: &str) -> String {
    painted("1", text)
}

fn red(text: &str) -> String {
    painted("31", text)
}

fn green(text: &str) -> String {
    painted("32", text)
}

/// Colours a text, if standard output is a terminal.
fn painted(code: &str, text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
