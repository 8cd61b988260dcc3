//! Sends values through a frame and compares the result with the expected one.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_codec::{Encoder, Format, FrameWriter, Limits, NewEvent, NodeId, read_frame};

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
        self.shapes += 1;
        for (format, expected) in FORMATS.into_iter().zip(expected) {
            let result = round_trip(format, value);
            let is_right = match (&result, expected) {
                (Ok(Ok(read)), Expected::Same) => is_same(read, value),
                (Ok(Ok(read)), Expected::Differs) => !is_same(read, value),
                (Err(reason), Expected::Rejected(words)) => reason.contains(words),
                _ => false,
            };
            if !is_right {
                let saw = match result {
                    Ok(Ok(read)) => format!("read as {read:?}"),
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
fn round_trip<T: Serialize + DeserializeOwned>(
    format: Format,
    value: &T,
) -> Result<Result<T, String>, String> {
    let mut writer = FrameWriter::new(format, NodeId::new(7));
    writer
        .push(NewEvent::to_all("shape"), |into: Encoder<'_>| {
            into.encode(value)
        })
        .map_err(|error| chain(&error))?;
    let frame = writer.finish(1);
    let mut events = Vec::new();
    let header =
        read_frame(&frame, &Limits::default(), &mut events).map_err(|error| chain(&error))?;
    let event = events.remove(0).map_err(|error| chain(&error))?;
    Ok(event
        .payload(header.format, &frame)
        .decode()
        .map_err(|error| chain(&error)))
}

/// Returns the text of an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
