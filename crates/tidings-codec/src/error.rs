//! Error types: one enum per operation.

use crate::escaped::escape_if_needed;

/// The rule that an event name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name is longer than the limit.
    #[error("the name has {len} bytes, more than the limit of 128")]
    TooLong {
        /// The length of the name in bytes.
        len: usize,
    },
    /// The name contains a character that is not allowed.
    #[error(
        "the name contains {character:?} at byte {position}; allowed are `A-Z a-z 0-9 . _ : -`"
    )]
    Character {
        /// The first such character.
        character: char,
        /// The offset of the character in bytes.
        position: usize,
    },
}

/// An error of encoding a value as a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value cannot be written as JSON: for example, a map whose keys are structs.
    #[error("cannot write the value as JSON")]
    Json(#[source] serde_json::Error),
    /// The value cannot be written as MessagePack.
    #[error("cannot write the value as MessagePack")]
    MessagePack(#[source] rmp_serde::encode::Error),
    /// Arrays and maps are nested too deep: nodes would reject the payload.
    #[error("the payload is nested deeper than 32 levels")]
    TooDeep,
    /// There are too many values: nodes would reject the payload.
    #[error("the payload has more than 65,536 values")]
    TooManyValues,
    /// The value sends over its own bus while it is encoded: its `Serialize` logs, for example, and a
    /// `tracing` subscriber sends what is logged.
    #[error("the value sends over its own bus while it is encoded")]
    Recursive,
    /// The payload to be copied has the other format, or is not one complete value.
    #[error("cannot copy the payload: it is not one complete value in this format")]
    InvalidPayload,
}

/// An error of decoding a payload as the requested type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload is not valid JSON, or does not have this type.
    #[error("cannot read the JSON payload as this type")]
    Json(#[source] serde_json::Error),
    /// The payload does not have this type.
    #[error("cannot read the MessagePack payload as this type")]
    MessagePack(#[source] rmp_serde::decode::Error),
    /// Arrays and maps are nested too deep.
    #[error("the payload is nested deeper than 32 levels")]
    TooDeep,
    /// There are too many values.
    #[error("the payload has more than 65,536 values")]
    TooManyValues,
    /// There are bytes after the payload's value.
    #[error("the payload has trailing bytes after its value, at byte {position}")]
    Trailing {
        /// The offset of the first trailing byte.
        position: usize,
    },
    /// A length exceeds the bytes that are left.
    #[error("the payload is cut off in the value at byte {position}")]
    Truncated {
        /// The offset of the value that is cut off.
        position: usize,
    },
    /// The payload contains a MessagePack extension, such as a timestamp, and does not have this
    /// type. Extensions cannot be read; they are skipped in fields that a type does not know.
    #[error(
        "cannot read the MessagePack payload as this type: it has an extension type at byte \
         {position}, which can be skipped but not read (send a text or a number)"
    )]
    Extension {
        /// The offset of the first extension.
        position: usize,
        /// The error of the type.
        source: rmp_serde::decode::Error,
    },
    /// The payload contains the reserved MessagePack marker 0xc1.
    #[error("the payload has the reserved marker 0xc1 at byte {position}")]
    ReservedMarker {
        /// The offset of the marker.
        position: usize,
    },
}

/// Escapes an error of serde, which quotes names of fields and variants as received.
pub(crate) fn escaped<E: serde::de::Error>(error: E) -> E {
    match escape_if_needed(&error.to_string()) {
        Some(text) => E::custom(text),
        None => error,
    }
}

