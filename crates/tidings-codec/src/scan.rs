//! Finds where a JSON value ends, without recursion and without judging numbers.
//!
//! What is checked is what decides where things end: brackets and their kinds, quotes, commas,
//! colons. Escapes, numbers and words are serde's to judge, when a payload is decoded. An event
//! that nobody wants costs this scan and no more.

use std::ops::Range;

use crate::{FrameError, Limits};

/// What a value may have, before it is too much.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    depth: u32,
    nodes: u32,
}

impl Bounds {
    pub(crate) const PAYLOAD: Self = Self::new(Limits::DEPTH, Limits::NODES);
    /// A map of texts, keys counted.
    pub(crate) const META: Self = Self::new(1, 1 + 2 * Limits::META);

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the limits are small constants"
    )]
    const fn new(depth: usize, nodes: usize) -> Self {
        // The kinds of the open brackets are kept in 64 bits.
        assert!(depth <= 64);
        Self {
            depth: depth as u32,
            nodes: nodes as u32,
        }
    }
}

/// Whether a value whose end was found keeps to its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    TooDeep,
    TooManyNodes,
}

/// What is between the quotes of a string.
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) start: usize,
}

impl Text<'_> {
    pub(crate) fn is_escaped(&self) -> bool {
        self.bytes.contains(&b'\\')
    }
}

/// A position in JSON text that only moves forward.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// What is not taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Takes so many bytes of the rest.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.position += bytes;
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range]
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let (position, byte) = after_space(self.bytes, self.position);
        self.position = position;
        (position < self.bytes.len()).then_some(byte)
    }

    /// Takes the next byte if it is this one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.position += usize::from(is_next);
        is_next
    }

    /// Takes the next bytes if they are exactly these.
    #[inline]
    pub(crate) fn take_all(&mut self, bytes: &[u8]) -> bool {
        let are_next = self.bytes[self.position..].starts_with(bytes);
        if are_next {
            self.position += bytes.len();
        }
        are_next
    }

    /// Takes the next byte, which has to be this one.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), FrameError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.broken())
        }
    }

    /// Takes a key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Text<'a>, FrameError> {
        self.expect(b'"')?;
        let key = self.rest_of_string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes a value of any kind and says whether it keeps to the bounds.
    pub(crate) fn value(&mut self, bounds: Bounds) -> Result<Verdict, FrameError> {
        self.peek();
        match end_of_value(self.bytes, self.position, bounds) {
            Ok(end) => {
                self.position = end;
                Ok(Verdict::Fine)
            }
            Err(Stop::Broken(position)) => {
                self.position = position;
                Err(self.broken())
            }
            Err(Stop::TooDeep) => self.pass_over(Verdict::TooDeep),
            Err(Stop::TooManyNodes) => self.pass_over(Verdict::TooManyNodes),
        }
    }

    /// Takes a value, and returns what is in it if it is a string.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<Text<'a>>, FrameError> {
        if self.take(b'"') {
            return self.rest_of_string().map(Some);
        }
        self.value(Bounds::PAYLOAD)?;
        Ok(None)
    }

    /// Takes a value, and returns what it is if it is neither a string nor an array or object.
    pub(crate) fn scalar(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        let is_scalar = self
            .peek()
            .is_some_and(|byte| IN_SCALARS[usize::from(byte)]);
        let start = self.position;
        self.value(Bounds::PAYLOAD)?;
        Ok(is_scalar.then(|| self.slice(start..self.position)))
    }

    /// What is wrong here: something that cannot be, or nothing more where there should be.
    #[cold]
    pub(crate) fn broken(&self) -> FrameError {
        let position = self.position;
        if position < self.bytes.len() {
            FrameError::Structure { position }
        } else {
            FrameError::Length { position }
        }
    }

    /// Takes the rest of a string whose opening quote is taken.
    #[inline]
    fn rest_of_string(&mut self) -> Result<Text<'a>, FrameError> {
        let start = self.position;
        match end_of_string(self.bytes, start) {
            Ok(end) => {
                self.position = end;
                Ok(Text {
                    bytes: &self.bytes[start..end - 1],
                    start,
                })
            }
            Err(position) => {
                self.position = position;
                Err(self.broken())
            }
        }
    }

    /// Takes an array or object that exceeds its bounds, by its brackets and strings alone.
    ///
    /// Of the brackets below 64 levels the number is compared, but not the kind.
    #[cold]
    fn pass_over(&mut self, verdict: Verdict) -> Result<Verdict, FrameError> {
        let mut depth = 0_usize;
        let mut kinds = 0_u64;
        while let Some(&byte) = self.bytes.get(self.position) {
            self.position += 1;
            match byte {
                b'"' => {
                    self.rest_of_string()?;
                }
                b'{' | b'[' => {
                    let kind = 1_u64
                        .checked_shl(u32::try_from(depth).unwrap_or(u32::MAX))
                        .unwrap_or(0);
                    kinds = if byte == b'{' {
                        kinds | kind
                    } else {
                        kinds & !kind
                    };
                    depth += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    if depth < 64 && (kinds >> depth & 1 == 1) != (byte == b'}') {
                        return Err(FrameError::Structure {
                            position: self.position - 1,
                        });
                    }
                    if depth == 0 {
                        return Ok(verdict);
                    }
                }
                _ => {}
            }
        }
        Err(self.broken())
    }
}

