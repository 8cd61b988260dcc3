//! The one copy that a bus has of a shared value: read by the keeper, by notices, and by what is
//! written here.

use std::any::type_name;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use tidings_codec::{DecodeError, Format, Payload};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::failure::Failure;
use crate::error::send_failure::SendFailure;
use crate::error::shared::LoadError;
use crate::error::shown;
use crate::keyspace::Keyspace;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::KeyError;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{Found, Written};
use crate::observe::reports::Reports;
use crate::receive::control::ControlEvent;
use crate::shared::changed::ValueChanged;
use crate::shared::contained::ContainedDrop;
use crate::shared::options::WhenLost;
use crate::shared::reconciler::{Replica, in_time};
use crate::shared::refresh::{Outcome, RefreshState};
use crate::shared::registry::ChangeListener;
use crate::shared::shareable::Shareable;
use crate::shared::snapshot::{Here, Problem, Snapshot};
use crate::shared::updates::Updates;
use crate::task::panic::caught;
use crate::task::stage::Stage;

pub(crate) struct ValueReplica<T> {
    pub(crate) name: Arc<str>,
    pub(crate) key: String,
    pub(crate) format: Format,
    pub(crate) here: watch::Sender<Here<T>>,
    pub(crate) refresh_state: RefreshState,
    pub(crate) updates: Updates<T>,
    pub(crate) runtime: Handle,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) when_lost: Mutex<WhenLost>,
}

impl<T: Shareable> ValueReplica<T> {
    pub(crate) fn snapshot(&self) -> Option<Snapshot<T>> {
        self.here.borrow().snapshot().cloned()
    }

