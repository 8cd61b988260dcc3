//! Updates of one value: those of a process that wait while one is under way are written together,
//! as events travel together in a frame. So it is processes that compete, and not tasks.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::shared::StoreError;
use crate::shared::contained::ContainedDrop;
use crate::shared::options::SharedOptions;
use crate::shared::snapshot::Snapshot;

/// How many updates of one value may wait; who comes after that waits for room.
const WAITING: usize = 65_536;

/// How many are written together. All of them are made again where another process was faster.
const TOGETHER: usize = 256;

/// What makes a new value of an old one.
pub(super) type Change<T> = Box<dyn FnMut(Option<&T>) -> T + Send>;

/// What became of an update.
pub(super) type Updated<T> = Result<Snapshot<T>, Failed>;

pub(super) enum Failed {
    Store(StoreError),
    /// The change panicked, and shall do so where it came from.
    Panicked(Box<dyn Any + Send>),
}

/// The updates of one value that wait.
pub(crate) struct Updates<T> {
    inside: Mutex<UpdatesState<T>>,
    room: Arc<Semaphore>,
}

struct UpdatesState<T> {
    waiting: VecDeque<Update<T>>,
    /// Whether a task sees to them.
    is_running: bool,
    /// How many of the first ones must be written alone.
    alone: usize,
}

/// One that waits.
pub(super) struct Update<T> {
    change: ContainedDrop<Change<T>>,
    sharing: Arc<SharedOptions>,
    since: Instant,
    done: oneshot::Sender<Updated<T>>,
    _room: OwnedSemaphorePermit,
}

/// Updates that are written together: at least one.
pub(super) struct UpdateBatch<T>(Vec<Update<T>>);

impl<T> Default for Updates<T> {
    fn default() -> Self {
        Self {
            inside: Mutex::new(UpdatesState {
                waiting: VecDeque::new(),
                is_running: false,
                alone: 0,
            }),
            room: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

impl<T> Updates<T> {
    /// Puts an update in line once there is room: whether a task has to be started that writes what
    /// waits, and what will become of the update.
    pub(super) async fn add(
        &self,
        change: ContainedDrop<Change<T>>,
        sharing: &Arc<SharedOptions>,
    ) -> (bool, oneshot::Receiver<Updated<T>>) {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let (done, updated) = oneshot::channel();
        let update = Update {
            change,
            sharing: Arc::clone(sharing),
            since: Instant::now(),
            done,
            _room: room.expect("it is never closed"),
        };
        let mut inside = self.lock();
        inside.waiting.push_back(update);
        let is_first = !std::mem::replace(&mut inside.is_running, true);
        (is_first, updated)
    }

    /// The next that are written together; `None` where none waits, and nobody sees to those that
    /// come.
    pub(super) fn take(&self) -> Option<UpdateBatch<T>> {
        // What nobody waits for any more was not begun, and is not. It is dropped outside of the lock.
        let _given_up = self.given_up();
        let mut inside = self.lock();
        let Some(first) = inside.waiting.front() else {
            inside.is_running = false;
            inside.alone = 0;
            return None;
        };
        let together = if inside.alone > 0 {
            inside.alone -= 1;
            1
        } else {
            let sharing = Arc::clone(&first.sharing);
            let are_alike = |update: &&Update<T>| Arc::ptr_eq(&update.sharing, &sharing);
            let alike = inside.waiting.iter().take_while(are_alike);
            alike.take(TOGETHER).count()
        };
        Some(UpdateBatch(inside.waiting.drain(..together).collect()))
    }

    fn given_up(&self) -> Vec<Update<T>> {
        let mut inside = self.lock();
        let waiting = std::mem::take(&mut inside.waiting);
        let (given_up, waiting): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|update| update.done.is_closed());
        inside.waiting = waiting.into();
        given_up
    }

    /// Something is wrong with what they make together: each is tried alone.
    pub(super) fn put_back(&self, together: UpdateBatch<T>) {
        let mut inside = self.lock();
        inside.alone = together.0.len();
        for update in together.0.into_iter().rev() {
            inside.waiting.push_front(update);
        }
    }

    fn lock(&self) -> MutexGuard<'_, UpdatesState<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> UpdateBatch<T> {
    /// Makes one change after the other, and returns what each of them made. One that panics is told
    /// so, and left out.
    pub(super) fn make(
        &mut self,
        old: Option<&T>,
        hold: impl Fn(T) -> ContainedDrop<Arc<T>>,
    ) -> Vec<ContainedDrop<Arc<T>>> {
        let mut made: Vec<ContainedDrop<Arc<T>>> = Vec::with_capacity(self.0.len());
        for mut update in std::mem::take(&mut self.0) {
            let old = made.last().map(|made| &***made).or(old);
            match catch_unwind(AssertUnwindSafe(|| (update.change)(old))) {
                Ok(value) => {
                    made.push(hold(value));
                    self.0.push(update);
                }
                Err(panic) => drop(update.done.send(Err(Failed::Panicked(panic)))),
            }
        }
        made
    }

    pub(super) fn sharing(&self) -> Option<&Arc<SharedOptions>> {
        self.0.first().map(|update| &update.sharing)
    }

    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Since when the one that is here for longest waits.
    pub(super) fn since(&self) -> Instant {
        let oldest = self.0.iter().map(|update| update.since).min();
        oldest.unwrap_or_else(Instant::now)
    }

    /// Tells each what it made; `written` has the stamp that they share.
    pub(super) fn succeed(self, made: Vec<ContainedDrop<Arc<T>>>, written: &Snapshot<T>) {
        for (update, value) in self.0.into_iter().zip(made) {
            let _ = update.done.send(Ok(written.with_value(value)));
        }
    }

    pub(super) fn fail(self, error: &StoreError) {
        for update in self.0 {
            let _ = update.done.send(Err(Failed::Store(error.clone())));
        }
    }
}
