//! Reads MessagePack token by token, without recursion or allocation.

use rmp::Marker;

use crate::{DecodeError, Limits};

/// A token of MessagePack. The content of strings and bytes, and the elements of arrays and maps,
/// follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Nil,
    Unsigned(u64),
    /// Any other scalar: a boolean, a float, a negative number.
    Scalar,
    Str(usize),
    Bin(usize),
    /// An extension, with the length of its type and content.
    Ext(usize),
    /// An array, with the number of elements.
    Array(usize),
    /// A map, with the number of keys and values: twice that of the entries.
    Map(usize),
}

/// An error of reading a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// The token exceeds the bytes that are left.
    Truncated,
    /// The marker is 0xc1.
    ReservedMarker,
}

/// A position in MessagePack that only moves forward.
pub(crate) struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Walker<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Takes a token. Its length is at most the number of bytes left: every value takes at least one
    /// byte.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token, TokenError> {
        let [marker] = self.fixed()?;
        let token = match Marker::from_u8(marker) {
            Marker::Null => Token::Nil,
            Marker::FixPos(number) => Token::Unsigned(number.into()),
            Marker::U8 => Token::Unsigned(self.u8()?.into()),
            Marker::U16 => Token::Unsigned(self.u16()?.into()),
            Marker::U32 => Token::Unsigned(self.u32()?.into()),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => signed(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => signed(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => signed(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => signed(i64::from_be_bytes(self.fixed()?)),
            Marker::FixNeg(_) | Marker::True | Marker::False => Token::Scalar,
            Marker::F32 => self.fixed::<4>().map(|_| Token::Scalar)?,
            Marker::F64 => self.fixed::<8>().map(|_| Token::Scalar)?,
            Marker::FixStr(len) => Token::Str(len.into()),
            Marker::Str8 => Token::Str(self.u8()?.into()),
            Marker::Str16 => Token::Str(self.u16()?.into()),
            Marker::Str32 => Token::Str(self.u32()? as usize),
            Marker::Bin8 => Token::Bin(self.u8()?.into()),
            Marker::Bin16 => Token::Bin(self.u16()?.into()),
            Marker::Bin32 => Token::Bin(self.u32()? as usize),
            Marker::FixArray(len) => Token::Array(len.into()),
            Marker::Array16 => Token::Array(self.u16()?.into()),
            Marker::Array32 => Token::Array(self.u32()? as usize),
            Marker::FixMap(len) => Token::Map(2 * usize::from(len)),
            Marker::Map16 => Token::Map(2 * usize::from(self.u16()?)),
            Marker::Map32 => Token::Map((self.u32()? as usize).saturating_mul(2)),
            Marker::FixExt1 => Token::Ext(1 + 1),
            Marker::FixExt2 => Token::Ext(1 + 2),
            Marker::FixExt4 => Token::Ext(1 + 4),
            Marker::FixExt8 => Token::Ext(1 + 8),
            Marker::FixExt16 => Token::Ext(1 + 16),
            Marker::Ext8 => Token::Ext(1 + usize::from(self.u8()?)),
            Marker::Ext16 => Token::Ext(1 + usize::from(self.u16()?)),
            Marker::Ext32 => Token::Ext((self.u32()? as usize).saturating_add(1)),
            Marker::Reserved => return Err(TokenError::ReservedMarker),
        };
        match token {
            Token::Str(len)
            | Token::Bin(len)
            | Token::Ext(len)
            | Token::Array(len)
            | Token::Map(len)
                if len > self.remaining() =>
            {
                Err(TokenError::Truncated)
            }
            _ => Ok(token),
        }
    }

    /// Takes the content of a string or of bytes, with the length of the token.
    pub(crate) fn content(&mut self, len: usize) -> &'a [u8] {
        let content = &self.bytes[self.position..self.position + len];
        self.position += len;
        content
    }

    /// Skips the content or the elements of a token, at any depth.
    pub(crate) fn skip(&mut self, token: Token) -> Result<(), TokenError> {
        // Nested values are only counted, so finding the end needs no stack.
        let mut ahead = self.skip_content(token);
        while ahead > 0 {
            if ahead > self.remaining() {
                return Err(TokenError::Truncated);
            }
            let token = self.token()?;
            ahead = ahead - 1 + self.skip_content(token);
        }
        Ok(())
    }

    /// Skips the content of a token, and returns the number of values that it contains.
    #[inline]
    fn skip_content(&mut self, token: Token) -> usize {
        match token {
            Token::Array(values) | Token::Map(values) => return values,
            Token::Str(len) | Token::Bin(len) | Token::Ext(len) => self.position += len,
            Token::Nil | Token::Unsigned(_) | Token::Scalar => {}
        }
        0
    }

    /// Skips a value whose size is determined by its first byte, as for most values. Skips nothing
    /// if it is another value, or cut off.
    #[inline]
    fn skip_small(&mut self) -> bool {
        let size = self
            .bytes
            .get(self.position)
            .map_or(0, |&first| SIZES[usize::from(first)]);
        let is_whole = size > 0 && usize::from(size) <= self.remaining();
        if is_whole {
            self.position += usize::from(size);
        }
        is_whole
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let bytes = self.bytes[self.position..]
            .first_chunk()
            .ok_or(TokenError::Truncated)?;
        self.position += N;
        Ok(*bytes)
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, TokenError> {
        self.fixed().map(u8::from_be_bytes)
    }

    #[inline]
    fn u16(&mut self) -> Result<u16, TokenError> {
        self.fixed().map(u16::from_be_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Result<u32, TokenError> {
        self.fixed().map(u32::from_be_bytes)
    }
}

fn signed(number: i64) -> Token {
    u64::try_from(number).map_or(Token::Scalar, Token::Unsigned)
}

/// Checks that `payload` is exactly one value, within the limits.
///
/// This must come before decoding: rmp-serde recurses as deep as its input.
pub(crate) fn check(payload: &[u8]) -> Result<(), DecodeError> {
    let mut walker = Walker::new(payload);
    // The number of values left in each open array or map.
    let mut open = [0_usize; Limits::DEPTH];
    let (mut depth, mut nodes) = (0, 1);
    loop {
        if !walker.skip_small() {
            let position = walker.position();
            let token = walker.token().map_err(|error| match error {
                TokenError::Truncated => DecodeError::Truncated { position },
                TokenError::ReservedMarker => DecodeError::ReservedMarker { position },
            })?;
            if let Token::Array(values) | Token::Map(values) = token {
                nodes += values;
                if depth == Limits::DEPTH {
                    return Err(DecodeError::TooDeep);
                }
                if nodes > Limits::VALUES {
                    return Err(DecodeError::TooManyValues);
                }
                open[depth] = values;
                depth += 1;
            } else {
                walker.skip_content(token);
            }
        }
        while depth > 0 && open[depth - 1] == 0 {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
        open[depth - 1] -= 1;
    }
    if walker.remaining() > 0 {
        return Err(DecodeError::Trailing {
            position: walker.position(),
        });
    }
    Ok(())
}

/// Returns the position of the first extension in a payload that was [checked](check).
#[cold]
pub(crate) fn first_extension(payload: &[u8]) -> Option<usize> {
    let mut walker = Walker::new(payload);
    while walker.remaining() > 0 {
        let position = walker.position();
        match walker.token().ok()? {
            Token::Ext(_) => return Some(position),
            token => walker.skip_content(token),
        };
    }
    None
}

/// The size of a value by its first byte; 0 if that byte does not determine it.
static SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut first = 0;
    while first < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let marker = Marker::from_u8(first as u8);
        sizes[first] = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                1
            }
            Marker::U8 | Marker::I8 => 2,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 9,
            Marker::FixStr(len) => 1 + len,
            Marker::FixExt2 => 2 + 2,
            Marker::FixExt4 => 2 + 4,
            Marker::FixExt8 => 2 + 8,
            Marker::FixExt16 => 2 + 16,
            _ => 0,
        };
        first += 1;
    }
    sizes
};
