//! Batches concurrent updates of one value: updates that wait during a write are written together,
//! so processes compete for a value and not tasks. No I/O.

use std::any::Any;
use std::collections::VecDeque;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::error::shared::StoreError;
use crate::shared::contained::ContainedDrop;
use crate::shared::options::SharedOptions;
use crate::shared::snapshot::Snapshot;
use crate::task::mutex::Mutex;

/// The number of updates of one value that may wait; further ones wait for room.
const MAX_WAITING: usize = 65_536;

/// The maximal size of a batch. All its updates are computed again if another process wrote first.
const MAX_BATCH: usize = 256;

/// Computes a new value from the old one.
pub(super) type Change<T> = Box<dyn FnMut(Option<&T>) -> T + Send>;

pub(super) type Updated<T> = Result<Snapshot<T>, Failed>;

pub(super) enum Failed {
    Store(StoreError),
    /// The closure panicked; the panic resumes in the caller of `update`.
    Panicked(Box<dyn Any + Send>),
}

/// The waiting updates of one value.
pub(crate) struct Updates<T> {
    state: Mutex<UpdatesState<T>>,
    room: Arc<Semaphore>,
}

struct UpdatesState<T> {
    waiting: VecDeque<Update<T>>,
    /// A task writes them.
    is_running: bool,
    /// The number of updates at the front that must be written alone.
    write_alone: usize,
}

/// A waiting update.
pub(super) struct Update<T> {
    change: ContainedDrop<Change<T>>,
    options: Arc<SharedOptions>,
    since: Instant,
    done: oneshot::Sender<Updated<T>>,
    _room: OwnedSemaphorePermit,
}

/// Updates that are written together; at least one.
pub(super) struct UpdateBatch<T>(Vec<Update<T>>);

impl<T> Default for Updates<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(UpdatesState {
                waiting: VecDeque::new(),
                is_running: false,
                write_alone: 0,
            }),
            room: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }
}

impl<T> Updates<T> {
    /// Adds an update once there is room. Returns whether the caller must start the task that
    /// writes the updates, and a receiver of the result.
    pub(super) async fn add(
        &self,
        change: ContainedDrop<Change<T>>,
        options: &Arc<SharedOptions>,
    ) -> (bool, oneshot::Receiver<Updated<T>>) {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let (done, updated) = oneshot::channel();
        let update = Update {
            change,
            options: Arc::clone(options),
            since: Instant::now(),
            done,
            _room: room.expect("it is never closed"),
        };
        let mut state = self.state.lock();
        state.waiting.push_back(update);
        let is_first = !std::mem::replace(&mut state.is_running, true);
        (is_first, updated)
    }

    /// Returns the next batch; `None` if no update waits, and then no task writes them any more.
    pub(super) fn take(&self) -> Option<UpdateBatch<T>> {
        // Updates whose callers gave up are not made. They are dropped outside of the lock.
        let _abandoned = self.take_abandoned();
        let mut state = self.state.lock();
        let Some(first) = state.waiting.front() else {
            state.is_running = false;
            state.write_alone = 0;
            return None;
        };
        let count = if state.write_alone > 0 {
            state.write_alone -= 1;
            1
        } else {
            let options = Arc::clone(&first.options);
            let are_alike = |update: &&Update<T>| Arc::ptr_eq(&update.options, &options);
            let alike = state.waiting.iter().take_while(are_alike);
            alike.take(MAX_BATCH).count()
        };
        Some(UpdateBatch(state.waiting.drain(..count).collect()))
    }

    /// Fails the updates that wait: the task that writes them has ended.
    pub(super) fn stop(&self, error: &StoreError) {
        let mut state = self.state.lock();
        state.is_running = false;
        state.write_alone = 0;
        let waiting = take(&mut state.waiting);
        drop(state);
        UpdateBatch(waiting.into()).fail(error);
    }

    fn take_abandoned(&self) -> Vec<Update<T>> {
        let mut state = self.state.lock();
        let waiting = take(&mut state.waiting);
        let (abandoned, waiting): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|update| update.done.is_closed());
        state.waiting = waiting.into();
        abandoned
    }

    /// Puts back a batch whose result cannot be written: each of its updates is written alone.
    pub(super) fn put_back(&self, batch: UpdateBatch<T>) {
        let mut state = self.state.lock();
        state.write_alone = batch.0.len();
        for update in batch.0.into_iter().rev() {
            state.waiting.push_front(update);
        }
    }
}

impl<T> UpdateBatch<T> {
    /// Applies the updates in order and returns their values. An update that panics is answered and
    /// left out.
    pub(super) fn make(
        &mut self,
        old: Option<&T>,
        contain: impl Fn(T) -> ContainedDrop<Arc<T>>,
    ) -> Vec<ContainedDrop<Arc<T>>> {
        let mut made: Vec<ContainedDrop<Arc<T>>> = Vec::with_capacity(self.0.len());
        for mut update in take(&mut self.0) {
            let old = made.last().map(|made| &***made).or(old);
            match catch_unwind(AssertUnwindSafe(|| (update.change)(old))) {
                Ok(value) => {
                    made.push(contain(value));
                    self.0.push(update);
                }
                Err(panic) => drop(update.done.send(Err(Failed::Panicked(panic)))),
            }
        }
        made
    }

    pub(super) fn options(&self) -> Option<&Arc<SharedOptions>> {
        self.0.first().map(|update| &update.options)
    }

    pub(super) fn has_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Returns since when its oldest update waits.
    pub(super) fn since(&self) -> Instant {
        let oldest = self.0.iter().map(|update| update.since).min();
        oldest.unwrap_or_else(Instant::now)
    }

    /// Completes each update with its value; `written` is the last of them.
    pub(super) fn succeed(self, made: Vec<ContainedDrop<Arc<T>>>, written: &Snapshot<T>) {
        let count = made.len();
        for (number, (update, value)) in (1..).zip(self.0.into_iter().zip(made)) {
            let updated = if number == count {
                written.with_value(value)
            } else {
                written.with_value(value).never_stored()
            };
            let _ = update.done.send(Ok(updated));
        }
    }

    pub(super) fn fail(self, error: &StoreError) {
        for update in self.0 {
            let _ = update.done.send(Err(Failed::Store(error.clone())));
        }
    }
}
