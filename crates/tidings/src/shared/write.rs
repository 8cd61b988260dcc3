//! Writes a shared value, and puts here what was written.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::ser::Error as _;
use tidings_codec::{DecodeError, EncodeError, Format, Payload};
use tokio::time::{Instant, sleep};

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::{LoadError, StoreError};
use crate::keyspace::access::NotDone;
use crate::keyspace::stamp::{Stamp, nonce};
use crate::keyspace::value::{Attempt, Clearing, Found, Writing, can_carry};
use crate::shared::contained::ContainedDrop;
use crate::shared::options::SharedOptions;
use crate::shared::refresh::IdleToken;
use crate::shared::shareable::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::updates::{Change, Failed, UpdateBatch};
use crate::shared::value_replica::{ValueReplica, decode};
use crate::task::FOREVER;
use crate::task::panic::{caught, panic_text};
use crate::task::random::jitter;

/// How often an update is tried.
pub(super) const ATTEMPTS: u32 = 1_000;

/// So many further attempts follow at once; who has lost as often lets others go first.
const AT_ONCE: u32 = 2;

/// Each attempt may prolong the wait by this, up to so many times.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: u32 = 16;

/// A value that is ready to be written.
struct Encoded<T> {
    payload: Vec<u8>,
    inline: Option<Vec<u8>>,
    /// As everybody will read it.
    value: ContainedDrop<Arc<T>>,
}

/// What was written, and what it replaced.
struct Replaced<T> {
    was: String,
    snapshot: Snapshot<T>,
}

/// Why updates were not written.
enum NotWritten {
    /// What they make cannot be written, which may be the fault of one of them.
    Unwritable(StoreError),
    Unwritten(StoreError),
}

impl From<StoreError> for NotWritten {
    fn from(error: StoreError) -> Self {
        Self::Unwritten(error)
    }
}

impl<T: Shareable> ValueReplica<T> {
    pub(super) async fn set(
        &self,
        value: &T,
        sharing: &SharedOptions,
    ) -> Result<Snapshot<T>, StoreError> {
        let encoded = self.encode(value, sharing)?;
        let idle = self.refresh_state.idle();
        match self.attempt(encoded, None, sharing).await? {
            Ok(replaced) => Ok(self.settle(idle, replaced).await),
            Err(_) => unreachable!("it was written whatever was there"),
        }
    }

