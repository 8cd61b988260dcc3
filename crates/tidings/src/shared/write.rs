//! Writes of a shared value: set, update and clear.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidings_codec::Format;
use tokio::time::{Instant, sleep};

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::StoreError;
use crate::keyspace::stamp::{Moved, nonce};
use crate::keyspace::value::{Found, Writing, can_inline};
use crate::shared::codec::encoded;
use crate::shared::contained::ContainedDrop;
use crate::shared::options::{Shareable, SharedOptions};
use crate::shared::refresh::IdleToken;
use crate::shared::snapshot::Snapshot;
use crate::shared::updates::{Change, Failed, UpdateBatch};
use crate::shared::value_replica::{Followed, ValueReplica};
use crate::task::FOREVER;
use crate::task::panic::panic_text;
use crate::task::random::jitter;

/// The maximal number of attempts of an update.
const MAX_ATTEMPTS: u32 = 1_000;

/// The number of attempts that follow at once; later ones wait first.
const IMMEDIATE_ATTEMPTS: u32 = 2;

/// The longest wait before an attempt is this, times the number of attempts up to
/// `MAX_PAUSE_FACTOR`.
const PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE_FACTOR: u32 = 16;

/// The payload of a value, and the value as every process will decode it.
type Encoded<T> = (Vec<u8>, ContainedDrop<Arc<T>>);

/// A written snapshot, and the nonce of the value that it replaced.
struct Replaced<T> {
    was: String,
    snapshot: Snapshot<T>,
}

