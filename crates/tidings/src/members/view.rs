//! The task that keeps this bus's roster of members up to date.
//!
//! Change notifications are only hints about which members to load from Redis. So a program that
//! can publish on the channel cannot invent or remove a member.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Deserialize;
use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::members::MembersError;
use crate::error::send_failure::SendFailure;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::NotDone;
use crate::members::changes::Changes;
use crate::members::lease::Membership;
use crate::members::profile;
use crate::members::roster::Roster;
use crate::members::watch::{LeaveReason, MemberEvent, MemberWatch, Waiting, watch_waiting};
use crate::namespace::MemberKeys;
use crate::receive::control::{ControlEvent, ControlListener};
use crate::task::mutex::Mutex;
use crate::task::stage::{Stage, until_leaving};

/// The maximal number of members in one request.
const MAX_IDS: usize = 128;

/// The maximal number of pending hints; beyond it all members are loaded.
const MAX_HINTS: usize = 1_024;

/// The delay after a failed request.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The interval between loads of all members, in case no renewal shows missed changes.
const LOAD_INTERVAL: Duration = Duration::from_secs(30);

/// The members as this bus knows them.
#[derive(Debug, Default)]
pub(crate) struct View {
    state: Mutex<ViewState>,
    hinted: Notify,
    sync: watch::Sender<SyncState>,
}

#[derive(Debug, Default)]
struct ViewState {
    roster: Roster,
    changes: Changes,
    /// Members with a change notification, and the reason if they left.
    hints: BTreeMap<NodeId, Option<LeaveReason>>,
    /// There were too many hints: all members must be loaded.
    must_load: bool,
    /// The total number of hints.
    hinted: u64,
    readers: Vec<Weak<Waiting>>,
    has_ended: bool,
}

/// The state of the roster compared with Redis.
#[derive(Clone, Debug, Default)]
enum SyncState {
    #[default]
    Loading,
    /// This many hints were processed.
    Synced(u64),
    Failed(NotDone),
}

/// The change notification that a script sends.
#[derive(Deserialize)]
struct MemberChanged {
    id: NodeId,
    kind: Kind,
    change: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Joined,
    Left,
    Expired,
}

/// The hints that are processed together.
struct Hints {
    must_load: bool,
    of: Vec<(NodeId, Option<LeaveReason>)>,
    /// The total number of hints so far.
    hinted: u64,
}

impl View {
    /// Returns the result of `find` in the roster once it is up to date. If it is `None`, waits for
    /// changes until the patience ends. The time of requests to Redis does not count.
    pub(crate) async fn find<T>(
        &self,
        patience: Duration,
        find: impl Fn(&Roster) -> Option<T>,
    ) -> Result<Option<T>, MembersError> {
        let mut sync = self.sync.subscribe();
        let mut hinted = self.state.lock().hinted;
        self.synced(hinted).await?;
        let deadline = Instant::now() + patience;
        loop {
            sync.borrow_and_update();
            self.synced(hinted).await?;
            let found = find(&self.state.lock().roster);
            if found.is_some() || Instant::now() >= deadline {
                return Ok(found);
            }
            let _ = timeout_at(deadline, sync.changed()).await;
            hinted = self.state.lock().hinted;
        }
    }

    /// Requests that this member is loaded.
    pub(crate) fn hint(&self, id: NodeId) {
        let mut state = self.state.lock();
        state.hint(id, None);
        drop(state);
        self.hinted.notify_one();
    }

    pub(crate) fn is_synced(&self) -> bool {
        let hinted = self.state.lock().hinted;
        self.sync.borrow().is_synced(hinted)
    }

    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.state.lock().roster.contains(id)
    }

    /// Returns the name of a member, if it is known.
    pub(crate) fn name(&self, id: NodeId) -> Option<Arc<str>> {
        let state = self.state.lock();
        state.roster.get(id).map(|member| Arc::from(&*member.name))
    }

    /// Returns a watch that yields the present members and then each change. It has ended if the
    /// bus has.
    pub(crate) fn watch(&self) -> MemberWatch {
        let mut state = self.state.lock();
        let members = state.roster.members().filter(|_| !state.has_ended);
        let waiting = Waiting::new(members.cloned().map(MemberEvent::Joined));
        state.subscribe(waiting)
    }

    /// Returns a watch of departures from now on.
    pub(crate) fn watch_departures(&self) -> MemberWatch {
        self.state.lock().subscribe(Waiting::of_departures())
    }

    /// Waits until this many hints were processed, or loading failed. After a failure that may be
    /// over, Redis is asked again first.
    async fn synced(&self, hinted: u64) -> Result<(), MembersError> {
        let mut sync = self.sync.subscribe();
        let may_be_over = matches!(
            &*sync.borrow_and_update(),
            SyncState::Failed(error) if error.may_pass()
        );
        if may_be_over {
            self.hinted.notify_one();
            // Cannot fail: `self` keeps the sender.
            let _ = sync.changed().await;
        }
        let is_known =
            |sync: &SyncState| sync.is_synced(hinted) || matches!(sync, SyncState::Failed(_));
        let synced = sync.wait_for(is_known).await;
        match synced.as_deref() {
            Ok(SyncState::Failed(error)) => Err(error.clone().into()),
            _ => Ok(()),
        }
    }

    fn end(&self, reason: SendFailure) {
        let mut state = self.state.lock();
        state.has_ended = true;
        let readers = take(&mut state.readers);
        drop(state);
        for reader in readers.iter().filter_map(Weak::upgrade) {
            reader.close();
        }
        self.sync
            .send_replace(SyncState::Failed(NotDone::not_sent(reason)));
    }
}

