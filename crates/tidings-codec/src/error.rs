//! What can be wrong: one enum for each thing that can be asked for.

use crate::escaped::escape_if_needed;

/// Why a text cannot be the name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no character in it.
    #[error("a name has at least one character")]
    Empty,
    /// It has more bytes than a name may have.
    #[error("a name has at most 128 bytes, not {len}")]
    TooLong {
        /// Bytes of the name.
        len: usize,
    },
    /// It has a character that names do not have.
    #[error("a name has only `A-Z a-z 0-9 . _ : -`, not {character:?} at byte {position}")]
    Character {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes.
        position: usize,
    },
}

/// Why a value cannot be written as a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value cannot be written as JSON: a map whose keys are no text, for example.
    #[error("cannot write the value as JSON")]
    Json(#[source] serde_json::Error),
    /// The value cannot be written as MessagePack.
    #[error("cannot write the value as MessagePack")]
    MessagePack(#[source] rmp_serde::encode::Error),
    /// Too many arrays and maps within each other: no node would read it.
    #[error("the payload is nested deeper than 32 levels")]
    TooDeep,
    /// Too many values: no node would read it.
    #[error("the payload has more than 65,536 values")]
    TooManyNodes,
    /// A payload that was to be copied is of another format, or not one whole value.
    #[error("the payload that was to be copied is not one whole value of this format")]
    Broken,
}

/// Why a payload cannot be read as the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload is not JSON, or not of this type.
    #[error("cannot read the JSON payload as this type")]
    Json(#[source] serde_json::Error),
    /// The payload is not of this type.
    #[error("cannot read the MessagePack payload as this type")]
    MessagePack(#[source] rmp_serde::decode::Error),
    /// Too many arrays and maps within each other.
    #[error("the payload is nested deeper than 32 levels")]
    TooDeep,
    /// Too many values.
    #[error("the payload has more than 65,536 values")]
    TooManyNodes,
    /// Something follows the payload's value.
    #[error("the payload goes on after its value, at byte {position}")]
    Trailing {
        /// The first byte that is too many.
        position: usize,
    },
    /// The payload states a length that is more than what is left of it.
    #[error("the payload ends before what it announces, at byte {position}")]
    Length {
        /// Where the value begins that is cut off.
        position: usize,
    },
    /// The payload has an extension of MessagePack, such as a timestamp, and is not of this type.
    /// No type reads extensions; in fields that a type does not know they are skipped.
    #[error(
        "cannot read the MessagePack payload as this type: it has an extension type at byte \
         {position}, which can be skipped but not read (send a text or a number)"
    )]
    Extension {
        /// Where the first extension begins.
        position: usize,
        /// What the type says.
        source: rmp_serde::decode::Error,
    },
    /// The payload has the MessagePack marker that is never used.
    #[error("the payload has the unused marker 0xc1, at byte {position}")]
    Marker {
        /// Where the marker is.
        position: usize,
    },
}

/// What serde says, escaped: it quotes the names of fields and variants as they came.
pub(crate) fn escaped<E: serde::de::Error>(error: E) -> E {
    match escape_if_needed(&error.to_string()) {
        Some(words) => E::custom(words),
        None => error,
    }
}

