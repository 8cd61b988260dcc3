//! A block of lines that is redrawn in place on a terminal, and printed again elsewhere.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use unicode_width::UnicodeWidthChar as _;

/// Standard output, with a block at its end.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    has_color: bool,
    /// The number of lines of the block.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
        Self {
            is_terminal: !is_dumb && size().is_some(),
            has_color: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
            drawn: 0,
        }
    }

    /// Replaces the block, or prints it if standard output is no terminal.
    pub(crate) fn draw(&mut self, block: &str) -> io::Result<()> {
        let Some(size) = size().filter(|_| self.is_terminal) else {
            return self.write(block);
        };
        let (text, lines) = redrawn(block, self.drawn, size);
        self.drawn = lines;
        self.write_raw(&text)
    }

    /// Prints a line in place of the block.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        if self.drawn > 0 {
            let text = format!("{}\x1b[J", up(self.drawn));
            self.drawn = 0;
            self.write_raw(&text)?;
        }
        self.write(line)
    }

    pub(crate) fn flush() -> io::Result<()> {
        io::stdout().flush()
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if self.has_color {
            writeln!(io::stdout(), "{text}")
        } else {
            writeln!(io::stdout(), "{}", anstream::adapter::strip_str(text))
        }
    }

    /// Writes text that moves the cursor, which is done without colors, too.
    fn write_raw(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.has_color {
            stdout.write_all(text.as_bytes())
        } else {
            stdout.write_all(without_colors(text).as_bytes())
        }
    }
}

/// Returns the columns and lines of the terminal; `None` if standard output is none.
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let size = (usize::from(size.ws_col), usize::from(size.ws_row));
    Some(size).filter(|(columns, lines)| *columns > 0 && *lines > 1)
}

/// Moves the cursor to the start of the line that is this many lines above.
fn up(lines: usize) -> String {
    match lines {
        0 => "\r".to_owned(),
        lines => format!("\r\x1b[{lines}A"),
    }
}

/// Returns the text that replaces a block of `drawn` lines, and the number of lines of the new one. A
/// line that is too wide or a line too many would move the terminal, so they are cut.
fn redrawn(block: &str, drawn: usize, (columns, rows): (usize, usize)) -> (String, usize) {
    let mut lines: Vec<_> = block.lines().map(|line| cut(line, columns)).collect();
    // The cursor is in the line below.
    let room = rows - 1;
    if lines.len() > room {
        let hidden = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(cut(&format!("… {hidden} more lines"), columns));
    }
    let mut text = up(drawn);
    for line in &lines {
        let _ = writeln!(text, "{line}\x1b[K");
    }
    text += "\x1b[J";
    (text, lines.len())
}

/// Cuts a line with colors to this many columns.
fn cut(line: &str, columns: usize) -> String {
    let (mut width, mut cut, mut is_escape) = (0, String::new(), false);
    for character in line.chars() {
        is_escape |= character == '\x1b';
        if !is_escape {
            width += character.width().unwrap_or(0);
            if width > columns {
                return cut + "\x1b[0m";
            }
        }
        is_escape &= character != 'm';
        cut.push(character);
    }
    cut
}

/// Removes the sequences that set colors, which end with `m`.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|it: char| it.is_ascii_alphabetic());
        match end {
            Some(end) if part[end..].starts_with('m') => plain += &part[end + 1..],
            _ => {
                plain += "\x1b[";
                plain += part;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Style, paint};

    #[test]
    fn a_block_replaces_the_one_before_and_fits_the_terminal() {
        let (first, lines) = redrawn("one\ntwo", 0, (80, 24));
        assert_eq!((&*first, lines), ("\rone\x1b[K\ntwo\x1b[K\n\x1b[J", 2));
        let (second, lines) = redrawn("名前名\n2\n3\n4", 2, (5, 4));
        assert_eq!(
            (&*second, lines),
            (
                "\r\x1b[2A名前\x1b[0m\x1b[K\n2\x1b[K\n… 2 m\x1b[0m\x1b[K\n\x1b[J",
                3
            )
        );
    }

    #[test]
    fn colors_have_no_width_and_can_be_removed_without_the_movements() {
        let painted = paint(Style::Error, "12345");
        assert_eq!(cut(&painted, 5), painted);
        assert_eq!(without_colors(&cut(&painted, 3)), "123");
        assert_eq!(
            without_colors(&format!("\r\x1b[2A{painted}\x1b[K")),
            "\r\x1b[2A12345\x1b[K"
        );
    }
}
