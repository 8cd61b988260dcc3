//! What becomes of a value on its way, and what was expected.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_codec::{Encoder, Format, FrameWriter, Limits, NodeId, Outgoing, read_frame};

/// What a value is allowed to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The receiver has what the sender had.
    Same,
    /// The sender is told, with these words in the reason.
    Refused(&'static str),
    /// The receiver reads something else: an exception that the book names.
    Differs,
}

pub(crate) const SAME: [Fate; 2] = [Fate::Same; 2];
pub(crate) const FORMATS: [Format; 2] = [Format::Json, Format::MessagePack];

/// Collects what went wrong, so that one run shows all of it.
#[derive(Default)]
pub(crate) struct Table {
    shapes: usize,
    wrong: Vec<String>,
}

impl Table {
    /// Expects the value to be the same in both formats.
    pub(crate) fn same<T>(&mut self, shape: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.expect(SAME, shape, value);
    }

    /// Expects a fate in JSON, and one in MessagePack.
    pub(crate) fn expect<T>(&mut self, fates: [Fate; 2], shape: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.shapes += 1;
        for (format, expected) in FORMATS.into_iter().zip(fates) {
            let travelled = travel(format, value);
            let is_right = match (&travelled, expected) {
                (Ok(Ok(read)), Fate::Same) => is_same(read, value),
                (Ok(Ok(read)), Fate::Differs) => !is_same(read, value),
                (Err(reason), Fate::Refused(words)) => reason.contains(words),
                _ => false,
            };
            if !is_right {
                let saw = match travelled {
                    Ok(Ok(read)) => format!("read as {read:?}"),
                    Ok(Err(error)) => format!("SENT, AND UNREADABLE: {error}"),
                    Err(error) => format!("refused: {error}"),
                };
                self.wrong.push(format!("{format} {shape}: {saw}"));
            }
        }
    }

    /// Fails if anything went wrong, or nothing was tried.
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

/// Not a number equals nothing, itself included, but is written as itself.
fn is_same<T: PartialEq + Debug>(one: &T, other: &T) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}

/// Sends a value in a frame and reads it: the outer error is the sender's, the inner the receiver's.
fn travel<T: Serialize + DeserializeOwned>(
    format: Format,
    value: &T,
) -> Result<Result<T, String>, String> {
    let mut writer = FrameWriter::new(format, NodeId::new(7));
    writer
        .push(Outgoing::to_all("shape"), |into: Encoder<'_>| {
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

/// The error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
