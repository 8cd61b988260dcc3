//! The table, for a terminal and for the book.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};

use crate::rows::Summary;

/// For people at a terminal.
pub(crate) fn table(rows: &[Summary]) -> String {
    let mut text = bold(&format!(
        "{:<50} {:<34} {:>8} {:>5} {:>9} {:>9} {:>7}  {}\n",
        "fault", "figure", "at most", "times", "median", "most", "lost", "all kept"
    ));
    for row in rows {
        let verdict = if row.falls_short() {
            red("SHORT")
        } else {
            green("yes")
        };
        let _ = writeln!(
            text,
            "{:<50} {:<34} {:>8} {:>5} {:>9} {:>9} {:>7}  {verdict}",
            row.fault,
            row.figure,
            time(row.limit_ms),
            row.times,
            time(row.median_ms),
            time(row.most_ms),
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

/// For the book.
pub(crate) fn markdown(rows: &[Summary]) -> String {
    let mut text = String::from(
        "| fault | figure | at most | times | median | most | events lost, all reported |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let lost = if row.falls_short() {
            format!("{}, and short: {}", row.lost, row.findings.join("; "))
        } else {
            row.lost.to_string()
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {lost} |",
            row.fault,
            row.figure,
            time(row.limit_ms),
            row.times,
            time(row.median_ms),
            time(row.most_ms),
        );
    }
    text
}

/// In the unit that suits it.
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

/// In colour, where there is somebody to see it.
fn painted(code: &str, text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
