//! The replica of one shared value: updated by refreshes, change notifications and writes of this
//! process.

use std::any::type_name;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidings_codec::Format;
use tokio::sync::watch;

use crate::error::failure::Failure;
use crate::error::send_failure::SendFailure;
use crate::error::shared::LoadError;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::NotDone;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{Found, Written};
use crate::observe::reports::Reports;
use crate::receive::control::ControlEvent;
use crate::shared::changed::ValueChanged;
use crate::shared::codec::{decode, read};
use crate::shared::contained::ContainedDrop;
use crate::shared::options::{Shareable, WhenLost};
use crate::shared::refresh::{Outcome, RefreshState};
use crate::shared::registry::ChangeListener;
use crate::shared::replica::Replica;
use crate::shared::snapshot::{Current, Problem, Snapshot};
use crate::shared::updates::Updates;
use crate::task::mutex::Mutex;

pub(crate) struct ValueReplica<T> {
    pub(crate) name: Arc<str>,
    pub(crate) key: String,
    pub(crate) format: Format,
    pub(crate) current: watch::Sender<Current<T>>,
    pub(crate) refresh_state: RefreshState,
    pub(crate) updates: Updates<T>,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) when_lost: Mutex<WhenLost>,
}

impl<T: Shareable> ValueReplica<T> {
    pub(crate) fn snapshot(&self) -> Option<Snapshot<T>> {
        self.current.borrow().snapshot().cloned()
    }

    /// Returns the current value after a refresh with this outcome.
    pub(crate) fn result(&self, outcome: Outcome) -> Result<Snapshot<T>, LoadError> {
        outcome.map_err(|reason| self.unread(self.keyspace.ended_or(reason)))?;
        let current = self.current.borrow();
        match (current.problem(), current.snapshot()) {
            (Some(problem), _) => Err(problem.error.clone()),
            (None, Some(snapshot)) => Ok(snapshot.clone()),
            (None, None) => Err(self.unread(SendFailure::Lost)),
        }
    }

    pub(crate) fn unread(&self, reason: SendFailure) -> LoadError {
        let shared = self.name.to_string();
        LoadError::Unread { shared, reason }
    }

    pub(crate) fn foreign(&self, words: &str) -> LoadError {
        LoadError::Foreign {
            shared: self.name.to_string(),
            words: words.to_owned(),
        }
    }

    pub(super) fn contained<V>(&self, value: V) -> ContainedDrop<Arc<V>> {
        ContainedDrop::new(Arc::new(value), &self.name, &self.reports)
    }

    /// Replaces the current value, if its nonce is `was`.
    pub(crate) fn follow(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        self.replace_if(|stamp| stamp.nonce == was, snapshot)
    }

    /// As [`follow`](Self::follow), for a change notification, which any program can forge.
    fn follow_notification(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        self.replace_if(|stamp| snapshot.stamp().follows(stamp, was), snapshot)
    }

    fn replace_if(
        &self,
        is_replaced: impl FnOnce(&Stamp) -> bool,
        snapshot: &Snapshot<T>,
    ) -> Option<Followed<T>> {
        let mut next = None;
        let former = self.replace(|current| {
            let is_next = current.stamp().as_ref().is_some_and(is_replaced);
            let known = current.snapshot().filter(|_| is_next);
            next = known.map(|known| snapshot.as_stale_as(known));
            next.clone().map(Current::Known)
        })?;
        next.map(|snapshot| Followed { snapshot, former })
    }

    /// As [`follow`](Self::follow), for a write of this process, which also replaces an unread
    /// value.
    pub(crate) fn follow_or_begin(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        let is_nothing = matches!(*self.current.borrow(), Current::Unread);
        if is_nothing {
            self.set_current(snapshot.clone());
            return Some(Followed {
                snapshot: snapshot.clone(),
                former: Current::Unread,
            });
        }
        self.follow(was, snapshot)
    }

    /// Sets the value that was read.
    fn set_current(&self, snapshot: Snapshot<T>) {
        let next = snapshot.clone();
        let former = self.replace(|_| Some(Current::Known(snapshot)));
        // Reports run the application's code, which must not run under the lock.
        if let Some(former) = former {
            self.report_loss(&former, &next);
        }
    }

    /// Reports changes that Redis has lost, if it holds the second of these after the first.
    pub(super) fn report_loss(&self, former: &Current<T>, next: &Snapshot<T>) {
        if let Some(seen) = former.snapshot().filter(|seen| seen.is_lost_in(next)) {
            self.reports.failure(Failure::ValueLost {
                shared: self.name.to_string(),
                version: seen.version(),
                found: Some(next.stamp_in_redis().version).filter(|version| *version > 0),
            });
        }
    }

    /// Replaces the current value by the next one, if there is one. Watchers are notified if it has
    /// another stamp, was lost or restored, or began or ceased to be undecodable.
    ///
    /// Returns the former value. The caller drops it, which runs the application's code, outside of
    /// the lock.
    fn replace(&self, next: impl FnOnce(&Current<T>) -> Option<Current<T>>) -> Option<Current<T>> {
        let mut former = None;
        self.current.send_if_modified(|current| {
            let Some(next) = next(current) else {
                return false;
            };
            let is_other = next.observable() != current.observable();
            former = Some(std::mem::replace(current, next));
            is_other
        });
        former
    }