impl SyncState {
    fn is_synced(&self, hinted: u64) -> bool {
        matches!(self, Self::Synced(processed) if *processed >= hinted)
    }
}

impl ViewState {
    fn hint(&mut self, id: NodeId, why: Option<LeaveReason>) {
        self.hinted += 1;
        let hint = self.hints.entry(id).or_default();
        *hint = why.or(*hint);
        if self.hints.len() > MAX_HINTS {
            self.hints.clear();
            self.must_load = true;
        }
    }

    /// Takes back hints whose members could not be loaded.
    fn put_back(&mut self, hints: Hints) {
        for (id, why) in hints.of {
            let hint = self.hints.entry(id).or_default();
            *hint = hint.or(why);
        }
    }

    fn take_hints(&mut self) -> Hints {
        Hints {
            must_load: take(&mut self.must_load),
            of: take(&mut self.hints).into_iter().collect(),
            hinted: self.hinted,
        }
    }

    fn subscribe(&mut self, waiting: Waiting) -> MemberWatch {
        let waiting = Arc::new(waiting);
        if self.has_ended {
            waiting.close();
        }
        // Before more memory is taken, those that were dropped are removed.
        if self.readers.len() == self.readers.capacity() {
            self.readers.retain(|reader| reader.strong_count() > 0);
        }
        self.readers.push(Arc::downgrade(&waiting));
        watch_waiting(waiting)
    }

    fn notify(&mut self, events: &[MemberEvent]) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            events.iter().cloned().for_each(|event| reader.push(event));
        }
    }
}

impl ControlListener for View {
    fn receive(&self, event: &ControlEvent<'_>) {
        // Redis is the source of truth, so the sender need not be trusted.
        let Ok(received) = event.payload.decode::<MemberChanged>() else {
            return;
        };
        let why = match received.kind {
            Kind::Joined => None,
            Kind::Left => Some(LeaveReason::ShutDown),
            Kind::Expired => Some(LeaveReason::Vanished),
        };
        let mut state = self.state.lock();
        state.changes.receive(received.change);
        state.hint(received.id, why);
        drop(state);
        self.hinted.notify_one();
    }
}

/// The task that keeps the roster up to date.
pub(crate) struct ViewTask {
    /// Releases waiting callers, also if the task is dropped before it ran.
    pub(crate) view: ViewGuard,
    pub(crate) membership: Arc<Membership>,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) keys: MemberKeys,
    pub(crate) missed: watch::Receiver<u64>,
}

impl ViewTask {
    /// Follows the members until the bus leaves.
    pub(crate) async fn run(mut self) {
        let stage = self.view.1.clone();
        until_leaving(stage, self.run_until_closed()).await;
    }

    async fn run_until_closed(&mut self) {
        let mut availability = self.keyspace.watch();
        let mut changed = self.membership.changed.subscribe();
        let mut must_load = true;
        loop {
            let loaded = self.load(must_load).await;
            let is_ok = loaded.is_ok();
            self.set_sync(loaded);
            must_load = !is_ok;
            let due = self.due(is_ok);
            tokio::select! {
                () = self.view.0.hinted.notified() => {}
                _ = self.missed.changed() => must_load = true,
                _ = availability.changed() => {
                    if let Err(SendFailure::Closed) = *availability.borrow_and_update() {
                        return;
                    }
                    self.view.0.state.lock().roster.reset_timers();
                    must_load = true;
                }
                _ = changed.changed() => {
                    let last = *changed.borrow_and_update();
                    must_load |= self.view.0.state.lock().changes.were_missed(last);
                }
                () = sleep_until(due) => must_load = true,
            }
            if must_load {
                self.view.0.sync.send_replace(SyncState::Loading);
            }
        }
    }