    /// What is here after a reading that ended so.
    pub(crate) fn result(&self, outcome: Outcome) -> Result<Snapshot<T>, LoadError> {
        outcome.map_err(|reason| self.unread(self.keyspace.ended_or(reason)))?;
        let here = self.here.borrow();
        match (here.problem(), here.snapshot()) {
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

    /// Puts another value here, if what is here is what it replaced.
    pub(crate) fn follow(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        self.follow_where(|stamp| stamp.nonce == was, snapshot)
    }

    /// As [`follow`](Self::follow), for what was announced: anybody may have done that.
    fn follow_announced(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        self.follow_where(|stamp| snapshot.stamp().follows(stamp, was), snapshot)
    }

    fn follow_where(
        &self,
        is_replaced: impl FnOnce(&Stamp) -> bool,
        snapshot: &Snapshot<T>,
    ) -> Option<Followed<T>> {
        let mut followed = None;
        self.here.send_if_modified(|here| {
            let is_next = here.stamp().as_ref().is_some_and(is_replaced);
            let known = here.snapshot().filter(|_| is_next);
            let Some(next) = known.map(|known| snapshot.as_stale_as(known)) else {
                return false;
            };
            let former = std::mem::replace(here, Here::Seen(next.clone()));
            followed = Some(Followed {
                snapshot: next,
                _former: former,
            });
            true
        });
        followed
    }

    /// As [`follow`](Self::follow), for what was written here: it is newer than nothing at all.
    pub(crate) fn follow_or_begin(&self, was: &str, snapshot: &Snapshot<T>) -> Option<Followed<T>> {
        let is_nothing = matches!(*self.here.borrow(), Here::Nothing);
        if is_nothing {
            self.put(snapshot.clone());
            return Some(Followed {
                snapshot: snapshot.clone(),
                _former: Here::Nothing,
            });
        }
        self.follow(was, snapshot)
    }

    /// What was read. Those who watch are told of another value, that it was lost or is back, and that
    /// there is no problem any more, not of the same.
    fn put(&self, snapshot: Snapshot<T>) {
        let mut former = None;
        self.here.send_if_modified(|here| {
            let before = here.snapshot();
            let is_same = before.is_some_and(|before| {
                (before.stamp(), before.is_lost()) == (snapshot.stamp(), snapshot.is_lost())
            });
            let is_other = !is_same || here.problem().is_some();
            former = Some(std::mem::replace(here, Here::Seen(snapshot)));
            is_other
        });
        // To drop a value is the application's code, which runs under no lock of ours.
        drop(former);
    }

    /// Changes what is known of the value that is here. Those who watch are told when there is one at
    /// all, when Redis begins or ends to hold what cannot be read, and when a value is back that Redis
    /// had lost.
    fn amend(&self, amend: impl FnOnce(&Here<T>) -> Option<Here<T>>) {
        let told = |here: &Here<T>| {
            let snapshot = here.snapshot();
            let is_lost = snapshot.is_some_and(Snapshot::is_lost);
            (snapshot.is_some(), is_lost, here.problem().is_some())
        };
        let mut former = None;
        self.here.send_if_modified(|here| {
            let before = told(here);
            if let Some(amended) = amend(here) {
                former = Some(std::mem::replace(here, amended));
            }
            told(here) != before
        });
        drop(former);
    }

    fn take_in(&self, found: Found) {
        let written = match found {
            Found::Nothing => return self.put(self.gone(self.snapshot().as_ref())),
            Found::Cleared { stamp, .. } => return self.put(Snapshot::new(stamp, None)),
            Found::Value(written) => written,
        };
        let is_here = |snapshot: &Snapshot<T>| *snapshot.stamp() == written.stamp;
        if self.here.borrow().snapshot().is_some_and(is_here) {
            return self.amend(Here::restored);
        }
        match self.decode(&written) {
            Ok(value) => {
                let snapshot = Snapshot::new(written.stamp, Some(value));
                self.put(snapshot.expiring(written.expires));
            }
            Err(error) => {
                let stamp = Some(written.stamp);
                self.report(Problem { stamp, error });
            }
        }
    }

    /// Keeps the older value, and says why: once, however often the same is read.
    fn report(&self, problem: Problem) {
        let mut is_new = true;
        let words = crate::report(&problem.error).to_string();
        self.amend(|here| {
            let is_same = |known: &Problem| {
                known.stamp == problem.stamp && crate::report(&known.error).to_string() == words
            };
            is_new = !here.problem().is_some_and(is_same);
            Some(here.troubled(problem.clone()))
        });
        if is_new {
            self.reports.failure(Failure::Shared {
                shared: self.name.to_string(),
                source: problem.error,
            });
        }
    }

    pub(crate) fn decode(&self, written: &Written) -> Result<ContainedDrop<Arc<T>>, LoadError> {
        let Ok(format) = written.format.parse() else {
            return Err(LoadError::Format {
                shared: self.name.to_string(),
                format: shown(&written.format),
            });
        };
        // No bytes at all are no value, although an event may have none.
        if written.payload.is_empty() {
            return Err(self.foreign("the value is empty"));
        }
        decode(Payload::new(format, &written.payload))
            .map(|value| self.contained(value))
            .map_err(|source| LoadError::Decode {
                shared: self.name.to_string(),
                source: Arc::new(source),
            })
    }

    /// What a notice brings along, if that follows what is here.
    fn brought(&self, announced: &ValueChanged, event: &ControlEvent<'_>) -> Option<Snapshot<T>> {
        let nonce = announced.nonce.clone().filter(|nonce| !nonce.is_empty())?;
        let version = announced.version;
        if announced.cleared {
            return Some(Snapshot::new(Stamp { version, nonce }, None));
        }
        let was = announced.previous.as_deref()?;
        // Where it does not follow, it need not be read.
        let here = self.here.borrow().stamp();
        let can_follow = announced.has_value && here.is_some_and(|stamp| stamp.nonce == was);
        let inlined: Inlined<T> = can_follow.then(|| decode(event.payload).ok()).flatten()?;
        let value = Some(self.contained(inlined.value));
        let snapshot = Snapshot::new(Stamp { version, nonce }, value);
        Some(snapshot.expiring(announced.ttl.is_some()))
    }

    /// The stamp of what was read last, if there is a value here or known to be none.
    fn seen(&self) -> Option<Stamp> {
        let here = self.here.borrow();
        here.snapshot().and_then(|_| here.stamp())
    }

    /// Whether nothing has to be read because of this notice.
    fn take_note(&self, announced: &ValueChanged, event: &ControlEvent<'_>) -> Option<()> {
        let (idle, brought) = (self.refresh_state.idle(), self.brought(announced, event));
        // What is not there has no nonce of its own: one absence is not known from another.
        let was = announced.previous.as_deref().filter(|was| !was.is_empty());
        let noted = self.refresh_state.if_undisturbed(idle, || {
            if self
                .seen()
                .is_some_and(|seen| Some(seen.nonce) == announced.nonce)
            {
                return Some(None);
            }
            self.follow_announced(was?, brought.as_ref()?).map(Some)
        });
        noted.map(drop)
    }
}

/// A value that was put here, and what was here before: who gets this drops it, outside of our locks.
pub(crate) struct Followed<T> {
    pub(crate) snapshot: Snapshot<T>,
    _former: Here<T>,
}

/// The part of a notice that has the value.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Inlined<T> {
    value: T,
}

/// As [`Payload::decode`], where no panic of the application's may come through.
pub(super) fn decode<T: DeserializeOwned>(payload: Payload<'_>) -> Result<T, DecodeError> {
    caught(|| payload.decode()).unwrap_or_else(|panic| {
        let words = format_args!("it panicked: {panic}");
        Err(DecodeError::Json(serde_json::Error::custom(words)))
    })
}

impl<T: Shareable> Replica for ValueReplica<T> {
    fn key(&self) -> &str {
        &self.key
    }

    fn stamp(&self) -> Option<Stamp> {
        let here = self.here.borrow();
        // What could not be written back yet is tried again.
        let is_lost = here.snapshot().is_some_and(Snapshot::is_lost);
        if is_lost && self.when_lost() == WhenLost::Restore {
            return None;
        }
        here.stamp()
    }

    fn refresh_state(&self) -> &RefreshState {
        &self.refresh_state
    }

    fn confirm(&self) {
        self.amend(Here::confirmed);
    }

