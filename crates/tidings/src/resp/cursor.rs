//! Reads the parts of an answer in order, without parsing the rest.

use std::ops::Range;

use bytes::Bytes;

use crate::resp::CHUNK;
use crate::resp::scan::{line, parsed};

/// A cursor over an answer.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    bytes: Bytes,
    at: usize,
}

/// The answer has other parts than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected;

impl Cursor {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// Enters an array or a map, and returns the number of its values, or pairs; `None` for nil.
    pub(crate) fn enter(&mut self) -> Result<Option<usize>, Unexpected> {
        let (kind, number) = self.head()?;
        match kind {
            b'*' | b'%' | b'~' => Ok(number),
            b'_' => Ok(None),
            _ => Err(Unexpected),
        }
    }

    /// Reads a text; `None` for nil.
    pub(crate) fn text(&mut self) -> Result<Option<&[u8]>, Unexpected> {
        let text = self.range()?;
        Ok(text.map(|text| &self.bytes[text]))
    }

    /// Reads a text that outlives the answer: a small one does not hold the rest in memory.
    pub(crate) fn owned_text(&mut self) -> Result<Bytes, Unexpected> {
        let text = self.range()?.ok_or(Unexpected)?;
        if text.len() < CHUNK {
            Ok(Bytes::copy_from_slice(&self.bytes[text]))
        } else {
            Ok(self.bytes.slice(text))
        }
    }

    /// Reads a number or a text that is one; `None` for nil.
    pub(crate) fn number(&mut self) -> Result<Option<u64>, Unexpected> {
        if self.bytes.get(self.at) == Some(&b':') {
            let (_, number) = self.head()?;
            return number.map(|number| Some(number as u64)).ok_or(Unexpected);
        }
        let text = self.text()?;
        text.map(|text| parsed(text).ok_or(Unexpected)).transpose()
    }

    fn range(&mut self) -> Result<Option<Range<usize>>, Unexpected> {
        let start = self.at;
        let (kind, number) = self.head()?;
        match kind {
            b'$' | b'=' => {
                let Some(length) = number else {
                    return Ok(None);
                };
                let text = self.at..self.at.checked_add(length).ok_or(Unexpected)?;
                self.at = text.end.checked_add(2).ok_or(Unexpected)?;
                let is_there = self.at <= self.bytes.len();
                is_there.then_some(Some(text)).ok_or(Unexpected)
            }
            b'+' => Ok(Some(start + 1..self.at - 2)),
            b'_' => Ok(None),
            _ => Err(Unexpected),
        }
    }

    /// Reads the line of a value: its kind, and its number if it is not negative.
    fn head(&mut self) -> Result<(u8, Option<usize>), Unexpected> {
        let rest = self.bytes.get(self.at..).ok_or(Unexpected)?;
        let line = line(rest).ok().flatten().ok_or(Unexpected)?;
        let (kind, number) = line.split_first().ok_or(Unexpected)?;
        self.at += line.len() + 2;
        Ok((*kind, parsed(number)))
    }
}
