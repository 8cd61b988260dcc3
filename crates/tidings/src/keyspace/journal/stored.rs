//! The stream and the floor of a journal in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::event::position::JournalPosition;
use crate::keyspace::journal::positions::{Claim, PREDECESSORS, Stored, Taken};
use crate::keyspace::journal::{Content, Entry, Floor, Generation, Page};
use crate::memory::now;
use crate::task::milliseconds;

/// The bytes of an entry besides its frame.
const OVERHEAD: u64 = 96;

/// A stream and its floor.
#[derive(Debug, Default)]
pub(crate) struct StoredJournal {
    pub(super) entries: VecDeque<Entry>,
    floor: Option<Floor>,
    /// The id of the last entry that was ever added.
    last: JournalPosition,
    pub(super) bytes: u64,
    /// Notified of each entry.
    pub(super) added: Arc<Notify>,
    /// The positions of durable names.
    positions: BTreeMap<String, Stored>,
}

impl StoredJournal {
    pub(super) fn add(&mut self, frame: Bytes, attempt: u32) -> JournalPosition {
        let id = JournalPosition::at(now()).max(self.last.next());
        self.last = id;
        self.bytes += frame.len() as u64 + OVERHEAD;
        let content = Content::Frame { frame, attempt };
        self.entries.push_back(Entry { id, content });
        self.added.notify_waiters();
        id
    }

    pub(super) fn create(&mut self, frame: Bytes) -> bool {
        if !self.entries.is_empty() {
            return false;
        }
        self.floor = Some(Floor {
            generation: Generation::random(),
            id: JournalPosition::START,
        });
        self.add(frame, 0);
        true
    }

    pub(super) fn trim(&mut self, to: JournalPosition) -> bool {
        let newest = self.entries.back().map(|entry| entry.id);
        let next = newest.and_then(|newest| Floor::after_trim(self.floor, newest, to));
        let Some((floor, to)) = next else {
            return false;
        };
        self.floor = Some(floor);
        while self.entries.front().is_some_and(|entry| entry.id < to) {
            let trimmed = self.entries.pop_front();
            let bytes = trimmed.map_or(0, |entry| entry.len() as u64 + OVERHEAD);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        true
    }

    /// Up to `count` entries from this id on.
    pub(super) fn page(
        &self,
        from: JournalPosition,
        to: Option<JournalPosition>,
        count: usize,
    ) -> Page {
        let begin = self.entries.partition_point(|entry| entry.id < from);
        let entries = self.entries.range(begin..);
        let entries = entries.take_while(|entry| to.is_none_or(|to| entry.id <= to));
        Page {
            is_master: true,
            entries: entries.take(count).cloned().collect(),
            first: self.entries.front().map(|entry| entry.id),
            floor: self.floor,
        }
    }
}

/// The positions of durable names, equal to the scripts for Redis.
impl StoredJournal {
    pub(super) fn take(&mut self, claim: &Claim) -> Taken {
        let stored = self.positions.get(&claim.name);
        let lease = milliseconds(claim.lease);
        let is_held = |stored: &Stored| stored.until > now() && stored.until <= now() + lease;
        if let Some(stored) = stored
            && is_held(stored)
            && stored.holder != claim.me.to_string()
        {
            return Taken::Others(stored.holder.clone());
        }
        let held = self.hold(claim, now() + lease, None);
        Taken::Ours {
            place: held.place.clone(),
            predecessors: held.predecessors.clone(),
        }
    }

    pub(super) fn renew(&mut self, claim: &Claim, place: Option<String>) -> Option<String> {
        let other = self.other_holder(claim);
        if other.is_none() {
            self.hold(claim, now() + milliseconds(claim.lease), place);
        }
        other
    }

    pub(super) fn release(&mut self, claim: &Claim, place: Option<String>) {
        if self.other_holder(claim).is_none() {
            self.hold(claim, 0, place);
        }
    }

    pub(super) fn positions(&self) -> Vec<Stored> {
        self.positions.values().cloned().collect()
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.positions.remove(name).is_some()
    }

    fn other_holder(&self, claim: &Claim) -> Option<String> {
        let holder = &self.positions.get(&claim.name)?.holder;
        (*holder != claim.me.to_string()).then(|| holder.clone())
    }

    fn hold(&mut self, claim: &Claim, until: u64, place: Option<String>) -> &Stored {
        let name = claim.name.clone();
        let stored = self.positions.entry(name.clone()).or_insert(Stored {
            name,
            until,
            holder: claim.me.to_string(),
            predecessors: Vec::new(),
            max_age: claim.max_age,
            max_bytes: claim.max_bytes,
            at: now(),
            place: None,
        });
        stored.until = until;
        let holder = std::mem::replace(&mut stored.holder, claim.me.to_string());
        if holder != stored.holder {
            let holder = holder.parse().ok();
            stored.predecessors.splice(..0, holder);
            stored.predecessors.truncate(PREDECESSORS);
        }
        (stored.max_age, stored.max_bytes) = (claim.max_age, claim.max_bytes);
        if place.is_some() {
            (stored.at, stored.place) = (now(), place);
        }
        stored
    }
}
