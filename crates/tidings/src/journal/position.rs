//! The entries of the journal that a follower has read, and the decision about the next page. No I/O.

pub(crate) mod finding;
pub(crate) mod identity;
pub(crate) mod resync;
pub(crate) mod ring;

#[cfg(test)]
mod model;

use std::fmt;
use std::str::FromStr;

use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::journal::position::finding::Finding;
use crate::journal::position::identity::Identity;
use crate::journal::position::ring::{Known, Ring};
use crate::keyspace::journal::{Entry, Generation, Page, Unreadable};

/// The number of last entries that a follower remembers.
pub(crate) const RING: usize = 8_192;

/// The entries that a follower has read.
///
/// An entry exists exactly in those histories of Redis that contain its one execution, and
/// replication gives a server a prefix of its master's history up to a fork. So if the entry at the
/// position is the one that was read, everything before it is what was read, too.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The generation of the stream; `None` if it is unknown.
    generation: Option<Generation>,
    /// The id after which reading begins while there is no entry in the ring.
    after: JournalPosition,
    ring: Ring,
    /// The id after which reading began in the first place.
    began: JournalPosition,
    /// The highest id that was ever read, in any history.
    highest: JournalPosition,
    /// The findings that were not taken yet.
    findings: Vec<Finding>,
}

/// A place in the journal, as text and back: durable names store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) generation: Option<Generation>,
    pub(crate) id: JournalPosition,
    /// The entry at the id; `None` if reading began after this id, and no entry was read.
    pub(crate) entry: Option<Identity>,
}

impl Place {
    /// Before the first entry of a journal.
    pub(crate) const START: Self = Self {
        generation: None,
        id: JournalPosition::START,
        entry: None,
    };
}

/// The decision about a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Its entries follow directly on what was read.
    HandOn,
    /// Throw it away, and compare what was read with the stream.
    Resync,
    /// Throw it away, and find the master.
    NotMaster,
}

impl Followed {
    /// Begins at a place. Where more was forgotten than `ring` entries, reading begins again after
    /// `began`: the events before it are not wanted.
    pub(crate) fn begin(place: Place, began: JournalPosition, ring: usize) -> Self {
        let (after, mut ring) = (place.id, Ring::new(ring));
        if let Some(identity) = place.entry {
            ring.push(Known {
                id: after,
                identity,
                is_handed_on: false,
            });
        }
        Self {
            generation: place.generation,
            after,
            ring,
            began,
            highest: after,
            findings: Vec::new(),
        }
    }

    /// The id after which reading continues.
    pub(crate) fn position(&self) -> JournalPosition {
        self.ring.newest().map_or(self.after, |known| known.id)
    }

    pub(crate) fn place(&self) -> Place {
        let newest = self.ring.newest();
        Place {
            generation: self.generation,
            id: self.position(),
            entry: newest.map(|known| known.identity),
        }
    }

    /// Decides about a page that was read after the position, and its floor after the page: if the
    /// floor is not higher then, nothing was trimmed between the position and the page.
    pub(crate) fn judge(&self, page: &Page) -> Judgement {
        // An entry at the position itself is not needed.
        let next = self.position().next();
        let follows = page
            .floor
            .is_some_and(|floor| Some(floor.generation) == self.generation && floor.id <= next);
        match (page.is_master, follows) {
            (false, _) => Judgement::NotMaster,
            (true, true) => Judgement::HandOn,
            (true, false) => Judgement::Resync,
        }
    }

    /// Remembers an entry, after it was handed on or skipped. `is_new` says that its events were not
    /// known before.
    pub(crate) fn read(&mut self, entry: &Entry, numbers: Option<Numbers>, is_new: bool) {
        let identity = Identity::of(entry, numbers);
        self.highest = self.highest.max(entry.id);
        self.ring.push(Known {
            id: entry.id,
            identity,
            is_handed_on: is_new,
        });
    }

    /// Returns true for an entry that may have been read before, in this history or another: a lower
    /// number than expected is then known, however far back.
    pub(crate) fn is_rereading(&self, id: JournalPosition) -> bool {
        id <= self.highest
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            Some(generation) => write!(f, "{generation}:{}", self.id)?,
            None => write!(f, "-:{}", self.id)?,
        }
        self.entry.map_or(Ok(()), |entry| write!(f, ":{entry}"))
    }
}

impl FromStr for Place {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(Unreadable);
        let (generation, id) = (next()?, next()?);
        Ok(Self {
            generation: match generation {
                "-" => None,
                generation => Some(generation.parse()?),
            },
            id: id.parse().map_err(|_| Unreadable)?,
            entry: parts.next().map(Identity::from_str).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tidings_codec::NodeId;

    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let generation = Some(Generation::of(7));
        let id = "5-1".parse().unwrap();
        let numbers = Numbers {
            sender: NodeId::new(9),
            first: 41,
            events: 3,
        };
        let frame = Identity::Frame {
            numbers,
            attempt: 1,
        };
        let sender = numbers.sender;
        for (generation, entry, text) in [
            (None, None, "-:5-1".to_owned()),
            (generation, None, "0000000000000007:5-1".to_owned()),
            (
                generation,
                Some(frame),
                format!("0000000000000007:5-1:{sender}:41:3:1"),
            ),
            (
                generation,
                Some(Identity::Foreign(0xab)),
                "0000000000000007:5-1:#ab".to_owned(),
            ),
        ] {
            let place = Place {
                generation,
                id,
                entry,
            };
            assert_eq!(place.to_string(), text);
            assert_eq!(text.parse(), Ok(place));
        }
        for other in [
            "",
            "-",
            "-:5",
            "7:5-1:",
            "7:5-1:#",
            "7:5-1:x:1:1:0",
            "7:5-1:#1:1",
        ] {
            assert_eq!(other.parse::<Place>(), Err(Unreadable), "{other}");
        }
    }
}