/// Why the end of a value was not found.
enum Stop {
    /// Something at this position cannot be there.
    Broken(usize),
    TooDeep,
    TooManyNodes,
}

/// Where the value ends that begins at `at`.
///
/// The hot loop of this crate: plain positions and bytes, and nothing else is carried along.
fn end_of_value(bytes: &[u8], mut at: usize, bounds: Bounds) -> Result<usize, Stop> {
    // The kinds of the open brackets, the innermost lowest: 1 for an object.
    let mut kinds = 0_u64;
    let (mut depth, mut nodes) = (0, 0);
    let mut byte;
    'value: loop {
        (at, byte) = after_space(bytes, at);
        nodes += 1;
        if byte == b'"' {
            at = end_of_string(bytes, at + 1).map_err(Stop::Broken)?;
        } else if byte == b'{' || byte == b'[' {
            if depth == bounds.depth {
                return Err(Stop::TooDeep);
            }
            let is_object = byte == b'{';
            depth += 1;
            kinds = kinds << 1 | u64::from(is_object);
            (at, byte) = after_space(bytes, at + 1);
            // An empty one is closed below, like any other.
            if is_object && byte != b'}' {
                at = end_of_key(bytes, at)?;
                nodes += 1;
                continue 'value;
            }
            if !is_object && byte != b']' {
                continue 'value;
            }
        } else {
            let start = at;
            while bytes
                .get(at)
                .is_some_and(|&byte| IN_SCALARS[usize::from(byte)])
            {
                at += 1;
            }
            if at == start {
                return Err(Stop::Broken(at));
            }
        }
        if nodes > bounds.nodes {
            return Err(Stop::TooManyNodes);
        }
        // A value has ended: close what ends with it, up to a comma.
        while depth > 0 {
            let is_object = kinds & 1 == 1;
            (at, byte) = after_space(bytes, at);
            if byte == b',' {
                at += 1;
                if is_object {
                    (at, _) = after_space(bytes, at);
                    at = end_of_key(bytes, at)?;
                    nodes += 1;
                }
                continue 'value;
            }
            if byte != if is_object { b'}' } else { b']' } {
                return Err(Stop::Broken(at));
            }
            at += 1;
            depth -= 1;
            kinds >>= 1;
        }
        return Ok(at);
    }
}

/// The first position from `at` on without white space, and its byte; 0 at the end.
#[inline]
fn after_space(bytes: &[u8], mut at: usize) -> (usize, u8) {
    loop {
        match bytes.get(at) {
            Some(&byte) if byte > b' ' => return (at, byte),
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            Some(&byte) => return (at, byte),
            None => return (at, 0),
        }
    }
}

/// Where the key and its colon end that begin at `at`.
#[inline]
fn end_of_key(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Stop::Broken(at));
    }
    let end = end_of_string(bytes, at + 1).map_err(Stop::Broken)?;
    match after_space(bytes, end) {
        (colon, b':') => Ok(colon + 1),
        (other, _) => Err(Stop::Broken(other)),
    }
}

/// The position behind the closing quote of the string whose content begins at `at`. If it does
/// not end, or has control characters, where that was noticed.
#[inline]
fn end_of_string(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        at = next_special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at += 2,
            _ => return Err(at.min(bytes.len())),
        }
    }
}

/// The first position from `at` on with a quote, a backslash or a control character.
#[inline]
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes
        .get(at)
        .is_some_and(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        at += 1;
    }
    at
}

/// Marks the highest bit of the first byte that is a quote, a backslash or a control character;
/// of the bytes after it some may be marked wrongly.
#[inline]
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Subtraction borrows into the highest bit of a byte that is too small for it.
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * b' ' as u64);
    (quote | backslash | control) & !word & HIGHS
}

/// What numbers and the words `true`, `false` and `null` are made of, roughly.
static IN_SCALARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let character = byte as u8;
        table[byte] = matches!(character, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.');
        byte += 1;
    }
    table
};