/// The reason for which a batch was not written.
enum BatchError {
    /// Its result cannot be encoded, which may be the fault of one of its updates.
    Invalid(StoreError),
    Failed(StoreError),
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl<T: Shareable> ValueReplica<T> {
    pub(super) async fn set(
        &self,
        value: &T,
        options: &SharedOptions,
    ) -> Result<Snapshot<T>, StoreError> {
        let encoded = self.encode(value)?;
        let idle = self.refresh_state.idle();
        match self.attempt(encoded, None, options).await? {
            Ok(replaced) => Ok(self.settle(idle, replaced).await),
            Err(_) => unreachable!("the write had no condition"),
        }
    }

    /// Writes the value if Redis still has the expected one, and returns what Redis has otherwise.
    pub(super) async fn compare_and_set(
        &self,
        expected: &Snapshot<T>,
        value: &T,
        options: &SharedOptions,
    ) -> Result<Result<Snapshot<T>, Snapshot<T>>, StoreError> {
        let encoded = self.encode(value)?;
        let (idle, nonce) = (self.refresh_state.idle(), expected.stamp_in_redis().nonce);
        match self.attempt(encoded, Some(nonce), options).await? {
            Ok(replaced) => Ok(Ok(self.settle(idle, replaced).await)),
            Err(found) => self.overtaken(idle, expected, found).map(Err),
        }
    }

    pub(super) async fn update(
        self: &Arc<Self>,
        change: Change<T>,
        options: &Arc<SharedOptions>,
    ) -> Result<Snapshot<T>, StoreError> {
        let change = ContainedDrop::new(change, &self.name, &self.reports);
        let (is_first, updated) = self.updates.add(change, options).await;
        if is_first {
            // The other updates must be written even if this caller stops waiting.
            let writer = UpdateWriter {
                replica: Arc::clone(self),
                is_done: false,
            };
            self.keyspace.runtime.spawn(writer.run());
        }
        match updated.await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(Failed::Store(error))) => Err(error),
            Ok(Err(Failed::Panicked(panic))) => resume_unwind(panic),
            // The runtime ended, and its tasks with it.
            Err(_) => Err(self.unconfirmed(Unconfirmed::Unknown(SendFailure::RuntimeEnded))),
        }
    }

    /// Writes the result of a batch; gives the batch back if its result is invalid and its updates
    /// must be tried alone.
    pub(super) async fn write_batch(
        &self,
        mut batch: UpdateBatch<T>,
    ) -> Result<(), UpdateBatch<T>> {
        match self.try_write_batch(&mut batch).await {
            Ok((made, written)) => batch.succeed(made, &written),
            Err(BatchError::Invalid(_)) if batch.has_several() => return Err(batch),
            Err(BatchError::Invalid(error) | BatchError::Failed(error)) => {
                batch.fail(&error);
            }
        }
        Ok(())
    }

    async fn try_write_batch(
        &self,
        batch: &mut UpdateBatch<T>,
    ) -> Result<(Vec<ContainedDrop<Arc<T>>>, Snapshot<T>), BatchError> {
        let patience = self.keyspace.patience();
        if batch.since().elapsed() >= patience {
            return Err(self
                .unconfirmed(Unconfirmed::NotSent(SendFailure::TimedOut(patience)))
                .into());
        }
        let deadline = Instant::now() + patience.min(FOREVER);
        let mut base = self.base().await?;
        for attempts in 1.. {
            let made = batch.make(base.value().map(|old| &**old), |made| self.contained(made));
            let (Some(new), Some(options)) = (made.last(), batch.options()) else {
                // Each update panicked and was answered.
                return Ok((made, base));
            };
            let encoded = self.encode(new).map_err(BatchError::Invalid)?;
            let (idle, expected) = (self.refresh_state.idle(), base.stamp_in_redis().nonce);
            match self.attempt(encoded, Some(expected), options).await? {
                Ok(replaced) => {
                    let written = replaced.snapshot.clone();
                    let newest = self.settle(idle, replaced).await;
                    // The value of an update must not have the stamp of a later write.
                    let is_newest = newest.stamp() == written.stamp();
                    return Ok((made, if is_newest { newest } else { written }));
                }
                Err(found) => base = self.overtaken(idle, &base, found)?,
            }
            back_off(&self.name, attempts, deadline).await?;
        }
        unreachable!("the number of attempts is bounded")
    }

    pub(super) async fn clear(&self) -> Result<Snapshot<T>, StoreError> {
        let idle = self.refresh_state.idle();
        let version = self.version();
        let cleared = self
            .keyspace
            .request(|keys| keys.clear(&self.key, &self.name, nonce(), version))
            .await;
        let cleared = cleared.map_err(|not_done| not_done.into_store_error(&self.name));
        let Moved { now, was } = cleared?;
        let snapshot = Snapshot::new(now, None);
        Ok(self.settle(idle, Replaced { was, snapshot }).await)
    }

    fn version(&self) -> u64 {
        self.snapshot().map_or(0, |known| known.version())
    }

    /// Returns the value to update. If it is out of date, the write finds out.
    async fn base(&self) -> Result<Snapshot<T>, StoreError> {
        let known = self.snapshot().filter(|known| known.problem().is_none());
        match known {
            Some(known) => Ok(known),
            None => self
                .result(self.refresh_state.refreshed().await)
                .map_err(|error| StoreError::not_read(&self.name, error)),
        }
    }

    /// Returns the value of the process that came first, for the next attempt, and updates the
    /// replica if it has not changed.
    fn overtaken(
        &self,
        idle: Option<IdleToken>,
        base: &Snapshot<T>,
        found: Found,
    ) -> Result<Snapshot<T>, StoreError> {
        if found.is_nothing() {
            return Ok(self.lose(base));
        }
        let found = match found.value {
            None => Snapshot::new(found.stamp, None),
            Some(written) => {
                let value = self.decode(&written);
                let value = value.map_err(|error| StoreError::not_read(&self.name, error))?;
                Snapshot::new(found.stamp, Some(value)).expiring(written.expires)
            }
        };
        // An absent value has no nonce: two absences cannot be told apart.
        let before = base.stamp_in_redis().nonce;
        if !before.is_empty() {
            let follow = || self.follow(&before, &found);
            let followed = self.refresh_state.if_undisturbed(idle, follow);
            self.report_followed(followed);
        }
        Ok(found)
    }

    /// Redis holds nothing after this snapshot. Returns what remains of it.
    fn lose(&self, base: &Snapshot<T>) -> Snapshot<T> {
        // The value of the caller's snapshot may be one that no process decoded.
        let known = self.snapshot();
        let known = known.filter(|known| known.stamp() == base.stamp());
        let lost = self.after_loss(known.as_ref().or(Some(base)));
        let before = base.stamp_in_redis().nonce;
        if !before.is_empty() {
            // Also during a refresh: a later write would hide the loss from it.
            self.report_followed(self.follow(&before, &lost));
        }
        lost
    }

    fn report_followed(&self, followed: Option<Followed<T>>) {
        if let Some(followed) = followed {
            self.report_loss(&followed.former, &followed.snapshot);
        }
    }

    fn encode(&self, value: &T) -> Result<Encoded<T>, StoreError> {
        let (payload, value) = encoded(&self.name, self.format, value)?;
        Ok((payload, self.contained(value)))
    }

    /// Returns the payload for the notification, if it is JSON, small enough and not too deep.
    /// Other formats are not converted: the value decoded from JSON could differ under the same
    /// stamp.
    fn inline(&self, payload: &[u8], options: &SharedOptions) -> Option<Vec<u8>> {
        let is_small = self.format == Format::Json && payload.len() <= options.inline;
        let can_travel = is_small && can_inline(&self.name, payload);
        can_travel.then(|| payload.to_owned())
    }

    /// Writes if Redis holds the expected nonce; otherwise returns what Redis holds.
    async fn attempt(
        &self,
        (payload, value): Encoded<T>,
        expected: Option<String>,
        options: &SharedOptions,
    ) -> Result<Result<Replaced<T>, Found>, StoreError> {
        let writing = Writing {
            name: self.name.to_string(),
            expected,
            format: self.format,
            nonce: nonce(),
            time_to_live: options.ttl,
            inline: self.inline(&payload, options),
            payload,
            version: self.version(),
        };
        let answer = self
            .keyspace
            .request(|keys| keys.write(&self.key, writing))
            .await;
        let written = answer.map_err(|not_done| not_done.into_store_error(&self.name))?;
        Ok(written.map(|Moved { now, was }| {
            let snapshot = Snapshot::new(now, Some(value));
            let snapshot = snapshot.expiring(options.ttl.is_some());
            Replaced { was, snapshot }
        }))
    }

    /// Updates the replica with a write, or waits until it has something newer.
    async fn settle(&self, idle: Option<IdleToken>, replaced: Replaced<T>) -> Snapshot<T> {
        let Replaced { was, snapshot } = replaced;
        // Redis held nothing: it has lost the copy that is here, unless a later write brought that.
        let known = self.snapshot().filter(|_| was.is_empty());
        if let Some(known) = known.filter(|known| known.version() < snapshot.version()) {
            self.lose(&known);
        }
        let follow = || self.follow_or_begin(&was, &snapshot);
        if let Some(followed) = self.refresh_state.if_undisturbed(idle, follow) {
            return followed.snapshot;
        }
        let read = self.refresh_state.refreshed().await;
        match (read, self.snapshot()) {
            (Ok(()), Some(newest)) => newest,
            // It was written; later changes are not known.
            _ => snapshot.stale(std::time::Instant::now()),
        }
    }

    pub(super) fn unconfirmed(&self, why: Unconfirmed) -> StoreError {
        let shared = self.name.to_string();
        StoreError::Unconfirmed { shared, why }
    }
}

