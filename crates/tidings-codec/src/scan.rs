//! Finds the end of a JSON value, without recursion.
//!
//! The scanner checks the syntax that determines the end: brackets, quotes, commas and colons. Serde
//! checks escapes, numbers and literals when a payload is decoded. So an event without a handler
//! costs only this scan.

use std::ops::Range;

use crate::{FrameError, Limits};

/// Limits of a value.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    depth: u32,
    nodes: u32,
}

impl Bounds {
    pub(crate) const PAYLOAD: Self = Self::new(Limits::DEPTH, Limits::VALUES);
    /// Limits of a map of strings, with the keys counted.
    pub(crate) const META: Self = Self::new(1, 1 + 2 * Limits::META);

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the limits are small constants"
    )]
    const fn new(depth: usize, nodes: usize) -> Self {
        // The types of the open brackets fit 64 bits.
        assert!(depth <= 64);
        Self {
            depth: depth as u32,
            nodes: nodes as u32,
        }
    }
}

/// The result of checking a value against its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    TooDeep,
    TooManyValues,
}

/// The content of a string, between its quotes.
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) start: usize,
}

impl Text<'_> {
    pub(crate) fn is_escaped(&self) -> bool {
        self.bytes.contains(&b'\\')
    }
}

/// A position in JSON that only moves forward.
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

    /// Returns the bytes that are not taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Skips this many bytes.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.position += bytes;
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range]
    }

    /// Returns the next byte that is not white space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let (position, byte) = after_space(self.bytes, self.position);
        self.position = position;
        (position < self.bytes.len()).then_some(byte)
    }

    /// Takes the next byte if it equals `byte`.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.position += usize::from(is_next);
        is_next
    }

    /// Takes the next bytes if they equal `bytes`.
    #[inline]
    pub(crate) fn take_all(&mut self, bytes: &[u8]) -> bool {
        let are_next = self.bytes[self.position..].starts_with(bytes);
        if are_next {
            self.position += bytes.len();
        }
        are_next
    }

    /// Takes the next byte, which must equal `byte`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), FrameError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.syntax_error())
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

    /// Takes a value of any type and checks it against the limits.
    pub(crate) fn value(&mut self, bounds: Bounds) -> Result<Verdict, FrameError> {
        self.peek();
        match end_of_value(self.bytes, self.position, bounds) {
            Ok(end) => {
                self.position = end;
                Ok(Verdict::Fine)
            }
            Err(Stop::Syntax(position)) => {
                self.position = position;
                Err(self.syntax_error())
            }
            Err(Stop::TooDeep) => self.skip_oversized(Verdict::TooDeep),
            Err(Stop::TooManyValues) => self.skip_oversized(Verdict::TooManyValues),
        }
    }

    /// Takes a value, and returns its content if it is a string.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<Text<'a>>, FrameError> {
        if self.take(b'"') {
            return self.rest_of_string().map(Some);
        }
        self.value(Bounds::PAYLOAD)?;
        Ok(None)
    }

    /// Takes a value, and returns it if it is a number or literal.
    pub(crate) fn scalar(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        let is_scalar = self
            .peek()
            .is_some_and(|byte| SCALAR_BYTES[usize::from(byte)]);
        let start = self.position;
        self.value(Bounds::PAYLOAD)?;
        Ok(is_scalar.then(|| self.slice(start..self.position)))
    }

    /// Returns the error at this position: a syntax error, or the end of the input.
    #[cold]
    pub(crate) fn syntax_error(&self) -> FrameError {
        let position = self.position;
        if position < self.bytes.len() {
            FrameError::Syntax { position }
        } else {
            FrameError::Truncated { position }
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
                Err(self.syntax_error())
            }
        }
    }

    /// Skips an array or object that exceeds its limits, by its brackets and strings alone.
    ///
    /// Below 64 levels brackets are counted without comparing their types.
    #[cold]
    fn skip_oversized(&mut self, verdict: Verdict) -> Result<Verdict, FrameError> {
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
                        return Err(FrameError::Syntax {
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
        Err(self.syntax_error())
    }
}

/// The reason for which a scan stopped before the end of a value.
enum Stop {
    /// There is a syntax error at this position.
    Syntax(usize),
    TooDeep,
    TooManyValues,
}

/// Returns the end of the value that begins at `at`.
///
/// This is the hot loop of the crate, so it works on plain positions and bytes.
fn end_of_value(bytes: &[u8], mut at: usize, bounds: Bounds) -> Result<usize, Stop> {
    // The types of the open brackets, the innermost in the lowest bit: 1 is an object.
    let mut kinds = 0_u64;
    let (mut depth, mut nodes) = (0, 0);
    let mut byte;
    'value: loop {
        (at, byte) = after_space(bytes, at);
        nodes += 1;
        if byte == b'"' {
            at = end_of_string(bytes, at + 1).map_err(Stop::Syntax)?;
        } else if byte == b'{' || byte == b'[' {
            if depth == bounds.depth {
                return Err(Stop::TooDeep);
            }
            let is_object = byte == b'{';
            depth += 1;
            kinds = kinds << 1 | u64::from(is_object);
            (at, byte) = after_space(bytes, at + 1);
            // An empty array or object is closed below.
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
                .is_some_and(|&byte| SCALAR_BYTES[usize::from(byte)])
            {
                at += 1;
            }
            if at == start {
                return Err(Stop::Syntax(at));
            }
        }
        if nodes > bounds.nodes {
            return Err(Stop::TooManyValues);
        }
        // The value has ended: close arrays and objects up to the next comma.
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
                return Err(Stop::Syntax(at));
            }
            at += 1;
            depth -= 1;
            kinds >>= 1;
        }
        return Ok(at);
    }
}

