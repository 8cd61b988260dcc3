//! The same interface without the feature `metrics`, doing nothing.
#![expect(
    clippy::unused_self,
    reason = "whoever calls this need not know that nobody counts"
)]

use std::time::Duration;

use crate::error::failure::{Failure, HandlerFailure};
use crate::error::gap::GapReason;
use crate::event::Names;

#[derive(Debug)]
pub(crate) struct Counter;

impl Counter {
    pub(crate) fn new(_name: &'static str, _what: &'static str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn add(&self, _more: u64) {}
}

#[derive(Debug)]
pub(crate) struct Failures;

impl Failures {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn add(&self, _failure: &Failure) {}
}

#[derive(Debug)]
pub(crate) struct Gaps;

impl Gaps {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn add(&self, _reason: &GapReason) {}
}

#[derive(Debug)]
pub(crate) struct Level;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Change;

impl Level {
    pub(crate) fn count(_name: &'static str, _what: &'static str) -> Self {
        Self
    }

    pub(crate) fn bytes(_name: &'static str, _what: &'static str) -> Self {
        Self
    }

    pub(crate) fn seconds(_name: &'static str, _what: &'static str) -> Self {
        Self
    }

    pub(crate) fn of_queue(_handler: &str) -> Self {
        Self
    }

    pub(crate) fn of_nothing() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn set_time(&self, _now: Duration) {}

    #[inline]
    pub(crate) fn set(&self, _now: usize) {}

    #[inline]
    pub(crate) fn note(&self, _now: usize) -> Change {
        Change
    }

    #[inline]
    pub(crate) fn add(&self, _change: Change) {}
}

#[derive(Debug)]
pub(crate) struct Frames;

impl Frames {
    pub(crate) fn sent() -> Self {
        Self
    }

    pub(crate) fn received() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn add(&self, _bytes: usize, _events: u32) {}
}

#[derive(Debug)]
pub(crate) struct Calls;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Began;

impl Calls {
    pub(crate) fn new(_names: &Names) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn begin() -> Began {
        Began
    }

    #[inline]
    pub(crate) fn end(&self, _began: Began, _name: &str, _failure: Option<&HandlerFailure>) {}
}
