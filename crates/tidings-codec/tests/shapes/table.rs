//! Sends values through a frame and compares the result with the expected one.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_codec::{
    DecodeError, EncodeError, Encoder, Format, FrameWriter, Limits, NewEvent, NodeId, Payload,
    read_frame,
};

/// The expected result for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The receiver reads an equal value.
    Same,
    /// The write fails with an error that contains this text.
    Rejected(&'static str),
    /// The receiver reads another value: an exception that the book lists.
    Differs,
}

pub(crate) const SAME: [Expected; 2] = [Expected::Same; 2];
pub(crate) const FORMATS: [Format; 2] = [Format::Json, Format::MessagePack];

/// Writes the value of a shape.
type Write<'a> = &'a dyn Fn(Encoder<'_>) -> Result<(), EncodeError>;
/// Reads a payload. Returns whether it is the value of the shape, and its debug output.
type Read<'a> = &'a dyn Fn(Payload<'_>) -> Result<(bool, String), DecodeError>;
type WasRead = Result<(bool, String), String>;

/// Collects all differences, so that one run shows them all.
#[derive(Default)]
pub(crate) struct Table {
    shapes: usize,
    wrong: Vec<String>,
}

impl Table {
    /// Expects an equal value in both formats.
    pub(crate) fn same<T>(&mut self, shape: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.expect(SAME, shape, value);
    }

    /// Expects the first result in JSON and the second in MessagePack.
    pub(crate) fn expect<T>(&mut self, expected: [Expected; 2], shape: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.try_both(expected, shape, &|into| into.encode(value), &|payload| {
            let read = payload.decode::<T>();
            read.map(|read| (is_same(&read, value), format!("{read:?}")))
        });
    }

    /// The part that does not depend on the type, so that the compiler makes it once.
    fn try_both(&mut self, expected: [Expected; 2], shape: &str, write: Write<'_>, read: Read<'_>) {
        self.shapes += 1;
        for (format, expected) in FORMATS.into_iter().zip(expected) {
            let result = round_trip(format, write, read);
            let is_right = match (&result, expected) {
                (Ok(Ok((is_same, _))), Expected::Same) => *is_same,
                (Ok(Ok((is_same, _))), Expected::Differs) => !is_same,
                (Err(reason), Expected::Rejected(words)) => reason.contains(words),
                _ => false,
            };
            if !is_right {
                let saw = match result {
                    Ok(Ok((_, read))) => format!("read as {read}"),
                    Ok(Err(error)) => format!("WRITTEN, BUT UNREADABLE: {error}"),
                    Err(error) => format!("rejected: {error}"),
                };
                self.wrong.push(format!("{format} {shape}: {saw}"));
            }
        }
    }

    /// Fails if there was a difference, or no value was tried.
    pub(crate) fn check(self) {
        assert!(self.shapes > 0, "no shapes");
        assert!(
            self.wrong.is_empty(),
            "{} of {} shapes:\n{}",
            self.wrong.len(),
            self.shapes,
            self.wrong.join("\n")
        );
    }
}

/// Compares values. NaN does not equal itself, so the debug output counts too.
fn is_same<T: PartialEq + Debug>(one: &T, other: &T) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}

/// Writes a value into a frame and reads it. The outer error is of the write, the inner of the read.
fn round_trip(format: Format, write: Write<'_>, read: Read<'_>) -> Result<WasRead, String> {
    let mut writer = FrameWriter::new(format, NodeId::new(7));
    writer
        .push(NewEvent::to_all("shape"), write)
        .map_err(|error| chain(&error))?;
    let frame = writer.finish(1);
    let mut events = Vec::new();
    let header =
        read_frame(&frame, &Limits::default(), &mut events).map_err(|error| chain(&error))?;
    let event = events.remove(0).map_err(|error| chain(&error))?;
    Ok(read(event.payload(header.format, &frame)).map_err(|error| chain(&error)))
}

/// Returns the text of an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
