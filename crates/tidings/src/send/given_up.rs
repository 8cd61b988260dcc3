//! Events that were given up and whose fate nobody waits for: each is reported, and kept for the next
//! flush.

use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tidings_codec::{Limits, read_frame};

use crate::error::failure::Failure;
use crate::error::send::{FlushError, Undelivered};
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::observe::reports::Reports;

/// How many of them a flush names one by one.
const NAMED: usize = 10_000;

/// A frame that was given up.
#[derive(Clone, Debug)]
pub(crate) struct GivenUpFrame {
    pub(crate) frame: Bytes,
    /// The number of its first event, if it got one.
    pub(crate) first: Option<u64>,
    pub(crate) why: Unconfirmed,
}

/// Where events are reported whose fate nobody waits for.
#[derive(Debug)]
pub(crate) struct GivenUpEvents {
    reports: Arc<Reports>,
    kept: Mutex<UndeliveredEvents>,
}

#[derive(Debug, Default)]
struct UndeliveredEvents {
    undelivered: Vec<Undelivered>,
    more: u64,
}

impl GivenUpEvents {
    pub(crate) fn new(reports: Arc<Reports>) -> Self {
        Self {
            reports,
            kept: Mutex::default(),
        }
    }

    /// Reports these events of a frame, by their places in it.
    pub(crate) fn report(&self, given_up: &GivenUpFrame, indices: &[u32]) {
        self.put(given_up.undelivered(indices));
    }

    /// Reports events of this name that never had a place in a frame.
    pub(crate) fn report_unwritten(&self, event: &str, events: usize) {
        let undelivered = Undelivered {
            event: event.to_owned(),
            sequence: None,
            why: Unconfirmed::NotSent(SendFailure::Dropped),
        };
        self.put(vec![undelivered; events]);
    }

    /// Reports events of one why.
    fn put(&self, undelivered: Vec<Undelivered>) {
        let Some(first) = undelivered.first() else {
            return;
        };
        self.reports.failure(Failure::Send {
            events: u32::try_from(undelivered.len()).unwrap_or(u32::MAX),
            event: first.event.clone(),
            why: first.why.clone(),
        });
        let mut kept = self.lock();
        for one in undelivered {
            if kept.undelivered.len() < NAMED {
                kept.undelivered.push(one);
            } else {
                kept.more += 1;
            }
        }
    }

    /// Which were given up since the last call.
    pub(crate) fn take(&self) -> Result<(), FlushError> {
        let UndeliveredEvents { undelivered, more } = take(&mut *self.lock());
        if undelivered.is_empty() {
            Ok(())
        } else {
            Err(FlushError { undelivered, more })
        }
    }

    fn lock(&self) -> MutexGuard<'_, UndeliveredEvents> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GivenUpFrame {
    /// These events, each by its name.
    fn undelivered(&self, indices: &[u32]) -> Vec<Undelivered> {
        if indices.is_empty() {
            return Vec::new();
        }
        let mut events = Vec::new();
        read_frame(&self.frame, &Limits::default(), &mut events)
            .expect("we wrote this frame ourselves");
        let undelivered = indices.iter().filter_map(|&index| {
            let event = events.get(index as usize)?.as_ref().ok()?;
            Some(Undelivered {
                event: event.name(&self.frame).to_owned(),
                sequence: self.first.map(|first| first + u64::from(index)),
                why: self.why.clone(),
            })
        });
        undelivered.collect()
    }
}
