//! `Budget`: the limit of the work of a comparison, which a hostile schema could make endless.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::contract::model::Contract;

/// The steps of a comparison, whatever the size of the contracts: less than a few seconds.
const STEPS: usize = 4_000_000;

/// The steps that are left. All parts of a comparison share them.
#[derive(Clone, Debug)]
pub(super) struct Budget(Rc<Cell<usize>>);

/// A place whose schemas have too many alternatives to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooComplex {
    pub(super) kind: &'static str,
    pub(super) name: String,
}

impl Budget {
    pub(super) fn new(steps: usize) -> Self {
        Self(Rc::new(Cell::new(steps)))
    }

    /// Returns the budget for these contracts. A large one takes more steps.
    pub(super) fn of(contracts: &[&Contract]) -> Self {
        let sizes = contracts.iter().map(|contract| contract.size);
        Self::of_size(sizes.fold(0, usize::saturating_add))
    }

    /// Returns the budget for contracts with this many bytes.
    pub(super) fn of_size(bytes: usize) -> Self {
        Self::new(STEPS.saturating_add(bytes))
    }

    /// Takes steps, and returns whether some are left.
    pub(super) fn spend(&self, steps: usize) -> bool {
        self.0.set(self.0.get().saturating_sub(steps));
        !self.is_spent()
    }

    /// Returns whether the comparison has to end without a result.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name } = self;
        write!(
            f,
            "the {kind} `{name}` has too many alternatives to be compared"
        )
    }
}
