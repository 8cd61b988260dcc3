//! The state of a bus, as other buses can request it.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tidings_codec::NodeId;

use crate::error::failure::Failure;
use crate::error::gap::Gap;
use crate::error::report;
use crate::observe::serialize;
use crate::task::mutex::Mutex;
use crate::task::panic::caught;

/// The number of gaps and of failures that are remembered.
const REMEMBERED: usize = 16;

/// The maximum length of a text, in bytes.
const MAX_TEXT: usize = 256;

/// The state of one bus, from [`Bus::inspection`](crate::Bus::inspection) or, for others,
/// [`Bus::inspect`](crate::Bus::inspect): its health, its handlers, and what went wrong last.
///
/// It has no payloads, addresses or settings. Another bus's inspection is what its process says, so
/// print its texts with [`Escaped`](crate::codec::Escaped).
///
/// It serializes under the names of its fields, times in whole milliseconds. Fields that are missing,
/// as in the inspection of an older version, have their default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Inspection {
    /// The version of tidings.
    pub version: String,
    /// The version of the program, from [`BusBuilder::version`](crate::BusBuilder::version).
    pub program_version: Option<String>,
    /// The hash of the contract of the program, if it has one.
    pub contract: Option<String>,
    /// The time at which the inspection was made, by the clock of its process.
    #[serde(
        serialize_with = "serialize::clock",
        deserialize_with = "serialize::read_clock"
    )]
    pub taken: SystemTime,
    /// The state of its connections, and its counters.
    pub health: HealthInspection,
    /// Its handlers of events and its streams, in the order of registration.
    pub handlers: Vec<HandlerInspection>,
    /// The number of further handlers, which did not fit.
    pub unlisted_handlers: u64,
    /// The last 16 gaps, the newest last. Equal ones in a row are added up.
    pub gaps: Vec<GapInspection>,
    /// The last 16 failures, the newest last.
    pub failures: Vec<FailureInspection>,
}

/// The health of a bus in an [`Inspection`]: a [`Health`](crate::Health) without addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HealthInspection {
    /// True if the bus receives events, those of its journal included.
    pub is_ready: bool,
    /// The time for which it has been connected to Redis, or disconnected.
    #[serde(
        serialize_with = "serialize::some_duration",
        deserialize_with = "serialize::read_some_duration"
    )]
    pub since: Option<Duration>,
    /// The time since it last received something.
    #[serde(
        serialize_with = "serialize::some_duration",
        deserialize_with = "serialize::read_some_duration"
    )]
    pub last_received: Option<Duration>,
    /// Events sent and acknowledged by Redis.
    pub sent: u64,
    /// Events received for the first time, with a handler or not.
    pub received: u64,
    /// Events received again and dropped.
    pub duplicate: u64,
    /// Gaps reported so far, of all kinds.
    pub gaps: u64,
    /// Events that are known not to have arrived.
    pub missed: u64,
    /// Events dropped because a handler's queue was full.
    pub dropped: u64,
    /// Failures reported so far.
    pub failures: u64,
    /// Connections made after the first one was lost.
    pub reconnects: u64,
    /// Bytes that wait to be sent.
    pub outgoing: u64,
    /// The time by which it is behind its [journal](crate::Journal), if it has one.
    #[serde(
        serialize_with = "serialize::some_duration",
        deserialize_with = "serialize::read_some_duration"
    )]
    pub journal_behind: Option<Duration>,
}

/// A handler or a stream in an [`Inspection`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HandlerInspection {
    /// The handler, as `name (type)`, at most 256 bytes of it.
    pub handler: String,
    /// The names of its events; `*` stands for all that it does not name.
    pub events: Vec<String>,
    /// The number of events that wait for it.
    pub queue: u64,
    /// The maximum number of events that can wait for it.
    pub queue_limit: u64,
    /// The number of running calls.
    pub in_progress: u64,
    /// The number of events that it handled, or that were read from the stream.
    pub handled: u64,
    /// The number of events at which it failed or panicked, or whose payload could not be decoded.
    pub failed: u64,
    /// The number of calls that took too long.
    pub timed_out: u64,
    /// The time of its longest call. Calls that do not wait for anything count with their average in
    /// one frame, and not at all if the handler has concurrent calls. `None` before the first call, and
    /// for a stream.
    #[serde(
        serialize_with = "serialize::some_duration",
        deserialize_with = "serialize::read_some_duration"
    )]
    pub slowest: Option<Duration>,
}

/// A gap in an [`Inspection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GapInspection {
    /// The time at which it was detected, by the clock of its process.
    #[serde(
        serialize_with = "serialize::clock",
        deserialize_with = "serialize::read_clock"
    )]
    pub at: SystemTime,
    /// The sender of the missed events, if it is known.
    pub sender: Option<NodeId>,
    /// The number of missed events, if it is known.
    pub missed: Option<u64>,
    /// The gap as a text.
    pub text: String,
}

/// A failure in an [`Inspection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureInspection {
    /// The time at which it was reported, by the clock of its process.
    #[serde(
        serialize_with = "serialize::clock",
        deserialize_with = "serialize::read_clock"
    )]
    pub at: SystemTime,
    /// Its text, at most 256 bytes of it. For failed sends, and for payloads and shared values that could
    /// not be decoded, it leaves out the cause, which may quote a payload.
    pub text: String,
}

/// Returns the contract of this program, if it has one and it is collected.
pub(crate) type Published = fn() -> Option<&'static PublishedContract>;

