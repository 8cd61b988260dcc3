//! The journal of a namespace: a Redis stream with one entry per frame, and the key of its floor.

pub(crate) mod answer;
mod check;
pub(crate) mod find;
#[cfg(test)]
pub(crate) mod fixtures;
mod leases;
mod memory;
pub(crate) mod positions;
mod reply;
mod scripts;
pub(crate) mod settings;
pub(crate) mod stored;
pub(crate) mod stream;
#[cfg(test)]
mod suite;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use tidings_codec::{Limits, read_frame};

use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::keyspace::journal::answer::Answered;
use crate::keyspace::journal::positions::Positions;
use crate::keyspace::journal::settings::ServerSettings;

/// The stream and the floor of a namespace. Commands are queued when a method returns, in the order
/// of the calls; their answers come only while the connection is driven.
pub(crate) trait JournalStore: Positions + Send + Sync {
    /// Checks that the user may run all commands, and that the keys have the right types.
    fn check(&self, uses: Uses) -> Answered<()>;

    /// Reads the settings of the server. It refuses that if the user may not ask.
    fn settings(&self) -> Answered<ServerSettings>;

    /// Adds a frame, and returns its position; `None` if there is no stream.
    fn append(&self, frame: Bytes, attempt: u32) -> Answered<Option<JournalPosition>>;

    /// Creates the stream with this first frame, unless there is one. Returns true if this call
    /// created it.
    fn create(&self, frame: Bytes) -> Answered<bool>;

    /// Reads up to `count` entries after a position, and waits for the first one for up to `block`.
    fn read_after(&self, after: JournalPosition, count: usize, block: Duration) -> Answered<Page>;

    /// Reads up to `count` entries from one position to another, inclusive.
    fn range(
        &self,
        from: JournalPosition,
        to: Option<JournalPosition>,
        count: usize,
    ) -> Answered<Page>;

    /// Reads the newest entry.
    fn newest(&self) -> Answered<Page>;

    /// The time of Redis's clock, in milliseconds since 1970.
    fn time(&self) -> Answered<u64>;

    /// The bytes of memory that the stream uses.
    fn bytes(&self) -> Answered<u64>;

    /// The number of entries.
    fn length(&self) -> Answered<u64>;

    /// Removes entries below this position, but not the newest one, and moves the floor. Returns
    /// false if there was nothing to do, or another trim came first. A missing floor is written.
    fn trim(&self, to: JournalPosition) -> Answered<bool>;

    /// Removes entries below this position, but not the newest one, while Redis has no memory for a
    /// transaction. The journal has another generation then.
    fn trim_when_full(&self, to: JournalPosition) -> Answered<()>;

    /// Waits until this many replicas have what was appended before. Returns how many have it.
    fn wait(&self, replicas: u32, timeout: Duration) -> Answered<u32>;
}

/// The options of a bus that need more permissions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) confirms: bool,
    pub(crate) is_durable: bool,
}

/// A read of the journal: the floor was read after the entries, and the role last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The server is a master, as far as the user may ask.
    pub(crate) is_master: bool,
    pub(crate) entries: Vec<Entry>,
    /// The first entry of the stream, where it was asked for.
    pub(crate) first: Option<JournalPosition>,
    pub(crate) floor: Option<Floor>,
}

/// An entry of the stream: untrusted input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: JournalPosition,
    pub(crate) content: Content,
}

/// The fields of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A frame. The first attempt to send it is 0.
    Frame { frame: Bytes, attempt: u32 },
    /// Other fields, which no bus writes. This is their [`fingerprint`].
    Foreign(u64),
}

/// The key beside a stream: every entry with a lower id may have been trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) generation: Generation,
    pub(crate) id: JournalPosition,
}

/// The random number of a stream. A stream that was lost and created again has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// The text is no floor or generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Entry {
    /// The bytes of the frame.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Frame { frame, .. } => frame.len(),
            Content::Foreign(_) => 0,
        }
    }

    /// Reads the sender and the numbers; `None` for an entry without them.
    pub(crate) fn numbers(&self) -> Option<Numbers> {
        let Content::Frame { frame, .. } = &self.content else {
            return None;
        };
        let mut events = Vec::new();
        let header = read_frame(frame, &Limits::default(), &mut events).ok()?;
        Some(Numbers {
            sender: header.from?,
            first: header.seq?,
            events: events.len().try_into().ok()?,
        })
    }
}

impl Generation {
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(..))
    }

    #[cfg(test)]
    pub(crate) const fn of(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Generation {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok();
        number
            .filter(|_| is_hexadecimal)
            .map(Self)
            .ok_or(Unreadable)
    }
}

impl Floor {
    /// Returns the floor to write and the position to trim to, for a stream with this floor and newest
    /// entry; `None` if there is nothing to do.
    fn after_trim(
        floor: Option<Self>,
        newest: JournalPosition,
        to: JournalPosition,
    ) -> Option<(Self, JournalPosition)> {
        // A stream that is trimmed empty looks like one that was lost.
        let to = to.min(newest);
        match floor {
            Some(floor) if floor.id >= to => None,
            Some(floor) => Some((Self { id: to, ..floor }, to)),
            // Nobody knows what was trimmed before.
            None => {
                let generation = Generation::random();
                let id = newest;
                Some((Self { generation, id }, to))
            }
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation, self.id)
    }
}

impl FromStr for Floor {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let (generation, id) = text.split_once(':').ok_or(Unreadable)?;
        Ok(Self {
            generation: generation.parse()?,
            id: id.parse().map_err(|_| Unreadable)?,
        })
    }
}

/// A number that tells the fields of one entry from others, equal in all versions and processes: the
/// FNV-1a hash of each length and text.
pub(crate) fn fingerprint<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let fold = |hash, bytes: &[u8]| {
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        bytes.iter().fold(hash, fold)
    };
    let begin = 0xcbf2_9ce4_8422_2325;
    fields.into_iter().fold(begin, |hash, text| {
        fold(fold(hash, &(text.len() as u64).to_le_bytes()), text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_read_as_it_was_written() {
        let floor = Floor {
            generation: Generation(0x7f),
            id: "1760000000000-3".parse().unwrap(),
        };
        assert_eq!(floor.to_string(), "000000000000007f:1760000000000-3");
        assert_eq!(floor.to_string().parse(), Ok(floor));
        for other in ["", ":", "7f", "x:1-1", "+f:1-1", "7f:1", "7f:1-1-1"] {
            assert_eq!(other.parse::<Floor>(), Err(Unreadable), "{other}");
        }
    }

    #[test]
    fn a_fingerprint_tells_where_a_field_ends() {
        let of = |fields: &[&str]| fingerprint(fields.iter().map(|field| field.as_bytes()));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        // Stored positions have it: it may not change.
        assert_eq!(of(&["a"]), 0x529a_4ddc_8ff5_6bbf);
    }
}
