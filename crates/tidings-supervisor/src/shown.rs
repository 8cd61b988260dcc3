//! Text of other processes as people are shown it: without its colours, and escaped.

use std::fmt;

use anstream::adapter::strip_str;
use tidings_codec::Escaped;

/// Text of another process, in one line. A tab is shown as four spaces.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref().replace('\t', "    ");
        Escaped(strip_str(&text)).fmt(f)
    }
}

/// Text of another process that may have several lines: each is shown by itself.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.lines();
        lines.next().map_or(Ok(()), |first| Shown(first).fmt(f))?;
        lines.try_for_each(|line| write!(f, "\n{}", Shown(line)))
    }
}