    pub(super) async fn update(
        self: &Arc<Self>,
        change: Change<T>,
        sharing: &Arc<SharedOptions>,
    ) -> Result<Snapshot<T>, StoreError> {
        let change = ContainedDrop::new(change, &self.name, &self.reports);
        let (is_first, updated) = self.updates.add(change, sharing).await;
        if is_first {
            // The caller may stop waiting, and the other updates wait all the same.
            self.runtime.spawn(write_updates(Arc::clone(self)));
        }
        match updated.await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(Failed::Store(error))) => Err(error),
            Ok(Err(Failed::Panicked(panic))) => resume_unwind(panic),
            // The runtime ends, and its tasks with it.
            Err(_) => Err(self.unconfirmed(Unconfirmed::Unknown(SendFailure::Closed))),
        }
    }

    /// Writes what these updates make of the value, one after the other; gives them back where they
    /// make together what cannot be written.
    pub(super) async fn write_together(
        &self,
        mut together: UpdateBatch<T>,
    ) -> Result<(), UpdateBatch<T>> {
        match self.try_to_write(&mut together).await {
            Ok((made, written)) => together.succeed(made, &written),
            Err(NotWritten::Unwritable(_)) if together.are_several() => return Err(together),
            Err(NotWritten::Unwritable(error) | NotWritten::Unwritten(error)) => {
                together.fail(&error);
            }
        }
        Ok(())
    }

    async fn try_to_write(
        &self,
        together: &mut UpdateBatch<T>,
    ) -> Result<(Vec<ContainedDrop<Arc<T>>>, Snapshot<T>), NotWritten> {
        let patience = self.keyspace.patience();
        if together.since().elapsed() >= patience {
            return Err(self
                .unconfirmed(Unconfirmed::NotSent(SendFailure::TimedOut(patience)))
                .into());
        }
        let deadline = Instant::now() + patience.min(FOREVER);
        let mut base = self.base().await?;
        for attempts in 1.. {
            let made = together.make(base.value().map(|old| &**old), |made| self.contained(made));
            let (Some(new), Some(sharing)) = (made.last(), together.sharing()) else {
                // Each of them panicked, and was told so.
                return Ok((made, base));
            };
            let encoded = self.encode(new, sharing).map_err(NotWritten::Unwritable)?;
            let (idle, expected) = (self.refresh_state.idle(), base.contained().nonce);
            match self.attempt(encoded, Some(expected), sharing).await? {
                Ok(replaced) => return Ok((made, self.settle(idle, replaced).await)),
                Err(found) => base = self.overtaken(idle, &base, found)?,
            }
            if attempts == ATTEMPTS || Instant::now() >= deadline {
                let shared = self.name.to_string();
                return Err(StoreError::Contended { shared, attempts }.into());
            }
            give_way(attempts).await;
        }
        unreachable!("the attempts have an end")
    }

    pub(super) async fn clear(&self) -> Result<Snapshot<T>, StoreError> {
        let (idle, nonce) = (self.refresh_state.idle(), nonce());
        let clearing = Clearing {
            name: self.name.to_string(),
            nonce: nonce.clone(),
            version: self.version(),
        };
        let cleared = self
            .keyspace
            .ask(|keys| keys.clear(&self.key, clearing))
            .await;
        let (version, was) = cleared.map_err(|undone| self.undone(undone))?;
        let snapshot = Snapshot::new(Stamp { version, nonce }, None);
        Ok(self.settle(idle, Replaced { was, snapshot }).await)
    }

    fn version(&self) -> u64 {
        self.snapshot().map_or(0, |known| known.version())
    }

    /// What is here, for as long as it is what Redis holds: that is found out by writing.
    async fn base(&self) -> Result<Snapshot<T>, StoreError> {
        let known = self.snapshot().filter(|known| known.problem().is_none());
        match known {
            Some(known) => Ok(known),
            None => self
                .result(self.refresh_state.refreshed().await)
                .map_err(|error| self.unloaded(error)),
        }
    }

    /// What others made of it: the next attempt begins with that. It is seen here, too, if nothing
    /// else has come meanwhile.
    fn overtaken(
        &self,
        idle: Option<IdleToken>,
        base: &Snapshot<T>,
        found: Found,
    ) -> Result<Snapshot<T>, StoreError> {
        let found = match found {
            Found::Nothing => return Ok(self.gone(Some(base))),
            Found::Cleared { stamp, .. } => Snapshot::new(stamp, None),
            Found::Value(written) => {
                let value = self.decode(&written);
                let value = value.map_err(|error| self.unloaded(error))?;
                Snapshot::new(written.stamp, Some(value)).expiring(written.expires)
            }
        };
        // What is not there has no nonce of its own: one absence is not known from another.
        let before = base.contained().nonce;
        if !before.is_empty() {
            let follow = || self.follow(&before, &found);
            let _ = self.refresh_state.if_undisturbed(idle, follow);
        }
        Ok(found)
    }

    fn encode(&self, value: &T, sharing: &SharedOptions) -> Result<Encoded<T>, StoreError> {
        let (payload, value) = encoded(&self.name, self.format, value)?;
        let value = self.contained(value);
        let inline = self.inline(&payload, sharing);
        Ok(Encoded {
            payload,
            inline,
            value,
        })
    }

    /// The payload, if it is JSON and small enough to travel with its notification, and every
    /// process can read that. A twin in JSON of another payload could be read as another value under
    /// the same stamp.
    fn inline(&self, payload: &[u8], sharing: &SharedOptions) -> Option<Vec<u8>> {
        let is_small = self.format == Format::Json && payload.len() <= sharing.inline;
        let can_travel = is_small && can_carry(&self.name, payload);
        can_travel.then(|| payload.to_owned())
    }

    /// Writes, if what is there has the expected nonce; otherwise what is there.
    async fn attempt(
        &self,
        encoded: Encoded<T>,
        expected: Option<String>,
        sharing: &SharedOptions,
    ) -> Result<Result<Replaced<T>, Found>, StoreError> {
        let nonce = nonce();
        let writing = Writing {
            name: self.name.to_string(),
            expected,
            format: self.format,
            payload: encoded.payload,
            nonce: nonce.clone(),
            time_to_live: sharing.ttl,
            inline: encoded.inline,
            version: self.version(),
        };
        let answer = self
            .keyspace
            .ask(|keys| keys.write(&self.key, writing))
            .await;
        match answer.map_err(|undone| self.undone(undone))? {
            Attempt::Done { version, was } => {
                let snapshot = Snapshot::new(Stamp { version, nonce }, Some(encoded.value));
                let snapshot = snapshot.expiring(sharing.ttl.is_some());
                Ok(Ok(Replaced { was, snapshot }))
            }
            Attempt::Overtaken(found) => Ok(Err(found)),
        }
    }

    /// Lets what was written be seen here: it, or something newer.
    async fn settle(&self, idle: Option<IdleToken>, replaced: Replaced<T>) -> Snapshot<T> {
        let Replaced { was, snapshot } = replaced;
        let follow = || self.follow_or_begin(&was, &snapshot);
        if let Some(followed) = self.refresh_state.if_undisturbed(idle, follow) {
            return followed.snapshot;
        }
        let read = self.refresh_state.refreshed().await;
        match (read, self.snapshot()) {
            (Ok(()), Some(newest)) => newest,
            // It was written, and nobody knows what came after it.
            _ => snapshot.stale(std::time::Instant::now()),
        }
    }

    fn undone(&self, undone: NotDone) -> StoreError {
        match undone {
            NotDone::Foreign(words) => self.unloaded(self.foreign(&words)),
            NotDone::Overflow => self.unloaded(self.foreign("its version would overflow")),
            NotDone::Unconfirmed(why) => self.unconfirmed(why),
        }
    }

    pub(super) fn unconfirmed(&self, why: Unconfirmed) -> StoreError {
        let shared = self.name.to_string();
        StoreError::Unconfirmed { shared, why }
    }

    fn unloaded(&self, error: LoadError) -> StoreError {
        let shared = self.name.to_string();
        match error {
            LoadError::Unread { reason, .. } => self.unconfirmed(Unconfirmed::NotSent(reason)),
            source => StoreError::Load { shared, source },
        }
    }
}

