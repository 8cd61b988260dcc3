//! Terminal output: colors, escaping, tables and durations.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style as Ansi};
use serde::Serialize;
use tidings_codec::Escaped;

/// The meaning of a text, which determines its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// Of minor importance.
    Dim,
    Success,
    Warning,
    Error,
    Heading,
}

impl Style {
    fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Dim => Ansi::new().dimmed(),
            Self::Success => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Heading => Ansi::new().bold(),
        }
    }
}

pub(crate) fn paint(style: Style, text: impl Display) -> String {
    let ansi = style.ansi();
    format!("{ansi}{text}{ansi:#}")
}

/// Paints a text in the color of a slot. Red, yellow and green are reserved for their meaning.
pub(crate) fn paint_slot(slot: usize, text: impl Display) -> String {
    const COLORS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    let ansi = COLORS[slot % COLORS.len()].on_default();
    format!("{ansi}{text}{ansi:#}")
}

/// Escapes text of another process to one line, and removes its colors.
pub(crate) fn escape(text: impl Display) -> String {
    let text = text.to_string();
    Escaped(anstream::adapter::strip_str(&text)).to_string()
}

/// Escapes text that contains text of other processes, line by line.
pub(crate) fn escape_lines(text: impl Display) -> String {
    let text = text.to_string();
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// Converts a value to JSON without characters that affect a terminal.
pub(crate) fn escaped_json(value: &impl Serialize, is_pretty: bool) -> serde_json::Result<String> {
    let json = if is_pretty {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    Ok(escape_strings(&json))
}

/// Escapes these characters in strings; JSON has them nowhere else.
fn escape_strings(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        let is_plain = matches!(character, '\n' | ' '..='~');
        if is_plain || Escaped(character).to_string().starts_with(character) {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// Prints a line. Ignores a closed standard output, such as that of `| head`.
pub(crate) fn print(text: impl Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints a line to standard error after a label such as `error:`.
pub(crate) fn print_labeled(style: Style, label: &str, text: &str) {
    let label = paint(style, format_args!("{label}:"));
    let _ = writeln!(anstream::stderr(), "{label} {text}");
}

/// Returns "1 worker" or "2 workers".
pub(crate) fn workers(count: usize) -> String {
    match count {
        1 => "1 worker".to_owned(),
        count => format!("{count} workers"),
    }
}

/// Formats a duration in its two largest units: "5s", "3m 12s", "4d 3h".
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

/// A cell of a table.
pub(crate) type Cell = (Style, String);

/// Formats a table with headings. Columns of numbers are aligned to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let columns = headings.iter().enumerate();
    let columns: Vec<_> = columns
        .map(|(column, heading)| {
            let texts = rows.iter().map(|row| row[column].1.as_str());
            let longest = texts.clone().map(|text| text.chars().count()).max();
            let width = longest.unwrap_or(0).max(heading.len());
            let is_number = |text: &str| text == "-" || text.bytes().all(|it| it.is_ascii_digit());
            (
                width,
                texts.clone().all(is_number) && !texts.clone().all(|text| text == "-"),
            )
        })
        .collect();
    let row = |cells: &[Cell]| {
        let cells = cells.iter().zip(&columns);
        let padded = cells.map(|((style, text), (width, is_right))| {
            let padding = " ".repeat(width - text.chars().count());
            let text = paint(*style, text);
            if *is_right {
                format!("{padding}{text}")
            } else {
                format!("{text}{padding}")
            }
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    let headings = headings.iter().map(|it| (Style::Heading, (*it).to_owned()));
    let headings = headings.collect::<Vec<_>>();
    let lines = std::iter::once(row(&headings)).chain(rows.iter().map(|cells| row(cells)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let ages = [0, 59, 60, 3599, 3600, 86399, 86400 * 4 + 3 * 3600];
        let shown = ages.map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(
            shown,
            ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "4d 3h"]
        );
    }

    #[test]
    fn text_of_another_process_does_not_affect_the_terminal() {
        assert_eq!(escape("\x1b[31mred\x1b[0m\nü\u{202e}"), r"red\nü\u{202e}");
        assert_eq!(
            escape_lines("\x1b[31mred\x1b[0m\nü\u{202e}"),
            "red\nü\\u{202e}"
        );
        let hostile = escape("\x1b]0;title\x07a\u{9b}2Jb\rc\x08\x1b[2J");
        assert!(!hostile.contains(|it: char| it.is_control()), "{hostile:?}");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let text = "ü\u{202e}\u{9b}2J\n\u{7f}\u{e0041}\"\\";
        let json = escaped_json(&text, false).unwrap();
        assert_eq!(json, r#""ü\u202e\u009b2J\n\u007f\udb40\udc41\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_column_without_values_is_aligned_to_the_left() {
        let row = vec![(Style::Plain, "-".to_owned())];
        let table = table(&["LAST EXIT"], &[row]);
        assert!(table.ends_with("\n-"), "{table:?}");
    }

    #[test]
    fn columns_of_numbers_are_aligned_to_the_right() {
        let row = |name: &str, pid: &str| {
            let cell = |text: &str| (Style::Plain, text.to_owned());
            vec![cell(name), cell(pid), cell("ready")]
        };
        let table = table(
            &["NAME", "PID", "STATE"],
            &[row("web", "7"), row("a-longer-one", "12345")],
        );
        let plain = anstream::adapter::strip_str(&table).to_string();
        assert_eq!(
            plain,
            "NAME            PID  STATE\n\
             web               7  ready\n\
             a-longer-one  12345  ready"
        );
    }
}
