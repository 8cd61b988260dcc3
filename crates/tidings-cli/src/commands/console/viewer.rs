//! One viewer: its filter, the rows that wait for it, and its counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::filter::Filter;
use super::limits::{ROW_BYTES, ROWS};
use super::lock::lock;
use super::row::Seen;

/// A page that shows the fleet.
pub(super) struct Viewer {
    filter: Filter,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    rows: VecDeque<Arc<str>>,
    /// The number of rows that are events.
    events: usize,
    bytes: usize,
    counts: Counts,
}

/// The events since the start of the stream. Without rows that wait, those that arrived are those that
/// were shown, filtered out and not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) arrived: u64,
    pub(super) shown: u64,
    filtered: u64,
    not_shown: u64,
    gaps_not_shown: u64,
}

impl Viewer {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            queue: Mutex::default(),
        }
    }

    pub(super) fn wants_events(&self) -> bool {
        self.filter.events
    }

    /// Adds an event, if it is wanted and there is room.
    pub(super) fn event(&self, seen: &Seen<'_>) {
        if !self.filter.events || (seen.event.is_control() && !self.filter.control) {
            return;
        }
        let is_wanted = self.filter.wants(seen.event, seen.sender_name)
            && (!self.filter.has_text() || self.filter.wants_data(seen.data().ok()));
        let mut queue = lock(&self.queue);
        queue.counts.arrived += 1;
        if !is_wanted {
            queue.counts.filtered += 1;
        } else if queue.events >= ROWS || queue.bytes >= ROW_BYTES {
            queue.counts.not_shown += 1;
        } else {
            let row = seen.row();
            if queue.push(row) {
                queue.events += 1;
            } else {
                queue.counts.not_shown += 1;
            }
        }
    }

    /// Adds a row that is no event.
    pub(super) fn remark(&self, row: &Arc<str>) {
        if !self.filter.events {
            return;
        }
        let mut queue = lock(&self.queue);
        let others = queue.rows.len() - queue.events;
        if others >= ROWS || !queue.push(Arc::clone(row)) {
            queue.counts.gaps_not_shown += 1;
        }
    }

    /// Counts events that arrived here and could not be looked at.
    pub(super) fn skip(&self, events: u64) {
        let mut queue = lock(&self.queue);
        queue.counts.arrived += events;
        queue.counts.not_shown += events;
    }

    /// Takes the rows that wait, and returns the counts with them as shown.
    pub(super) fn take(&self) -> (Vec<Arc<str>>, Counts) {
        let mut queue = lock(&self.queue);
        queue.counts.shown += queue.events as u64;
        (queue.events, queue.bytes) = (0, 0);
        (queue.rows.drain(..).collect(), queue.counts)
    }
}

impl Queue {
    /// Adds a row if it fits.
    fn push(&mut self, row: Arc<str>) -> bool {
        let fits = self.bytes + row.len() <= ROW_BYTES;
        if fits {
            self.bytes += row.len();
            self.rows.push_back(row);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer() -> Viewer {
        Viewer::new(Filter {
            events: true,
            ..Filter::default()
        })
    }

    #[test]
    fn rows_that_are_no_events_are_bounded_and_counted() {
        let viewer = viewer();
        let row: Arc<str> = "{}".into();
        (0..ROWS + 7).for_each(|_| viewer.remark(&row));
        let (rows, counts) = viewer.take();
        assert_eq!((rows.len(), counts.gaps_not_shown), (ROWS, 7));
        assert_eq!((counts.arrived, counts.shown), (0, 0));
        assert!(viewer.take().0.is_empty());
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let viewer = viewer();
        let row: Arc<str> = "x".repeat(ROW_BYTES / 2).into();
        (0..3).for_each(|_| viewer.remark(&row));
        assert_eq!(viewer.take().0.len(), 2);
        viewer.remark(&row);
        assert_eq!(viewer.take().0.len(), 1);
    }

    #[test]
    fn events_that_were_skipped_have_arrived_and_are_not_shown() {
        let viewer = viewer();
        viewer.skip(3);
        let (_, counts) = viewer.take();
        assert_eq!((counts.arrived, counts.not_shown, counts.shown), (3, 3, 0));
    }
}
