//! Finds the end of a RESP3 value that arrives in parts.

use std::io;

/// The maximum length of a line: a length, a number or an error.
const MAX_LINE: usize = 64 << 10;

/// The first bytes of values.
pub(crate) const KINDS: &[u8] = b"+-:$*_#,(!=%|~>";

/// The part of a value that has been seen.
#[derive(Debug)]
pub(super) struct Scan {
    /// The known length of the value.
    pub(super) length: usize,
    /// The number of values that are still to come.
    missing: u64,
}

impl Scan {
    pub(super) fn new() -> Self {
        let (length, missing) = (0, 1);
        Self { length, missing }
    }

    /// Returns the length of the value at the start of `bytes`, once all of it is there. Later calls
    /// continue where this one stopped.
    pub(super) fn end(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        while self.missing > 0 {
            let Some(line) = bytes.get(self.length..).map(line).transpose()?.flatten() else {
                return Ok(None);
            };
            let (values, length) = following(line).ok_or_else(malformed)?;
            self.length = (self.length + line.len() + 2)
                .checked_add(length)
                .ok_or_else(malformed)?;
            self.missing = (self.missing - 1)
                .checked_add(values)
                .ok_or_else(malformed)?;
        }
        Ok((self.length <= bytes.len()).then_some(self.length))
    }
}

/// The numbers of values and of bytes that belong to the value of this line.
fn following(line: &[u8]) -> Option<(u64, usize)> {
    let (kind, number) = line.split_first()?;
    if !b"$!=*~>%|".contains(kind) {
        return Some((0, 0));
    }
    // A negative number stands for nothing.
    let Ok(number) = u64::try_from(parsed::<i64>(number)?) else {
        return Some((0, 0));
    };
    Some(match kind {
        b'*' | b'~' | b'>' => (number, 0),
        b'%' => (number.checked_mul(2)?, 0),
        b'|' => (number.checked_mul(2)?.checked_add(1)?, 0),
        _ => (0, usize::try_from(number).ok()?.checked_add(2)?),
    })
}

/// Returns the line at the start of a value without its end, once all of it is there.
pub(super) fn line(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    if bytes.first().is_some_and(|kind| !KINDS.contains(kind)) {
        return Err(malformed());
    }
    let end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    match end {
        Some(end) => bytes[..end]
            .strip_suffix(b"\r")
            .map(Some)
            .ok_or_else(malformed),
        None if bytes.len() < MAX_LINE => Ok(None),
        None => Err(malformed()),
    }
}

/// Parses a number.
pub(super) fn parsed<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    str::from_utf8(digits).ok()?.parse().ok()
}

pub(super) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent no valid RESP3")
}