    /// Loads all members, or those with hints. Returns the number of hints that this covers.
    async fn load(&self, must_load: bool) -> Result<u64, NotDone> {
        let hints = self.view.0.state.lock().take_hints();
        let hinted = hints.hinted;
        match self.load_hinted(must_load || hints.must_load, &hints).await {
            Ok(()) => Ok(hinted),
            Err(error) => {
                let mut state = self.view.0.state.lock();
                // They say why a member left, which the list does not.
                state.put_back(hints);
                state.roster.reset_timers();
                Err(error)
            }
        }
    }

    async fn load_hinted(&self, must_load: bool, hints: &Hints) -> Result<(), NotDone> {
        if must_load {
            let listed = self.keyspace.request(|keys| keys.list(&self.keys)).await?;
            let members = profile::read_all(&listed);
            let mut state = self.view.0.state.lock();
            state.changes.load(listed.change);
            let events = state.roster.apply_list(members, Instant::now());
            state.notify(&events);
        }
        for some in hints.of.chunks(MAX_IDS) {
            self.load_some(some).await?;
        }
        Ok(())
    }

    async fn load_some(&self, hints: &[(NodeId, Option<LeaveReason>)]) -> Result<(), NotDone> {
        let ids: Vec<_> = hints.iter().map(|(id, _)| *id).collect();
        let request = self
            .keyspace
            .request(|keys| keys.describe(&self.keys, &ids));
        let descriptions = request.await?;
        let now = Instant::now();
        let mut state = self.view.0.state.lock();
        let events: Vec<_> = hints
            .iter()
            .zip(descriptions)
            .filter_map(|((id, why), description)| {
                let member = description.and_then(|one| profile::read(*id, &one));
                state.roster.apply_one(*id, member, *why, now)
            })
            .collect();
        state.notify(&events);
        Ok(())
    }

    fn set_sync(&self, loaded: Result<u64, NotDone>) {
        let sync = match loaded {
            Ok(hinted) => SyncState::Synced(hinted),
            Err(error) => {
                tracing::debug!(?error, "cannot load the members");
                SyncState::Failed(error)
            }
        };
        // Also if it is the same: callers may wait for a change of the roster.
        self.view.0.sync.send_replace(sync);
    }

    /// Returns when all members are loaded at the latest.
    fn due(&self, is_ok: bool) -> Instant {
        let now = Instant::now();
        if !is_ok {
            return now + RETRY_DELAY;
        }
        let expiry = self.view.0.state.lock().roster.next_expiry();
        expiry.map_or(now + LOAD_INTERVAL, |at| at.min(now + LOAD_INTERVAL))
    }
}

/// Releases waiting callers however the task ends.
pub(crate) struct ViewGuard(pub(crate) Arc<View>, pub(crate) watch::Receiver<Stage>);

impl Drop for ViewGuard {
    fn drop(&mut self) {
        self.0.end(SendFailure::of_end(*self.1.borrow()));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ID: NodeId = NodeId::new(7);

    fn nobody(_: &Roster) -> Option<()> {
        None
    }

    #[tokio::test]
    async fn a_search_waits_for_earlier_hints_only() {
        let view = View::default();
        view.sync.send_replace(SyncState::Synced(0));
        assert!(view.is_synced());

        view.hint(ID);

        assert!(!view.is_synced());
        let mut finding = std::pin::pin!(view.find(Duration::ZERO, nobody));
        assert!((&mut finding).now_or_never().is_none());
        let hinted = view.state.lock().take_hints().hinted;
        // A later hint does not delay it.
        view.hint(ID);
        view.sync.send_replace(SyncState::Synced(hinted));
        assert!(matches!(finding.now_or_never(), Some(Ok(None))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_waits_for_a_load_longer_than_its_patience() {
        let view = View::default();
        let mut finding = std::pin::pin!(view.find(Duration::ZERO, nobody));
        assert!((&mut finding).now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!((&mut finding).now_or_never().is_none());

        let lost = NotDone::unknown(SendFailure::Lost);
        view.sync.send_replace(SyncState::Failed(lost));

        assert!(matches!(finding.now_or_never(), Some(Err(_))));
    }

    #[tokio::test]
    async fn a_view_task_that_never_ran_releases_waiting_callers() {
        let view = Arc::<View>::default();

        drop(ViewGuard(
            Arc::clone(&view),
            watch::channel(Stage::Leaving).1,
        ));

        assert!(view.find(Duration::ZERO, nobody).await.is_err());
        assert_eq!(view.watch().next().await, None);
    }
}
