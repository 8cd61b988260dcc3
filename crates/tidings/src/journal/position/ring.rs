//! The last entries that a follower has read, in the order of their ids.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use foldhash::fast::RandomState;
use tidings_codec::NodeId;

use crate::event::position::JournalPosition;
use crate::journal::position::finding::Forgotten;
use crate::journal::position::identity::Identity;

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: JournalPosition,
    pub(super) identity: Identity,
    /// Its events were handed on: they were not known before.
    pub(super) is_handed_on: bool,
}

/// The last entries.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Known>,
    /// The maximal number of them.
    capacity: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        let entries = VecDeque::new();
        Self { entries, capacity }
    }

    pub(super) fn push(&mut self, known: Known) {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(known);
    }

    pub(super) fn newest(&self) -> Option<&Known> {
        self.entries.back()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Known> {
        self.entries.get(index)
    }

    /// The indices of the entries before the newest that are not below `first`.
    pub(super) fn before_newest(&self, first: JournalPosition) -> Range<usize> {
        let begin = self.entries.partition_point(|known| known.id < first);
        begin..self.entries.len().saturating_sub(1).max(begin)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Removes the entries after this index, and returns their events that were handed on: one range
    /// for all adjacent numbers of a sender.
    pub(super) fn forget_after(&mut self, index: usize) -> Vec<Forgotten> {
        let mut forgotten: Vec<Forgotten> = Vec::new();
        let mut last = HashMap::<NodeId, usize, RandomState>::default();
        for known in self.entries.drain(index + 1..) {
            let Identity::Frame { numbers, .. } = known.identity else {
                continue;
            };
            if numbers.events == 0 || !known.is_handed_on {
                continue;
            }
            let end = numbers.first.saturating_add(u64::from(numbers.events));
            let before = last
                .get(&numbers.sender)
                .map(|at| &mut forgotten[*at].numbers);
            match before {
                Some(range) if range.end == numbers.first => range.end = end,
                _ => {
                    last.insert(numbers.sender, forgotten.len());
                    forgotten.push(Forgotten {
                        sender: numbers.sender,
                        numbers: numbers.first..end,
                    });
                }
            }
        }
        forgotten
    }
}