/// The task that writes the waiting updates of a value. Fails them if it is dropped with its runtime,
/// even before its first poll.
struct UpdateWriter<T: Shareable> {
    replica: Arc<ValueReplica<T>>,
    is_done: bool,
}

impl<T: Shareable> UpdateWriter<T> {
    async fn run(mut self) {
        let replica = Arc::clone(&self.replica);
        while let Some(batch) = replica.updates.take() {
            // A panic here would leave all later updates waiting.
            let writing = AssertUnwindSafe(replica.write_batch(batch)).catch_unwind();
            match writing.await {
                Ok(Ok(())) => {}
                Ok(Err(batch)) => replica.updates.put_back(batch),
                Err(panic) => {
                    let text = panic_text(&*panic);
                    tracing::error!(shared = %replica.name, panic = text, "cannot write the updates of a shared value");
                    std::mem::forget(panic);
                }
            }
        }
        // Another task may write the next updates by now.
        self.is_done = true;
    }
}

impl<T: Shareable> Drop for UpdateWriter<T> {
    fn drop(&mut self) {
        if !self.is_done {
            let replica = &self.replica;
            let why = Unconfirmed::NotSent(SendFailure::RuntimeEnded);
            replica.updates.stop(&replica.unconfirmed(why));
        }
    }
}

/// Waits for a random time after an attempt that another process overtook, unless it was the last one.
pub(super) async fn back_off(
    shared: &str,
    attempts: u32,
    deadline: Instant,
) -> Result<(), StoreError> {
    if attempts >= MAX_ATTEMPTS || Instant::now() >= deadline {
        let shared = shared.to_owned();
        return Err(StoreError::Contended { shared, attempts });
    }
    if attempts > IMMEDIATE_ATTEMPTS {
        let longest = PAUSE * attempts.min(MAX_PAUSE_FACTOR);
        sleep(jitter(longest, 0.0..1.0)).await;
    }
    Ok(())
}
