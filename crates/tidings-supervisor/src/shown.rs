//! Displays text of other processes: escaped, and without its colours.

use std::fmt;

use anstream::adapter::strip_str;
use tidings_codec::Escaped;

/// Displays text in one line, with a tab as four spaces.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref().replace('\t', "    ");
        Escaped(strip_str(&text)).fmt(f)
    }
}

/// Displays each line of a text as [`Shown`] does.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.lines();
        lines.next().map_or(Ok(()), |first| Shown(first).fmt(f))?;
        lines.try_for_each(|line| write!(f, "\n{}", Shown(line)))
    }
}

/// Displays the last lines of a worker, or nothing if there are none.
pub(crate) struct LastOutput<'a>(pub(crate) &'a [String]);

impl fmt::Display for LastOutput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines) = self;
        if lines.is_empty() {
            return Ok(());
        }
        f.write_str("; last output:")?;
        let mut lines = lines.iter();
        lines.try_for_each(|line| write!(f, "\n    {}", Shown(line)))
    }
}
