//! Up to which place all handlers have finished the entries of a journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::journal::position::Place;
use crate::task::mutex::Mutex;

/// The entries that were handed on and are not finished: handlers run, or events wait in queues.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The place before each unfinished entry, by the number of the entry.
    unfinished: BTreeMap<u64, Place>,
    /// The number of the next entry.
    next: u64,
    /// The place of the last entry.
    last: Place,
    /// The first entry that never counts as finished: the bus has removed its handlers.
    sealed: Option<u64>,
    /// True while this process is the reader: from [`restart`](Ledger::restart) on, until
    /// [`pause`](Ledger::pause).
    is_counting: bool,
    /// The place that counts for good; `None` in it if it was not the reader.
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy, Debug)]
struct Stopped(Option<Place>);

/// An entry that is not finished. It is when the last clone is dropped, with the last of its events.
#[derive(Debug)]
pub(crate) struct Unfinished {
    ledger: Weak<Ledger>,
    number: u64,
}

impl Ledger {
    /// Begins at a place. Nothing counts as finished before [`restart`](Self::restart).
    pub(crate) fn new(place: Place) -> Self {
        Self(Mutex::new(State {
            unfinished: BTreeMap::new(),
            next: 0,
            last: place,
            sealed: None,
            is_counting: false,
            stopped: None,
        }))
    }

    /// Begins with the next entry. [`read`](Self::read) follows, and until then the entry must not be
    /// dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Arc<Unfinished> {
        let mut state = self.0.lock();
        let (number, before) = (state.next, state.last);
        state.next += 1;
        state.unfinished.insert(number, before);
        Arc::new(Unfinished {
            ledger: Arc::downgrade(self),
            number,
        })
    }

    /// The entry that was begun is at this place.
    pub(crate) fn read(&self, place: Place) {
        self.0.lock().last = place;
    }

    /// The bus has removed its handlers: the entry that was begun, and those after it, were perhaps
    /// not handed on, and never count as finished.
    pub(crate) fn seal(&self) {
        let mut state = self.0.lock();
        let begun = state.next.saturating_sub(1);
        state.sealed.get_or_insert(begun);
    }

    /// Begins again at a place. What was handed on before does not count any more.
    pub(crate) fn restart(&self, place: Place) {
        let mut state = self.0.lock();
        state.unfinished.clear();
        state.last = place;
        state.is_counting = true;
    }

    /// Another process is the reader: nothing counts until [`restart`](Self::restart).
    pub(crate) fn pause(&self) {
        self.0.lock().is_counting = false;
    }

    /// Returns the place up to which everything is finished, if this process is the reader.
    pub(crate) fn finished(&self) -> Option<Place> {
        let state = self.0.lock();
        let stopped = state.stopped;
        stopped.map_or_else(|| state.finished(), |Stopped(place)| place)
    }

    /// Events that are dropped from now on do not count as finished: the bus ends.
    pub(crate) fn stop(&self) {
        let mut state = self.0.lock();
        let finished = Stopped(state.finished());
        state.stopped.get_or_insert(finished);
    }
}

impl State {
    fn finished(&self) -> Option<Place> {
        let oldest = self.unfinished.first_key_value();
        let finished = oldest.map_or(self.last, |(_, before)| *before);
        self.is_counting.then_some(finished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.upgrade() {
            let mut state = ledger.0.lock();
            if state.sealed.is_none_or(|sealed| self.number < sealed) {
                state.unfinished.remove(&self.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::position::JournalPosition;

    fn place(ms: u64) -> Place {
        Place {
            generation: None,
            id: JournalPosition::at(ms),
            entry: None,
        }
    }

    fn ledger() -> Arc<Ledger> {
        let ledger = Arc::new(Ledger::new(place(9)));
        ledger.restart(place(0));
        ledger
    }

    fn enter(ledger: &Arc<Ledger>, ms: u64) -> Arc<Unfinished> {
        let unfinished = ledger.enter();
        ledger.read(place(ms));
        unfinished
    }

    #[test]
    fn an_entry_is_finished_when_all_before_it_are() {
        let ledger = ledger();
        let [first, second, third] = [1, 2, 3].map(|ms| enter(&ledger, ms));
        let of_another_handler = Arc::clone(&first);
        drop(second);
        drop(first);
        assert_eq!(ledger.finished(), Some(place(0)));
        drop(of_another_handler);
        assert_eq!(ledger.finished(), Some(place(2)));
        drop(third);
        assert_eq!(ledger.finished(), Some(place(3)));
    }

    #[test]
    fn what_is_dropped_at_the_end_of_a_bus_is_not_finished() {
        let ledger = ledger();
        drop(enter(&ledger, 1));
        let unhandled = enter(&ledger, 2);
        ledger.stop();
        drop(unhandled);
        assert_eq!(ledger.finished(), Some(place(1)));
    }

    #[test]
    fn an_entry_that_finds_no_handlers_at_the_end_of_a_bus_is_not_finished() {
        let ledger = ledger();
        let handled = enter(&ledger, 1);
        let begun = ledger.enter();
        ledger.seal();
        ledger.read(place(2));
        drop(begun);
        drop(enter(&ledger, 3));
        drop(handled);
        assert_eq!(ledger.finished(), Some(place(1)));
    }

    #[test]
    fn entries_from_before_a_takeover_do_not_count() {
        let ledger = ledger();
        let before = enter(&ledger, 9);
        ledger.restart(place(4));
        let after = enter(&ledger, 5);
        drop(before);
        assert_eq!(ledger.finished(), Some(place(4)));
        drop(after);
        assert_eq!(ledger.finished(), Some(place(5)));
    }

    #[test]
    fn nothing_counts_while_another_process_is_the_reader() {
        let ledger = Arc::new(Ledger::new(place(0)));
        drop(enter(&ledger, 1));
        assert_eq!(ledger.finished(), None);
        ledger.restart(place(5));
        assert_eq!(ledger.finished(), Some(place(5)));
        ledger.pause();
        drop(enter(&ledger, 6));
        ledger.stop();
        assert_eq!(ledger.finished(), None);
    }
}