/// The contract of a program, as it is sent.
#[derive(Debug)]
pub(crate) struct PublishedContract {
    pub(crate) hash: String,
    /// Compact JSON, without annotations.
    pub(crate) text: String,
}

impl Default for Inspection {
    fn default() -> Self {
        Self {
            version: String::new(),
            program_version: None,
            contract: None,
            taken: UNIX_EPOCH,
            health: HealthInspection::default(),
            handlers: Vec::new(),
            unlisted_handlers: 0,
            gaps: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// The last gaps and failures of a bus.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    gaps: Mutex<VecDeque<(SystemTime, Gap)>>,
    failures: Mutex<VecDeque<FailureInspection>>,
}

impl Recent {
    pub(crate) fn gap(&self, gap: &Gap) {
        let now = SystemTime::now();
        let mut gaps = self.gaps.lock();
        if let Some((at, last)) = gaps.back_mut()
            && last.add(gap)
        {
            *at = now;
            return;
        }
        push(&mut gaps, (now, gap.clone()));
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let failure = FailureInspection {
            at: SystemTime::now(),
            text: text(failure),
        };
        push(&mut self.failures.lock(), failure);
    }

    pub(crate) fn gaps(&self) -> Vec<GapInspection> {
        let gaps = self.gaps.lock();
        let inspected = |(at, gap): &(SystemTime, Gap)| GapInspection {
            at: *at,
            sender: gap.sender,
            missed: gap.missed,
            text: cut(gap.to_string()),
        };
        gaps.iter().map(inspected).collect()
    }

    pub(crate) fn failures(&self) -> Vec<FailureInspection> {
        self.failures.lock().iter().cloned().collect()
    }
}

fn push<T>(recent: &mut VecDeque<T>, item: T) {
    if recent.len() == REMEMBERED {
        recent.pop_front();
    }
    recent.push_back(item);
}

/// The text of a failure, without a cause that may quote a payload. `Display` of its errors is code of
/// the application and may panic.
fn text(failure: &Failure) -> String {
    let text = caught(|| match failure {
        Failure::Payload { .. } | Failure::Shared { .. } | Failure::Send { .. } => {
            failure.to_string()
        }
        failure => report(failure).to_string(),
    });
    cut(text.unwrap_or_else(|_| "a failure whose text panicked".to_owned()))
}

/// Cuts a text to its maximum length.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};
    use tidings_codec::{Format, Payload};

    use super::*;
    use crate::error::failure::HandlerFailure;
    use crate::error::gap::GapReason;

    fn gap(sender: u128, missed: u64) -> Gap {
        Gap::for_tests(Some(NodeId::new(sender)), Some(missed), GapReason::Missed)
    }

    fn failed(text: &str) -> Failure {
        Failure::Handler {
            event: "tick".to_owned(),
            handler: "tick (clock)".into(),
            sender: None,
            sequence: None,
            cause: HandlerFailure::Failed(text.into()),
        }
    }

    #[test]
    fn the_last_16_are_remembered() {
        let recent = Recent::default();
        for sender in 1..=20 {
            recent.gap(&gap(sender, 1));
            recent.gap(&gap(sender, 2));
            recent.failure(&failed(&sender.to_string()));
        }
        let gaps = recent.gaps();
        let senders = gaps.iter().map(|gap| gap.sender);
        assert!(senders.eq((5..=20).map(|sender| Some(NodeId::new(sender)))));
        assert!(gaps.iter().all(|gap| gap.missed == Some(3)));
        let failures = recent.failures();
        assert_eq!(failures.len(), REMEMBERED);
        assert!(failures[15].text.ends_with(": 20"), "{failures:?}");
    }

    #[test]
    fn a_text_is_short_and_escaped() {
        let recent = Recent::default();
        recent.failure(&failed(&"\u{1b}[31mä".repeat(500)));
        let text = &recent.failures()[0].text;
        assert!(text.len() <= MAX_TEXT && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn no_text_quotes_a_payload() {
        let recent = Recent::default();
        let payload = Payload::new(Format::Json, b"\"secret\"");
        recent.failure(&Failure::Payload {
            event: "tick".to_owned(),
            handler: "tick (clock)".into(),
            sender: None,
            sequence: None,
            source: payload.decode::<u64>().unwrap_err(),
        });
        let text = &recent.failures()[0].text;
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn an_inspection_is_read_as_it_was_written_and_an_older_one_has_defaults() {
        let inspection = Inspection {
            version: "0.1.0".to_owned(),
            taken: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            handlers: vec![HandlerInspection {
                handler: "tick (clock)".to_owned(),
                slowest: Some(Duration::from_millis(7)),
                ..HandlerInspection::default()
            }],
            gaps: vec![GapInspection {
                at: UNIX_EPOCH,
                sender: Some(NodeId::new(7)),
                missed: None,
                text: "a gap".to_owned(),
            }],
            ..Inspection::default()
        };
        let json = to_value(&inspection).unwrap();
        assert_eq!(json["taken"], 1_700_000_000_123_u64);
        assert_eq!(json["handlers"][0]["slowest"], 7);
        assert_eq!(from_value::<Inspection>(json).unwrap(), inspection);

        let older = json!({"version": "0.0.9", "taken": u64::MAX, "unknown": [1]});
        let older: Inspection = from_value(older).unwrap();
        assert_eq!((&*older.version, older.taken), ("0.0.9", older.taken));
    }
}
