//! Terminal output: colors, escaping, tables and durations.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style as Ansi};
use serde::Serialize;
use tidings_codec::Escaped;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

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

/// Prints a line to standard error after a label such as `error:`.
pub(crate) fn print_labeled(style: Style, label: &str, text: &str) {
    let label = paint(style, format_args!("{label}:"));
    let _ = writeln!(anstream::stderr(), "{label} {text}");
}

/// Returns "1 worker" or "2 workers".
pub(crate) fn workers(number: usize) -> String {
    count(number, "worker")
}

/// Returns "1 member" or "2 members".
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    if number == N::from(1) {
        return format!("1 {what}");
    }
    format!("{number} {what}s")
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

/// The narrowest that a column becomes to fit the terminal.
const NARROWEST: usize = 8;

/// The space between two columns.
const SPACE: &str = "  ";

struct Column {
    width: usize,
    /// Columns of numbers are aligned to the right, and are not cut.
    is_number: bool,
}

/// Formats a table with headings. On a terminal, its widest columns are cut to fit.
pub(crate) fn table(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    table_within(headings, rows, columns_of_terminal())
}

/// Returns the width of the terminal; `None` if standard output is none.
fn columns_of_terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

fn table_within(headings: &[&str], rows: &[Vec<Cell>], limit: Option<usize>) -> String {
    let columns = headings.iter().enumerate();
    let mut columns: Vec<_> = columns
        .map(|(column, heading)| {
            let texts = rows.iter().map(|row| row[column].1.as_str());
            Column::of(heading, &texts)
        })
        .collect();
    if let Some(limit) = limit {
        shrink(&mut columns, limit);
    }
    let headings = headings.iter().map(|it| (Style::Heading, (*it).to_owned()));
    let headings = headings.collect::<Vec<_>>();
    let rows = std::iter::once(&headings).chain(rows);
    let lines = rows.map(|cells| line(cells, &columns));
    lines.collect::<Vec<_>>().join("\n")
}

impl Column {
    fn of<'a>(heading: &str, texts: &(impl Iterator<Item = &'a str> + Clone)) -> Self {
        let longest = texts.clone().map(UnicodeWidthStr::width).max();
        let is_number = |text: &str| text == "-" || text.bytes().all(|it| it.is_ascii_digit());
        Self {
            width: longest.unwrap_or(0).max(heading.width()),
            is_number: texts.clone().all(is_number) && !texts.clone().all(|text| text == "-"),
        }
    }
}

/// Takes from the widest columns of text what exceeds the limit.
fn shrink(columns: &mut [Column], limit: usize) {
    let spaces = SPACE.len() * columns.len().saturating_sub(1);
    let mut total = spaces + columns.iter().map(|column| column.width).sum::<usize>();
    while total > limit {
        let texts = columns.iter_mut().filter(|column| !column.is_number);
        let Some(widest) = texts.max_by_key(|column| column.width) else {
            return;
        };
        if widest.width <= NARROWEST {
            return;
        }
        widest.width -= 1;
        total -= 1;
    }
}

fn line(cells: &[Cell], columns: &[Column]) -> String {
    let cells = cells.iter().zip(columns);
    let padded = cells.map(|((style, text), column)| {
        let text = cut(text, column.width);
        let padding = " ".repeat(column.width.saturating_sub(text.width()));
        let text = paint(*style, text);
        if column.is_number {
            format!("{padding}{text}")
        } else {
            format!("{text}{padding}")
        }
    });
    let line = padded.collect::<Vec<_>>().join(SPACE);
    line.trim_end().to_owned()
}

/// Cuts a text that is wider than the limit, and marks the end.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.width() <= limit {
        return text.into();
    }
    let mut width = 1;
    let fits = |character: &char| {
        width += character.width().unwrap_or(0);
        width <= limit
    };
    let beginning: String = text.chars().take_while(fits).collect();
    format!("{beginning}…").into()
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

    #[test]
    fn a_table_fits_the_terminal() {
        let row = |name: &str, number: &str| {
            let cell = |text: &str| (Style::Plain, text.to_owned());
            vec![cell(name), cell(number)]
        };
        let rows = [row("名前名前名前名前", "1234567890"), row("a-name", "7")];
        let table = table_within(&["NAME", "NUMBER"], &rows, Some(21));
        let plain = anstream::adapter::strip_str(&table).to_string();
        assert_eq!(
            plain,
            "NAME           NUMBER\n\
             名前名前…  1234567890\n\
             a-name              7"
        );
        assert!(plain.lines().all(|line| line.width() <= 21));
        assert!(table_within(&["NAME", "NUMBER"], &rows, Some(3)).contains("1234567890"));
    }
}