    fn apply_read(&self, found: Found) {
        if found.is_nothing() {
            return self.set_current(self.after_loss(self.snapshot().as_ref()));
        }
        let stamp = found.stamp;
        let Some(written) = found.value else {
            return self.set_current(Snapshot::new(stamp, None));
        };
        let is_here = |snapshot: &Snapshot<T>| *snapshot.stamp() == stamp;
        if self.current.borrow().snapshot().is_some_and(is_here) {
            self.replace(Current::restored);
            return;
        }
        match self.decode(&written) {
            Ok(value) => {
                let snapshot = Snapshot::new(stamp, Some(value));
                self.set_current(snapshot.expiring(written.expires));
            }
            Err(error) => {
                let stamp = Some(stamp);
                self.report(Problem { stamp, error });
            }
        }
    }

    /// Keeps the older value, and reports a problem once, however often it is read.
    fn report(&self, problem: Problem) {
        let mut is_new = true;
        let words = crate::report(&problem.error).to_string();
        self.replace(|current| {
            let is_same = |known: &Problem| {
                known.stamp == problem.stamp && crate::report(&known.error).to_string() == words
            };
            is_new = !current.problem().is_some_and(is_same);
            Some(current.with_problem(problem.clone()))
        });
        if is_new {
            self.reports.failure(Failure::Shared {
                shared: self.name.to_string(),
                source: problem.error,
            });
        }
    }

    pub(crate) fn decode(&self, written: &Written) -> Result<ContainedDrop<Arc<T>>, LoadError> {
        let value = read(&self.name, &written.format, &written.payload)?;
        Ok(self.contained(value))
    }

    /// Returns the snapshot in a notification, if it follows the current value.
    fn inlined(
        &self,
        notification: &ValueChanged,
        event: &ControlEvent<'_>,
    ) -> Option<Snapshot<T>> {
        let nonce = notification
            .nonce
            .clone()
            .filter(|nonce| !nonce.is_empty())?;
        let version = notification.version;
        if notification.cleared {
            return Some(Snapshot::new(Stamp { version, nonce }, None));
        }
        let was = notification.previous.as_deref()?;
        // A value that does not follow need not be decoded.
        let current = self.current.borrow().stamp();
        let can_follow = notification.has_value && current.is_some_and(|stamp| stamp.nonce == was);
        let inlined: Inlined<T> = can_follow.then(|| decode(event.payload).ok()).flatten()?;
        let value = Some(self.contained(inlined.value));
        let snapshot = Snapshot::new(Stamp { version, nonce }, value);
        Some(snapshot.expiring(notification.ttl.is_some()))
    }

    /// The current stamp, unless the value is unread or undecodable.
    fn current_stamp(&self) -> Option<Stamp> {
        let current = self.current.borrow();
        current.snapshot().and_then(|_| current.stamp())
    }

    /// Applies a notification; `None` if the value must be read instead.
    fn apply_notification(
        &self,
        notification: &ValueChanged,
        event: &ControlEvent<'_>,
    ) -> Option<()> {
        let (idle, inlined) = (self.refresh_state.idle(), self.inlined(notification, event));
        // An absent value has no nonce: two absences cannot be told apart.
        let was = notification
            .previous
            .as_deref()
            .filter(|was| !was.is_empty());
        let applied = self.refresh_state.if_undisturbed(idle, || {
            if self
                .current_stamp()
                .is_some_and(|seen| Some(seen.nonce) == notification.nonce)
            {
                return Some(None);
            }
            self.follow_notification(was?, inlined.as_ref()?).map(Some)
        });
        applied.map(drop)
    }
}

/// The new value and the one that it replaced, which the caller drops outside of the lock.
pub(crate) struct Followed<T> {
    pub(crate) snapshot: Snapshot<T>,
    pub(super) former: Current<T>,
}

/// The value in a notification.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Inlined<T> {
    value: T,
}

impl<T: Shareable> Replica for ValueReplica<T> {
    fn key(&self) -> &str {
        &self.key
    }

    fn stamp(&self) -> Option<Stamp> {
        let current = self.current.borrow();
        // Restoring it is tried again.
        let is_lost = current.snapshot().is_some_and(Snapshot::is_lost);
        if is_lost && self.when_lost() == WhenLost::Restore {
            return None;
        }
        current.stamp()
    }

    fn refresh_state(&self) -> &RefreshState {
        &self.refresh_state
    }

    fn confirm(&self) {
        self.replace(Current::confirmed);
    }

    fn refresh(self: Arc<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let reading = async || self.keyspace.request(|keys| keys.read(&self.key)).await;
            let mut found = reading().await;
            if let Ok(known) = &found
                && self.restore_if_due(known).await
            {
                found = reading().await;
            }
            match found {
                Ok(found) => self.apply_read(found),
                Err(NotDone::Foreign(words)) => {
                    let error = self.foreign(&words);
                    self.report(Problem { stamp: None, error });
                }
                Err(error) => return Err(error.into_reason()),
            }
            Ok(())
        })
    }

    fn became_unreachable(&self, since: Instant) {
        self.replace(|current| {
            current
                .snapshot()
                .map(|snapshot| Current::Known(snapshot.stale(since)))
        });
    }
}

