//! Decides whether each value of one schema can be read by another.

use std::collections::HashMap;

use crate::contract::budget::Budget;
use crate::contract::obstacle::{Obstacle, obstacles};
use crate::contract::schemas::{ANYTHING, Id, Schemas};
use crate::contract::shape::Alternative;

/// The written schema, and the one that must be able to read it.
pub(super) type Pair = (Id, Id);

/// The pairs that were compared so far.
///
/// A pair holds until one of its parts fails, so that types that contain themselves end. Each pair is
/// compared once, and again only when a part of it has failed.
#[derive(Debug)]
pub(super) struct Inclusion<'w, 'r> {
    pub(super) writes: Schemas<'w>,
    pub(super) reads: Schemas<'r>,
    known: HashMap<Pair, Known>,
    waiting: Vec<Pair>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Known {
    has_failed: bool,
    /// The pairs that contain this one.
    parents: Vec<Pair>,
}

impl<'w, 'r> Inclusion<'w, 'r> {
    pub(super) fn new(writes: Schemas<'w>, reads: Schemas<'r>, budget: &Budget) -> Self {
        Self {
            writes,
            reads,
            known: HashMap::new(),
            waiting: Vec::new(),
            budget: budget.clone(),
        }
    }

    /// Returns whether the reader can read each value. A result counts only if the budget is not spent.
    pub(super) fn holds(&mut self, pair: Pair) -> bool {
        self.add(pair, None);
        while let Some(next) = self.waiting.pop() {
            if !self.known[&next].has_failed && !self.compare(next) {
                let failed = self.known.entry(next).or_default();
                failed.has_failed = true;
                let parents = std::mem::take(&mut failed.parents);
                self.waiting.extend(parents);
            }
        }
        !self.known[&pair].has_failed
    }

    /// Adds a pair that is part of another one, and returns whether it holds as far as is known.
    fn add(&mut self, pair: Pair, parent: Option<Pair>) -> bool {
        let waiting = &mut self.waiting;
        let known = self.known.entry(pair).or_insert_with(|| {
            waiting.push(pair);
            Known::default()
        });
        if let Some(parent) = parent
            && !known.has_failed
            && known.parents.last() != Some(&parent)
        {
            known.parents.push(parent);
        }
        !known.has_failed
    }

    fn compare(&mut self, pair: Pair) -> bool {
        if pair == (ANYTHING, ANYTHING) {
            return true;
        }
        let writes = self.writes.alternatives(pair.0);
        let reads = self.reads.alternatives(pair.1);
        let mut each = writes.iter();
        each.all(|written| reads.iter().any(|read| self.fits(written, read, pair)))
    }

    /// Returns whether an alternative of the reader reads one of the writer.
    fn fits(&mut self, written: &Alternative, read: &Alternative, parent: Pair) -> bool {
        let found = self.obstacles(written, read);
        found.into_iter().all(|obstacle| match obstacle {
            Obstacle::Part { pair, .. } => self.add(pair, Some(parent)),
            _ => false,
        })
    }

    /// Compares two alternatives. If the budget is spent, none can be read.
    pub(super) fn obstacles(&self, written: &Alternative, read: &Alternative) -> Vec<Obstacle> {
        if self.budget.spend(written.weight() + read.weight()) {
            obstacles(written, read)
        } else {
            vec![Obstacle::Type]
        }
    }
}