/// The task that writes the updates of a value, until none waits.
async fn write_updates<T: Shareable>(replica: Arc<ValueReplica<T>>) {
    while let Some(together) = replica.updates.take() {
        // A panic here would leave all updates waiting that come after it.
        let writing = AssertUnwindSafe(replica.write_together(together)).catch_unwind();
        match writing.await {
            Ok(Ok(())) => {}
            Ok(Err(together)) => replica.updates.put_back(together),
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(shared = %replica.name, panic = text, "updates were not written");
                std::mem::forget(panic);
            }
        }
    }
}

/// The payload, and the value as everybody will read it. What cannot be read again must not be
/// written: everybody else would be left with it.
pub(super) fn encoded<T: Shareable>(
    shared: &str,
    format: Format,
    value: &T,
) -> Result<(Vec<u8>, T), StoreError> {
    let shared = shared.to_owned();
    let mut payload = Vec::new();
    let written = encode(format, value, &mut payload);
    let unwritable = match written.map(|()| decode(Payload::new(format, &payload))) {
        Ok(Ok(value)) => return Ok((payload, value)),
        Ok(Err(DecodeError::TooDeep)) => EncodeError::TooDeep,
        Ok(Err(DecodeError::TooManyValues)) => EncodeError::TooManyValues,
        Ok(Err(source)) => {
            let source = Arc::new(source);
            let source = LoadError::Decode {
                shared: shared.clone(),
                source,
            };
            return Err(StoreError::Load { shared, source });
        }
        Err(error) => error,
    };
    let source = Arc::new(unwritable);
    Err(StoreError::Encode { shared, source })
}

/// To write a value is the application's code: its panic is an error.
fn encode<T: Shareable>(format: Format, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    caught(|| format.encode(value, into)).unwrap_or_else(|panic| {
        let words = format_args!("it panicked: {panic}");
        Err(EncodeError::Json(serde_json::Error::custom(words)))
    })
}

/// Others were faster: lets them go on, for a time that chance decides.
pub(super) async fn give_way(attempts: u32) {
    if attempts > AT_ONCE {
        let longest = PAUSE * attempts.min(PAUSES);
        sleep(jitter(longest, 0.0..1.0)).await;
    }
}