impl<T: Shareable> ChangeListener<ValueChanged> for ValueReplica<T> {
    fn receive(&self, notification: ValueChanged, event: &ControlEvent<'_>) {
        if self.apply_notification(&notification, event).is_none() {
            self.refresh_state.request_refresh();
        }
    }

    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::health::Counts;
    use crate::shared::contained::contained;
    use crate::task::stage::Stage;

    fn replica<T: Shareable>() -> ValueReplica<T> {
        let stage = watch::channel(Stage::Open).1;
        ValueReplica {
            name: "limit".into(),
            key: "tidings:{default}:shared:limit".to_owned(),
            format: Format::Json,
            current: watch::Sender::new(Current::Unread),
            refresh_state: RefreshState::new(Arc::default(), stage, watch::channel(()).1),
            updates: Updates::default(),
            keyspace: Arc::new(KeyspaceAccess::new(Duration::from_secs(1))),
            reports: Arc::new(Reports::new(Arc::new(Counts::new()))),
            when_lost: Mutex::default(),
        }
    }

    fn snapshot(version: u64, nonce: &str) -> Snapshot<u32> {
        let nonce = nonce.to_owned();
        Snapshot::new(Stamp { version, nonce }, Some(contained(7)))
    }

    #[tokio::test]
    async fn a_write_is_followed_only_if_it_replaced_the_current_value() {
        let replica = replica();
        assert!(replica.follow("", &snapshot(1, "a")).is_none());
        assert!(replica.follow_or_begin("x", &snapshot(1, "a")).is_some());
        assert!(replica.follow("x", &snapshot(2, "b")).is_none());
        assert!(replica.follow("a", &snapshot(2, "b")).is_some());
        // A late answer to an earlier write.
        assert!(replica.follow_or_begin("x", &snapshot(1, "a")).is_none());
        assert_eq!(replica.stamp().as_ref(), Some(snapshot(2, "b").stamp()));
    }

    #[tokio::test]
    async fn forged_notifications_cannot_lead_back_to_the_stamp_in_redis() {
        let replica = replica();
        let in_redis = snapshot(5, "a");
        replica.set_current(in_redis.clone());

        for version in [5, 7, 999, u64::MAX] {
            let forged = snapshot(version, "b");
            assert!(replica.follow_notification("a", &forged).is_none());
        }
        assert!(
            replica
                .follow_notification("a", &snapshot(6, "b"))
                .is_some()
        );
        assert!(replica.follow_notification("b", &in_redis).is_none());
        assert!(
            replica
                .follow_notification("b", &snapshot(7, "a"))
                .is_some()
        );

        assert_ne!(replica.stamp().as_ref(), Some(in_redis.stamp()));
    }

    #[tokio::test]
    async fn a_value_followed_during_an_outage_is_stale() {
        let replica = replica();
        replica.set_current(snapshot(1, "a"));
        replica.became_unreachable(Instant::now());
        let followed = replica.follow("a", &snapshot(2, "b")).unwrap();
        assert!(followed.snapshot.stale_since().is_some());
        assert!(replica.snapshot().unwrap().stale_since().is_some());
        replica.confirm();
        assert!(replica.snapshot().unwrap().stale_since().is_none());
    }

    #[tokio::test]
    async fn a_value_that_reads_its_replica_when_dropped_does_not_deadlock() {
        #[derive(serde::Serialize, Deserialize)]
        struct Curious {
            #[serde(skip)]
            replica: std::sync::Weak<ValueReplica<Curious>>,
        }
        impl Drop for Curious {
            fn drop(&mut self) {
                if let Some(replica) = self.replica.upgrade() {
                    replica.snapshot();
                    assert!(replica.refresh_state.idle().is_some());
                }
            }
        }
        let replica = Arc::new(replica::<Curious>());
        let curious = |nonce: &str| {
            let replica = Arc::downgrade(&replica);
            let nonce = nonce.to_owned();
            Snapshot::new(
                Stamp { version: 1, nonce },
                Some(contained(Curious { replica })),
            )
        };
        replica.set_current(curious("a"));
        replica.set_current(curious("b"));
        let idle = replica.refresh_state.idle();
        let next = curious("c");
        let followed = replica
            .refresh_state
            .if_undisturbed(idle, || replica.follow("b", &next));
        assert!(followed.is_some());
    }

    #[tokio::test]
    async fn reading_the_same_value_does_not_notify_watchers() {
        let replica = replica::<u32>();
        let mut changes = replica.current.subscribe();
        replica.apply_read(Found::default());
        assert!(changes.has_changed().unwrap(), "its absence is known");
        changes.mark_unchanged();

        replica.apply_read(Found::default());
        replica.became_unreachable(Instant::now());
        replica.confirm();

        assert!(!changes.has_changed().unwrap());
        assert!(replica.snapshot().unwrap().stale_since().is_none());
    }
}
