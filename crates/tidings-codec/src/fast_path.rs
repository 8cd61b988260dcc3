//! The fast path of decoding: reads the ordinary payload, and leaves every other to `serde_json` and
//! rmp-serde.
//!
//! A reader makes the same calls of a type's visitor as `serde_json` or rmp-serde would. Where that is
//! not certain, and after each error, it is [`Unsure`]: [`Payload`](crate::Payload) then has the
//! payload decoded from its start, so that `T::deserialize` is called a second time.
//!
//! The module can be removed together with its two calls in `payload.rs`.

mod access;
mod json;
mod msgpack;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Visitor};

use self::access::Members;
use crate::Limits;

/// The only answer that is not a value: the payload may be valid or invalid.
#[derive(Debug, thiserror::Error)]
#[error("the fast path cannot decode the payload")]
pub(crate) struct Unsure;

type Fields = &'static [&'static str];
type Result<T> = std::result::Result<T, Unsure>;

/// Decodes a payload, JSON as a `&str` or MessagePack as a `&[u8]`, that is exactly one value within
/// the limits of depth and values.
#[inline]
pub(crate) fn decode<'de, S: Source<'de>, T: Deserialize<'de>>(payload: S) -> Result<T> {
    // Each value takes at least one byte.
    if payload.as_ref().len() > Limits::VALUES {
        return Err(Unsure);
    }
    let mut reader = Reader {
        payload,
        position: 0,
        levels: Limits::DEPTH,
        fields: &[],
        is_key: false,
        is_unsure: false,
    };
    let value = reader.value(PhantomData)?;
    if reader.is_unsure || reader.position < reader.payload.as_ref().len() {
        return Err(Unsure);
    }
    Ok(value)
}

/// The method of `Deserializer` that a type calls; those that both formats treat alike have one hint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    Any,
    Bool,
    Number,
    Float32,
    String,
    Bytes,
    Unit,
    UnitStruct,
    Array,
    Map,
    Struct,
    Ignored,
}

/// A format, which is the type of its bytes.
pub(crate) trait Source<'de>: AsRef<[u8]> + Sized {
    /// The mark of the end of an array or a map.
    type End: Copy;

    /// Reads one value, as the deserializer of the format does in the method that was called.
    fn read<V: Visitor<'de>>(reader: &mut Reader<Self>, hint: Hint, visitor: V)
    -> Result<V::Value>;

    fn is_null(reader: &mut Reader<Self>) -> bool;

    /// Returns whether an array or a map has another member after those that were read.
    fn is_more(reader: &mut Reader<Self>, read: usize, end: Self::End) -> Result<bool>;

    /// Takes what separates a key from its value.
    #[inline]
    fn colon(_reader: &mut Reader<Self>) -> Result<()> {
        Ok(())
    }

    /// Ends an array or a map.
    fn close(reader: &mut Reader<Self>, read: usize, end: Self::End) -> Result<()>;

    /// Returns whether an enum is the name of a variant alone. Opens a map with its content otherwise.
    fn open_enum(reader: &mut Reader<Self>) -> Result<(bool, Self::End)>;
}

/// A payload that is being read.
pub(crate) struct Reader<S> {
    payload: S,
    position: usize,
    /// The number of arrays and maps that may still be opened.
    levels: usize,
    /// The names of the fields of a struct that may follow.
    fields: Fields,
    /// True if the next value is a key.
    is_key: bool,
    /// True if the position is undefined after an error, which a type may ignore.
    is_unsure: bool,
}

impl<'de, S: Source<'de>> Reader<S> {
    #[cold]
    fn unsure<T>(&mut self) -> Result<T> {
        self.is_unsure = true;
        Err(Unsure)
    }

    /// Reads one value. A type that takes nothing would leave that value to the next one.
    #[inline]
    fn value<D: DeserializeSeed<'de>>(&mut self, seed: D) -> Result<D::Value> {
        let start = self.position;
        let value = seed.deserialize(&mut *self);
        if self.position == start {
            return self.unsure();
        }
        value
    }

    /// Reads an array or a map whose start is taken.
    #[inline]
    fn members<T>(
        &mut self,
        end: S::End,
        read: impl FnOnce(&mut Members<'_, 'de, S>) -> Result<T>,
    ) -> Result<T> {
        if self.levels == 0 {
            return self.unsure();
        }
        self.levels -= 1;
        let mut members = Members::new(self, end, false);
        let value = read(&mut members);
        let read = members.read;
        self.levels += 1;
        match value {
            Ok(value) => S::close(self, read, end).map(|()| value),
            Err(Unsure) => self.unsure(),
        }
    }
}

impl serde::de::Error for Unsure {
    #[cold]
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}
