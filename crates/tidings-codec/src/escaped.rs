//! Escapes untrusted text for terminals and logs.

use std::fmt::{self, Write};

/// Displays untrusted text on one line.
///
/// Control characters, such as line breaks and terminal escapes, line and paragraph separators,
/// invisible characters and characters that change the direction of writing are displayed as Rust
/// escapes: `\n`, `\u{1b}`, `\u{202e}`. All others are unchanged, quotes and backslashes included,
/// so escaping is idempotent.
///
/// ```
/// use tidings_codec::Escaped;
///
/// let name = "api\u{1b}[2J\n2026-01-01 ERROR all is lost";
/// assert_eq!(Escaped(name).to_string(), r"api\u{1b}[2J\n2026-01-01 ERROR all is lost");
/// assert_eq!(Escaped(r#"Zoë's "c:\dir""#).to_string(), r#"Zoë's "c:\dir""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes the text that is written to it.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (position, character) in text.char_indices() {
            if is_printable(character) {
                continue;
            }
            self.0.write_str(&text[plain..position])?;
            plain = position + character.len_utf8();
            write!(self.0, "{}", character.escape_default())?;
        }
        self.0.write_str(&text[plain..])
    }
}

/// Returns whether a character is displayed unchanged.
fn is_printable(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !character.is_control() && !is_invisible
}

/// Returns the escaped text; `None` if nothing is to be escaped.
pub(crate) fn escape_if_needed(text: &str) -> Option<String> {
    let is_printable = text.chars().all(is_printable);
    (!is_printable).then(|| Escaped(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_and_invisible_characters_are_escaped() {
        let cases = [
            ("a\r\n\tb", r"a\r\n\tb"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("\u{9b}31m\u{7f}\0", r"\u{9b}31m\u{7f}\u{0}"),
            (
                "\u{202e}txt\u{2066}\u{200b}\u{feff}",
                r"\u{202e}txt\u{2066}\u{200b}\u{feff}",
            ),
            ("a\u{2028}b\u{2029}c\u{85}", r"a\u{2028}b\u{2029}c\u{85}"),
            ("\u{e0041}\u{ad}", r"\u{e0041}\u{ad}"),
            ("", ""),
            (r#"Zoë's "name" \n"#, r#"Zoë's "name" \n"#),
            (
                "e\u{301} हिन्दी 日本 \u{1f600}",
                "e\u{301} हिन्दी 日本 \u{1f600}",
            ),
        ];
        for (text, shown) in cases {
            assert_eq!(Escaped(text).to_string(), shown);
            assert_eq!(Escaped(shown).to_string(), shown, "escaped twice");
        }
    }
}
