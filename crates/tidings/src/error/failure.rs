//! Failures that are reported to the application, because no call returns them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tidings_codec::{DecodeError, Escaped, EventError, FrameError, NodeId};

use crate::error::report;
use crate::error::send_failure::Unconfirmed;
use crate::error::shared::LoadError;
use crate::error::start::StartError;

/// The error of a handler: any error.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// An event that was received and could not be handled, or was fed and could not be sent.
///
/// [`BusBuilder::on_failure`](crate::BusBuilder::on_failure) receives each failure; without a hook
/// each is logged with `tracing`. The bus goes on with the next event. The text says what happened,
/// and the sources say why: [`report`] prints both.
///
/// It serializes as `{"kind": "handler", "text": "…"}` with the fields of its variant. `kind` is the
/// variant in snake case, and `text` is what [`report`] prints. The source, cause and
/// reason are a part of the text only; a field without a value is left out.
///
/// ```
/// use tidings::Failure;
///
/// fn complain(failure: Failure) {
///     match &failure {
///         Failure::Handler { event, .. } => eprintln!("`{event}`: {}", tidings::report(&failure)),
///         other => eprintln!("{}", tidings::report(other)),
///     }
/// }
/// # let _ = complain;
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A message on the channel is no frame that this version can read.
    #[error("a frame of {bytes} bytes cannot be read")]
    Frame {
        /// The length of the message.
        bytes: usize,
        /// The error.
        source: FrameError,
    },
    /// An entry of the journal is not of a bus. It was skipped.
    #[error("the entry at {position} of the journal has no frame")]
    ForeignEntry {
        /// Its position, as text.
        position: String,
    },
    /// One event of a frame is malformed. The others were delivered.
    #[error("an event of {} is malformed", by(*.sender))]
    Event {
        /// The sender; `None` if it is no bus.
        sender: Option<NodeId>,
        /// The error.
        source: EventError,
    },
    /// The payload does not decode as the type that the handler takes.
    #[error("the payload of `{event}` from {} is not what {handler} takes", by(*.sender))]
    Payload {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// The sender; `None` if it is no bus.
        sender: Option<NodeId>,
        /// Its number at the sender.
        sequence: Option<u64>,
        /// The error.
        source: DecodeError,
    },
    /// The handler failed, panicked or took too long.
    #[error("{handler} did not handle `{event}`{}", from(*.sender))]
    Handler {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// The sender; `None` if it is no bus, and for a [gap](crate::Gap).
        sender: Option<NodeId>,
        /// Its number at the sender.
        sequence: Option<u64>,
        /// The way it ended.
        #[source]
        cause: HandlerFailure,
    },
    /// Events did not reach Redis, or may not have, and no call waits for them: they were fed, or
    /// the future of their send was dropped. An awaited send returns its error instead.
    #[error("{}", not_sent(*.events, event, why))]
    Send {
        /// The number of events, of one frame or of several that were given up together.
        events: u32,
        /// The name of the first one.
        event: String,
        /// Whether they may have been sent, and the reason.
        why: Unconfirmed,
    },
    /// A shared value, or an entry of a map, cannot be read from Redis. The older value stays, if
    /// there is one. The same value is reported once; of a map again after 256 others.
    #[error("what redis holds of `{}` is of no use here", Escaped(.shared))]
    Shared {
        /// The name; of a map's entry as `map[key]`.
        shared: String,
        /// The error.
        source: LoadError,
    },
    /// Redis lost changes of a shared value that this bus has seen: it restarted without its data, was
    /// flushed, evicted the value, or failed over to a replica that did not have them. Reported if
    /// Redis has no value, or another with the same version or an earlier one: if other processes
    /// have written more changes since than were lost, nothing shows the loss. A value that is
    /// [written back](crate::WhenLost::Restore) at once is not reported.
    #[error("redis lost version {version} of `{}`{}", Escaped(.shared), held(*.found))]
    ValueLost {
        /// The name of the value.
        shared: String,
        /// The version that this bus has seen.
        version: u64,
        /// The version in Redis; `None` if it has no value.
        found: Option<u64>,
    },
    /// The bus ended before invalidations of a map were sent. Other processes may use these entries
    /// until their [time to live](crate::MapOptions::ttl) is over.
    #[error("{} of `{shared}` did not reach redis before the bus ended", invalidations(*.keys))]
    Invalidation {
        /// The map's name.
        shared: String,
        /// The number of entries; `None` for all of them.
        keys: Option<usize>,
    },
    /// A value of [`shared`](crate::Bus::shared) or [`map`](crate::Bus::map), or the closure of an
    /// update, panicked when it was dropped. Nothing else ends.
    #[error("a value or an update of `{}` panicked when it was dropped: {}", Escaped(.shared), Escaped(.panic))]
    DropPanicked {
        /// The name of the value or map.
        shared: String,
        /// The text of the panic.
        panic: String,
    },
    /// Another program sent frames with the id of this bus, as every program can that may publish.
    /// This bus continues after their numbers, and subscribers report a gap where they cannot tell
    /// what is missing. The first frame is reported at once, and further ones every 10 s.
    #[error("{}", forged(*.frames))]
    Forged {
        /// The number of frames.
        frames: u64,
    },
    /// This bus and members of its namespace miss events of each other, because one side writes to a
    /// [journal](crate::Journal) that the other does not read. A start notices that and fails. This is
    /// found later: both started at the same time, or one of them was not in the member list.
    #[error("events are missed between this bus and other members")]
    JournalMismatch {
        /// [`StartError::JournalMissing`] or [`StartError::JournalUnread`].
        source: StartError,
    },
    /// Failures came faster than they could be reported, and were only counted.
    #[error("{count} more failures came faster than they could be reported")]
    Suppressed {
        /// The number of failures.
        count: u64,
    },
}

