//! How things look: colours where a terminal shows them, tables, and times for people.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style as Ansi};
use serde::Serialize;
use tidings_codec::Escaped;

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// It is there for whoever looks for it.
    Calm,
    Good,
    Trouble,
    Alarm,
    Heading,
}

impl Style {
    fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Calm => Ansi::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Trouble => AnsiColor::Yellow.on_default(),
            Self::Alarm => AnsiColor::Red.on_default().bold(),
            Self::Heading => Ansi::new().bold(),
        }
    }
}

pub(crate) fn paint(style: Style, text: impl Display) -> String {
    let ansi = style.ansi();
    format!("{ansi}{text}{ansi:#}")
}

/// Neighbours look different; red, yellow and green mean something.
pub(crate) fn paint_slot(slot: usize, text: impl Display) -> String {
    const COLOURS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    let ansi = COLOURS[slot % COLOURS.len()].on_default();
    format!("{ansi}{text}{ansi:#}")
}

/// Text of another process in one line, so that it does nothing to a terminal: without its colours,
/// and escaped.
pub(crate) fn harmless(text: impl Display) -> String {
    let text = text.to_string();
    Escaped(anstream::adapter::strip_str(&text)).to_string()
}

/// Text with text of other processes in it, line by line.
pub(crate) fn harmless_lines(text: impl Display) -> String {
    let text = text.to_string();
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

/// A value as JSON that means the same and does nothing to a terminal.
pub(crate) fn harmless_json(value: &impl Serialize, is_pretty: bool) -> serde_json::Result<String> {
    let json = if is_pretty {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    Ok(harmless_texts(&json))
}

/// Such characters are only within the texts of JSON, where each can be written by its number.
fn harmless_texts(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        let is_plain = matches!(character, '\n' | ' '..='~');
        if is_plain || Escaped(character).to_string().starts_with(character) {
            harmless.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(harmless, "\\u{unit:04x}");
        }
    }
    harmless
}

/// Whoever closed our output, as `head` does, does not want the rest.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// To standard error, with a word before it that says what it is.
pub(crate) fn complain(style: Style, word: &str, text: &str) {
    let word = paint(style, format_args!("{word}:"));
    let _ = writeln!(anstream::stderr(), "{word} {text}");
}

/// "1 worker", "2 workers".
pub(crate) fn workers(count: usize) -> String {
    match count {
        1 => "1 worker".to_owned(),
        count => format!("{count} workers"),
    }
}

/// In the two largest units: "5s", "3m 12s", "4d 3h".
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

/// A text of a table and what it means.
pub(crate) type Cell = (Style, String);

/// The rows below their headings, each column as wide as it has to be. Numbers are on the right.
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
    fn an_age_is_given_in_its_two_largest_units() {
        let ages = [0, 59, 60, 3599, 3600, 86399, 86400 * 4 + 3 * 3600];
        let shown = ages.map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(
            shown,
            ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "4d 3h"]
        );
    }

    #[test]
    fn text_of_another_process_does_nothing_to_a_terminal() {
        assert_eq!(harmless("\x1b[31mred\x1b[0m\nü\u{202e}"), r"red\nü\u{202e}");
        assert_eq!(
            harmless_lines("\x1b[31mred\x1b[0m\nü\u{202e}"),
            "red\nü\\u{202e}"
        );
        let hostile = harmless("\x1b]0;title\x07a\u{9b}2Jb\rc\x08\x1b[2J");
        assert!(!hostile.contains(|it: char| it.is_control()), "{hostile:?}");
    }

    #[test]
    fn json_that_does_nothing_to_a_terminal_means_the_same() {
        let text = "ü\u{202e}\u{9b}2J\n\u{7f}\u{e0041}\"\\";
        let json = harmless_json(&text, false).unwrap();
        assert_eq!(json, r#""ü\u202e\u009b2J\n\u007f\udb40\udc41\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_column_of_which_nothing_is_known_is_on_the_left() {
        let row = vec![(Style::Plain, "-".to_owned())];
        let table = table(&["LAST EXIT"], &[row]);
        assert!(table.ends_with("\n-"), "{table:?}");
    }

    #[test]
    fn a_table_is_aligned_with_numbers_on_the_right() {
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
