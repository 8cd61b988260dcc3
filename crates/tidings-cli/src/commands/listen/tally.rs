//! Counts the events that `tidings listen` printed and missed.

use std::collections::HashSet;
use std::time::Instant;

use tidings::{Gap, GapReason, NodeId, TapItem, TappedEvent};

/// The maximum number of nodes that are counted: ids of foreign programs must not fill the memory.
const NODES: usize = 65_536;

/// The events that were printed, and those that were not.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) nodes: HashSet<NodeId>,
    pub(super) missed: u64,
    /// True if further events were missed, and their number is unknown.
    pub(super) is_unknown: bool,
    pub(super) unreadable: u64,
    /// Events that were received and not printed before the end.
    pub(super) not_printed: u64,
    pub(super) since: Instant,
    /// True if a signal was the end.
    pub(super) is_interrupted: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            events: 0,
            nodes: HashSet::new(),
            missed: 0,
            is_unknown: false,
            unreadable: 0,
            not_printed: 0,
            since: Instant::now(),
            is_interrupted: false,
        }
    }
}

impl Tally {
    /// Counts an item that is printed.
    pub(super) fn count(&mut self, item: &TapItem) {
        match item {
            TapItem::Event(event) => self.event(event),
            TapItem::Gap(gap) => self.gap(gap),
            TapItem::Unreadable(_) => self.unreadable += 1,
            _ => {}
        }
    }

    fn event(&mut self, event: &TappedEvent) {
        self.events += 1;
        if let Some(node) = *event.sender()
            && self.nodes.len() < NODES
        {
            self.nodes.insert(node);
        }
    }

    fn gap(&mut self, gap: &Gap) {
        // These events were received here; Redis has lost them.
        if matches!(gap.reason, GapReason::Diverged { .. }) {
            return;
        }
        match gap.missed {
            Some(missed) => self.missed = self.missed.saturating_add(missed),
            None => self.is_unknown = true,
        }
    }

    /// Counts an item that is not printed any more.
    pub(super) fn skip(&mut self, item: &TapItem, is_wanted: impl Fn(&TappedEvent) -> bool) {
        match item {
            TapItem::Event(event) if is_wanted(event) => self.not_printed += 1,
            TapItem::Gap(gap) => self.gap(gap),
            _ => {}
        }
    }
}