impl Failure {
    /// The variant in snake case.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "frame",
            Self::ForeignEntry { .. } => "foreign_entry",
            Self::Event { .. } => "event",
            Self::Payload { .. } => "payload",
            Self::Handler { .. } => "handler",
            Self::Send { .. } => "send",
            Self::Shared { .. } => "shared",
            Self::ValueLost { .. } => "value_lost",
            Self::Invalidation { .. } => "invalidation",
            Self::DropPanicked { .. } => "drop_panicked",
            Self::Forged { .. } => "forged",
            Self::JournalMismatch { .. } => "journal_mismatch",
            Self::Suppressed { .. } => "suppressed",
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind())?;
        map.serialize_entry("text", &report(self).to_string())?;
        match self {
            Self::Frame { bytes, .. } => map.serialize_entry("bytes", bytes)?,
            Self::ForeignEntry { position } => map.serialize_entry("position", position)?,
            Self::Event { sender, .. } => entry(&mut map, "sender", *sender)?,
            Self::Payload {
                event,
                handler,
                sender,
                sequence,
                ..
            }
            | Self::Handler {
                event,
                handler,
                sender,
                sequence,
                ..
            } => {
                map.serialize_entry("event", event)?;
                map.serialize_entry("handler", &**handler)?;
                entry(&mut map, "sender", *sender)?;
                entry(&mut map, "sequence", *sequence)?;
            }
            Self::Send { events, event, .. } => {
                map.serialize_entry("events", events)?;
                map.serialize_entry("event", event)?;
            }
            Self::Shared { shared, .. } => map.serialize_entry("shared", shared)?,
            Self::ValueLost {
                shared,
                version,
                found,
            } => {
                map.serialize_entry("shared", shared)?;
                map.serialize_entry("version", version)?;
                entry(&mut map, "found", *found)?;
            }
            Self::Invalidation { shared, keys } => {
                map.serialize_entry("shared", shared)?;
                entry(&mut map, "keys", *keys)?;
            }
            Self::DropPanicked { shared, panic } => {
                map.serialize_entry("shared", shared)?;
                map.serialize_entry("panic", panic)?;
            }
            Self::Forged { frames } => map.serialize_entry("frames", frames)?,
            Self::JournalMismatch { .. } => {}
            Self::Suppressed { count } => map.serialize_entry("count", count)?,
        }
        map.end()
    }
}

/// Leaves out a field without a value.
fn entry<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

/// The way a handler's call ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerFailure {
    /// It returned this error.
    #[error("it failed")]
    Failed(#[source] HandlerError),
    /// It panicked with this text.
    #[error("it panicked: {}", Escaped(.0))]
    Panicked(String),
    /// It was still running after this time and was dropped.
    #[error("it was still running after {0:?}")]
    TimedOut(Duration),
}

fn invalidations(keys: Option<usize>) -> String {
    match keys {
        Some(1) => "the invalidation of an entry".to_owned(),
        Some(keys) => format!("invalidations of {keys} entries"),
        None => "the invalidation of all entries".to_owned(),
    }
}

fn held(found: Option<u64>) -> String {
    match found {
        Some(version) => format!(", and has version {version} of another write"),
        None => ", and has no value".to_owned(),
    }
}

fn from(sender: Option<NodeId>) -> String {
    sender.map_or_else(String::new, |node| format!(" from node {node}"))
}

fn by(sender: Option<NodeId>) -> String {
    match sender {
        Some(node) => format!("node {node}"),
        None => "a sender that is no node".to_owned(),
    }
}

fn forged(frames: u64) -> String {
    let frames = match frames {
        1 => "a frame".to_owned(),
        frames => format!("{frames} frames"),
    };
    format!("{frames} in the name of this bus came from another sender")
}

fn not_sent(events: u32, event: &str, why: &Unconfirmed) -> String {
    match events {
        1 => format!("`{event}` {why}"),
        _ => format!("{events} events, the first of them `{event}`: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn a_failure_serializes_as_its_kind_its_text_and_its_fields() {
        let failed = Failure::Handler {
            event: "tick".to_owned(),
            handler: "tick (clock)".into(),
            sender: Some(NodeId::new(7)),
            sequence: Some(3),
            cause: HandlerFailure::Failed("no\nclock".into()),
        };
        let expected = json!({
            "kind": "handler",
            "text": "tick (clock) did not handle `tick` from node \
                     00000000000000000000000000000007: it failed: no\\nclock",
            "event": "tick",
            "handler": "tick (clock)",
            "sender": "00000000000000000000000000000007",
            "sequence": 3,
        });
        assert_eq!(to_value(failed).unwrap(), expected);
        let expected = json!({
            "kind": "suppressed",
            "text": "2 more failures came faster than they could be reported",
            "count": 2,
        });
        assert_eq!(
            to_value(Failure::Suppressed { count: 2 }).unwrap(),
            expected
        );
    }
}