/// An error of reading a frame. None of its events is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is larger than the limit.
    #[error("the frame has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The size of the frame in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The first byte begins neither a JSON object nor a MessagePack array.
    #[error("the frame is neither a JSON object nor a MessagePack array")]
    UnknownFormat,
    /// The version of the frame is missing or not 1.
    #[error("{}", version_message(*.version))]
    Version {
        /// The version of the frame, if present.
        version: Option<u64>,
    },
    /// A bracket, comma, quote or marker is not allowed at its position.
    #[error("the frame has a syntax error at byte {position}")]
    Syntax {
        /// The offset of the error.
        position: usize,
    },
    /// The frame ends early, or a length exceeds the bytes that are left.
    #[error("the frame is cut off at byte {position}")]
    Truncated {
        /// The offset of the value that is cut off, or the end of the frame.
        position: usize,
    },
    /// There are bytes after the frame.
    #[error("there are trailing bytes after the frame, at byte {position}")]
    Trailing {
        /// The offset of the first trailing byte.
        position: usize,
    },
    /// A field of the frame has an invalid value.
    #[error("the frame's `{field}` is invalid, at byte {position}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// The offset of its value.
        position: usize,
    },
    /// A field appears twice.
    #[error("the frame has `{field}` twice, again at byte {position}")]
    Duplicate {
        /// The name of the field.
        field: &'static str,
        /// The offset of its second key.
        position: usize,
    },
    /// A key of the frame contains escapes.
    #[error("the frame has a key with escapes at byte {position}")]
    Escaped {
        /// The offset of the key.
        position: usize,
    },
    /// Only one of `from` and `seq` is present, or one of them together with a single event.
    #[error("the frame needs both `from` and `seq`, or neither")]
    Origin,
    /// Neither `event` nor `events` is present, or both are.
    #[error("the frame needs either `events` or the fields of one event")]
    Content,
    /// There are more events than the limit.
    #[error("the frame has more than {limit} events")]
    TooManyEvents {
        /// The limit of events.
        limit: usize,
    },
    /// The sequence number of an event would exceed 64 bits.
    #[error("the sequence numbers of the frame exceed 64 bits")]
    SequenceOverflow,
}

fn version_message(version: Option<u64>) -> String {
    match version {
        Some(version) => format!("the frame has version {version}, not 1"),
        None => "the frame has no version".to_owned(),
    }
}

/// An error of reading a single event of a frame. The other events are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The event is neither a JSON object nor a MessagePack array of 2 to 5 elements.
    #[error("the value at byte {position} is not an event")]
    NotAnEvent {
        /// The offset of the value.
        position: usize,
    },
    /// The event has no name.
    #[error("the event at byte {position} has no name")]
    MissingName {
        /// The offset of the event.
        position: usize,
    },
    /// The event's name is invalid.
    #[error("the event's name at byte {position} is invalid")]
    Name {
        /// The offset of the name.
        position: usize,
        /// The rule that the name breaks.
        source: NameError,
    },
    /// A field of the event has an invalid value.
    #[error("the event's `{field}` is invalid, at byte {position}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// The offset of its value.
        position: usize,
    },
    /// A field appears twice.
    #[error("the event has `{field}` twice, again at byte {position}")]
    Duplicate {
        /// The name of the field.
        field: &'static str,
        /// The offset of its second key.
        position: usize,
    },
    /// A key of the event contains escapes.
    #[error("the event has a key with escapes at byte {position}")]
    Escaped {
        /// The offset of the key.
        position: usize,
    },
    /// Arrays and maps of the payload are nested too deep.
    #[error("the event's payload at byte {position} is nested deeper than 32 levels")]
    TooDeep {
        /// The offset of the payload.
        position: usize,
    },
    /// The payload has too many values.
    #[error("the event's payload at byte {position} has more than 65,536 values")]
    TooManyValues {
        /// The offset of the payload.
        position: usize,
    },
}

/// An error of writing an event into a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The event's name is invalid.
    #[error("the event's name is invalid")]
    Name(#[from] NameError),
    /// The payload cannot be written.
    #[error("cannot write the event's payload")]
    Encode(#[from] EncodeError),
    /// `meta` has more entries than the limit.
    #[error("the event's `meta` has {entries} entries, more than the limit of 64")]
    TooMuchMeta {
        /// The number of entries.
        entries: usize,
    },
    /// The event does not fit even an empty frame.
    #[error("the event takes {bytes} bytes, more than the {limit} that fit a frame")]
    TooLarge {
        /// The size of the event in bytes.
        bytes: usize,
        /// The limit for one event in bytes.
        limit: usize,
    },
    /// The event does not fit into this frame, but into an empty one.
    #[error("the frame is full")]
    Full,
}
