//! Events that were given up and that no caller awaits: each is reported, and returned by the next
//! flush.

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;
use tidings_codec::{Limits, read_frame};

use crate::error::failure::Failure;
use crate::error::send::{FlushError, Undelivered};
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::observe::reports::Reports;
use crate::task::mutex::Mutex;

/// The maximum number of events that a flush lists; the others are only counted.
const LISTED: usize = 10_000;

/// A frame that was given up.
#[derive(Clone, Debug)]
pub(crate) struct GivenUpFrame {
    pub(crate) frame: Bytes,
    /// The sequence number of the first event, if it got one.
    pub(crate) first: Option<u64>,
    pub(crate) why: Unconfirmed,
}

/// Reports given-up events that no caller awaits.
#[derive(Debug)]
pub(crate) struct GivenUpEvents {
    reports: Arc<Reports>,
    undelivered: Mutex<UndeliveredEvents>,
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
            undelivered: Mutex::default(),
        }
    }

    /// Reports the events of a frame at these indices.
    pub(crate) fn report(&self, given_up: &GivenUpFrame, indices: &[u32]) {
        self.put(given_up.undelivered(indices));
    }

    /// Reports events of this name that were never written to a frame.
    pub(crate) fn report_unwritten(&self, event: &str, events: usize) {
        let undelivered = Undelivered {
            event: event.to_owned(),
            sequence: None,
            why: Unconfirmed::NotSent(SendFailure::Dropped),
        };
        self.put(vec![undelivered; events]);
    }

    fn put(&self, undelivered: Vec<Undelivered>) {
        let Some(first) = undelivered.first() else {
            return;
        };
        self.reports.failure(Failure::Send {
            events: u32::try_from(undelivered.len()).unwrap_or(u32::MAX),
            event: first.event.clone(),
            why: first.why.clone(),
        });
        let mut all = self.undelivered.lock();
        for one in undelivered {
            if all.undelivered.len() < LISTED {
                all.undelivered.push(one);
            } else {
                all.more += 1;
            }
        }
    }

    /// Returns the events that were given up since the last call, as an error.
    pub(crate) fn take(&self) -> Result<(), FlushError> {
        let UndeliveredEvents { undelivered, more } = take(&mut *self.undelivered.lock());
        if undelivered.is_empty() {
            Ok(())
        } else {
            Err(FlushError { undelivered, more })
        }
    }
}

impl GivenUpFrame {
    /// The events at these indices.
    fn undelivered(&self, indices: &[u32]) -> Vec<Undelivered> {
        if indices.is_empty() {
            return Vec::new();
        }
        let mut events = Vec::new();
        read_frame(&self.frame, &Limits::default(), &mut events)
            .expect("this process wrote the frame");
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