/// Why a frame cannot be read: nothing of it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame has more bytes than the limit.
    #[error("the frame has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Bytes of the frame.
        bytes: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// The first byte begins neither a JSON object nor a MessagePack array.
    #[error("neither a JSON nor a MessagePack frame")]
    Unrecognised,
    /// The frame has another version than 1, or should have one and does not.
    #[error("{}", version_complaint(*.version))]
    Version {
        /// The version, where there is one.
        version: Option<u64>,
    },
    /// The structure is broken: a bracket, comma, quote or marker that cannot be there.
    #[error("the frame is broken at byte {position}")]
    Structure {
        /// Where it goes wrong.
        position: usize,
    },
    /// The frame ends too early, or states a length that is more than what is left of it.
    #[error("the frame ends before what it announces, at byte {position}")]
    Length {
        /// Where what is cut off begins or ends.
        position: usize,
    },
    /// Something follows the frame.
    #[error("the frame goes on after its end, at byte {position}")]
    Trailing {
        /// The first byte that is too many.
        position: usize,
    },
    /// A field of the frame has a value that it cannot have.
    #[error("the frame's `{field}` cannot be this, at byte {position}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Where its value begins.
        position: usize,
    },
    /// A field is there twice.
    #[error("the frame has `{field}` twice, at byte {position}")]
    Duplicate {
        /// Which field.
        field: &'static str,
        /// Where it is again.
        position: usize,
    },
    /// A key of the frame is written with escapes.
    #[error("the frame has a key with escapes at byte {position}")]
    Escaped {
        /// Where the key begins.
        position: usize,
    },
    /// Only one of `from` and `seq` is there, or one of them beside a single event.
    #[error("the frame needs both `from` and `seq`, or neither")]
    Origin,
    /// There is neither `event` nor `events`, or both.
    #[error("the frame needs either `events` or the fields of one event")]
    Content,
    /// More events than the limit.
    #[error("the frame has more than {limit} events")]
    TooManyEvents {
        /// Events that it may have.
        limit: usize,
    },
    /// The number of an event would not fit 64 bits.
    #[error("the frame's events are numbered past the last number")]
    Overflow,
}

fn version_complaint(version: Option<u64>) -> String {
    match version {
        Some(version) => format!("the frame has version {version}, not 1"),
        None => "the frame has no version".to_owned(),
    }
}

/// Why one event of a frame cannot be read; the others can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It is neither a JSON object nor a MessagePack array of 2 to 5.
    #[error("not an event, at byte {position}")]
    Shape {
        /// Where it begins.
        position: usize,
    },
    /// It has no name.
    #[error("an event without a name, at byte {position}")]
    Nameless {
        /// Where the event begins.
        position: usize,
    },
    /// Its name is not allowed.
    #[error("an event whose name is not allowed, at byte {position}")]
    Name {
        /// Where the name begins.
        position: usize,
        /// Which rule the name breaks.
        source: NameError,
    },
    /// A field of the event has a value that it cannot have.
    #[error("the event's `{field}` cannot be this, at byte {position}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Where its value begins.
        position: usize,
    },
    /// A field is there twice.
    #[error("the event has `{field}` twice, at byte {position}")]
    Duplicate {
        /// Which field.
        field: &'static str,
        /// Where it is again.
        position: usize,
    },
    /// A key of the event is written with escapes.
    #[error("the event has a key with escapes at byte {position}")]
    Escaped {
        /// Where the key begins.
        position: usize,
    },
    /// Too many arrays and maps within each other.
    #[error("the event's payload at byte {position} is nested deeper than 32 levels")]
    TooDeep {
        /// Where the payload begins.
        position: usize,
    },
    /// Too many values.
    #[error("the event's payload at byte {position} has more than 65,536 values")]
    TooManyNodes {
        /// Where the payload begins.
        position: usize,
    },
}

/// Why an event cannot be written into a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The name is not allowed.
    #[error("the event's name is not allowed")]
    Name(#[from] NameError),
    /// The payload cannot be written.
    #[error("cannot write the event's payload")]
    Encode(#[from] EncodeError),
    /// More `meta` than an event may have.
    #[error("an event has at most 64 entries of `meta`, not {entries}")]
    Meta {
        /// Entries that were given.
        entries: usize,
    },
    /// The event would not fit even a frame of its own.
    #[error("the event takes {bytes} bytes, more than the {limit} that a frame has room for")]
    TooLarge {
        /// Bytes of the event.
        bytes: usize,
        /// Bytes that one event may have.
        limit: usize,
    },
    /// The event does not fit this frame any more, but a new one.
    #[error("the frame is full")]
    Full,
}