    fn refresh(
        self: Arc<Self>,
        keyspace: Arc<dyn Keyspace>,
        patience: Duration,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let reading = async || match keyspace.read(&self.key).await {
                Err(KeyError::Foreign(words)) => Ok(Err(words)),
                read => read.map(Ok).map_err(KeyError::into_reason),
            };
            let mut found = in_time(patience, reading()).await?;
            if let Ok(known) = &found
                && self.restored(&*keyspace, known, patience).await
            {
                found = in_time(patience, reading()).await?;
            }
            match found {
                Ok(found) => self.take_in(found),
                Err(words) => {
                    let error = self.foreign(&words);
                    self.report(Problem { stamp: None, error });
                }
            }
            Ok(())
        })
    }

    fn became_unreachable(&self, since: Instant) {
        self.amend(|here| {
            here.snapshot()
                .map(|snapshot| Here::Seen(snapshot.stale(since)))
        });
    }
}

impl<T: Shareable> ChangeListener<ValueChanged> for ValueReplica<T> {
    fn receive(&self, announced: ValueChanged, event: &ControlEvent<'_>) {
        if self.take_note(&announced, event).is_none() {
            self.refresh_state.behind();
        }
    }

    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::health::Counts;
    use crate::shared::contained::contained;

    fn replica<T: Shareable>() -> ValueReplica<T> {
        let stage = watch::channel(Stage::Open).1;
        ValueReplica {
            name: "limit".into(),
            key: "tidings:{default}:shared:limit".to_owned(),
            format: Format::Json,
            here: watch::Sender::new(Here::Nothing),
            refresh_state: RefreshState::new(Arc::default(), stage.clone(), watch::channel(()).1),
            updates: Updates::default(),
            runtime: Handle::current(),
            keyspace: Arc::new(KeyspaceAccess::new(Duration::from_secs(1))),
            reports: Arc::new(Reports::new(Arc::new(Counts::new()))),
            stage,
            when_lost: Mutex::default(),
        }
    }

    fn snapshot(version: u64, nonce: &str) -> Snapshot<u32> {
        let nonce = nonce.to_owned();
        Snapshot::new(Stamp { version, nonce }, Some(contained(7)))
    }

    #[tokio::test]
    async fn only_what_replaced_what_is_here_follows_it() {
        let replica = replica();
        assert!(replica.follow("", &snapshot(1, "a")).is_none());
        assert!(replica.follow_or_begin("x", &snapshot(1, "a")).is_some());
        assert!(replica.follow("x", &snapshot(2, "b")).is_none());
        assert!(replica.follow("a", &snapshot(2, "b")).is_some());
        // The answer to an earlier one that comes later.
        assert!(replica.follow_or_begin("x", &snapshot(1, "a")).is_none());
        assert_eq!(replica.stamp().as_ref(), Some(snapshot(2, "b").stamp()));
    }

    #[tokio::test]
    async fn an_announcement_that_leads_back_to_an_earlier_nonce_is_found_out_by_the_next_check() {
        let replica = replica();
        let in_redis = snapshot(5, "a");
        replica.put(in_redis.clone());

        for version in [5, 7, 999, u64::MAX] {
            let forged = snapshot(version, "b");
            assert!(replica.follow_announced("a", &forged).is_none());
        }
        assert!(replica.follow_announced("a", &snapshot(6, "b")).is_some());
        assert!(replica.follow_announced("b", &in_redis).is_none());
        assert!(replica.follow_announced("b", &snapshot(7, "a")).is_some());

        assert_ne!(replica.stamp().as_ref(), Some(in_redis.stamp()));
    }

    #[tokio::test]
    async fn what_follows_while_redis_is_away_is_as_stale_as_what_was_there() {
        let replica = replica();
        replica.put(snapshot(1, "a"));
        replica.became_unreachable(Instant::now());
        let followed = replica.follow("a", &snapshot(2, "b")).unwrap();
        assert!(followed.snapshot.stale_since().is_some());
        assert!(replica.snapshot().unwrap().stale_since().is_some());
        replica.confirm();
        assert!(replica.snapshot().unwrap().stale_since().is_none());
    }

    #[tokio::test]
    async fn a_value_is_dropped_where_it_may_look_at_itself() {
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
        replica.put(curious("a"));
        replica.put(curious("b"));
        let idle = replica.refresh_state.idle();
        let next = curious("c");
        let followed = replica
            .refresh_state
            .if_undisturbed(idle, || replica.follow("b", &next));
        assert!(followed.is_some());
    }

    #[tokio::test]
    async fn the_same_value_is_no_change() {
        let replica = replica::<u32>();
        let mut changes = replica.here.subscribe();
        replica.take_in(Found::Nothing);
        assert!(
            changes.has_changed().unwrap(),
            "it is known to be not there"
        );
        changes.mark_unchanged();

        replica.take_in(Found::Nothing);
        replica.became_unreachable(Instant::now());
        replica.confirm();

        assert!(!changes.has_changed().unwrap());
        assert!(replica.snapshot().unwrap().stale_since().is_none());
    }
}