/// Returns the first position from `at` on without white space, and its byte; 0 at the end.
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

/// Returns the position after the key at `at` and its colon.
#[inline]
fn end_of_key(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Stop::Syntax(at));
    }
    let end = end_of_string(bytes, at + 1).map_err(Stop::Syntax)?;
    match after_space(bytes, end) {
        (colon, b':') => Ok(colon + 1),
        (other, _) => Err(Stop::Syntax(other)),
    }
}

/// Returns the position after the closing quote of the string whose content begins at `at`; as an
/// error, the position of a control character or of the end of the input.
#[inline]
pub(crate) fn end_of_string(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        at = next_special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at += 2,
            _ => return Err(at.min(bytes.len())),
        }
    }
}

/// Returns whether JSON writes a text without escapes.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    next_special_of_text(text.as_bytes(), 0) == text.len()
}

/// As [`next_special`], and several times as fast in a long text.
#[inline]
pub(crate) fn next_special_of_text(bytes: &[u8], at: usize) -> usize {
    if bytes.len() < LONG {
        return next_special(bytes, at);
    }
    next_special_far(bytes, at)
}

/// Looks at the words of one block, and then at whole blocks, for which the compiler uses SIMD.
#[inline(never)]
fn next_special_far(bytes: &[u8], at: usize) -> usize {
    let near = &bytes[..bytes.len().min(at + BLOCK)];
    let at = next_special(near, at);
    if at < near.len() {
        return at;
    }
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    let is_plain =
        |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | is_special(byte));
    let (blocks, _) = bytes[at..].as_chunks();
    let plain = blocks.iter().take_while(is_plain).count();
    next_special(bytes, at + BLOCK * plain)
}

/// Returns the first position from `at` on with a quote, a backslash or a control character.
#[inline]
pub(crate) fn next_special(bytes: &[u8], mut at: usize) -> usize {
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

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character.
/// Bytes after it may be marked falsely.
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

/// The bytes of a long text that are looked at together.
const BLOCK: usize = 64;

/// The length of bytes that may contain a long text.
const LONG: usize = 4 * BLOCK;

/// The bytes of numbers and of `true`, `false` and `null`; also of some invalid literals.
static SCALAR_BYTES: [bool; 256] = {
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
