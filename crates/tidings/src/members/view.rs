//! What this bus knows of the members without asking each time: one task keeps it.
//!
//! Notices are taken as hints alone: they say whom to ask Redis about. So whoever can publish on
//! the channel cannot invent a member, or take one away.

use std::collections::{BTreeMap, VecDeque};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::Deserialize;
use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::members::MembersError;
use crate::error::send_failure::SendFailure;
use crate::keyspace::access::{KeyspaceAccess, NotDone};
use crate::keyspace::member_list::Keys;
use crate::members::changes::Changes;
use crate::members::lease::Membership;
use crate::members::profile;
use crate::members::roster::Roster;
use crate::members::watch::{LeaveReason, MemberEvent, MemberWatch, Waiting};
use crate::receive::control::{ControlEvent, ControlListener};
use crate::task::stage::Stage;

/// How many members are asked about at once.
const AT_ONCE: usize = 128;

/// How many hints wait; more are a reason to ask for all members.
const HINTS: usize = 1_024;

/// How soon Redis is asked again after it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// How often all members are asked for at least, where no renewal of a lease counts them.
const EVERY: Duration = Duration::from_secs(30);

/// The members as this bus knows them.
#[derive(Debug, Default)]
pub(crate) struct View {
    inside: Mutex<ViewState>,
    hinted: Notify,
    step: watch::Sender<Step>,
}

#[derive(Debug, Default)]
struct ViewState {
    roster: Roster,
    changes: Changes,
    /// Of whom a notice was heard, and why they left, where it said that.
    hints: BTreeMap<NodeId, Option<LeaveReason>>,
    /// There were too many hints.
    must_load: bool,
    /// How many hints there ever were.
    hinted: u64,
    readers: Vec<Weak<Waiting>>,
    is_over: bool,
}

/// Whether what is known can be relied on.
#[derive(Clone, Debug, Default)]
enum Step {
    #[default]
    Loading,
    /// So many hints were looked at.
    Settled(u64),
    Off(NotDone),
}

/// What a script announces.
#[derive(Deserialize)]
struct Heard {
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

/// What is looked at together.
struct Hints {
    must_load: bool,
    of: Vec<(NodeId, Option<LeaveReason>)>,
    /// How many hints there were up to now.
    hinted: u64,
}

impl View {
    /// What `find` finds in what is known once the view is in step; where that is nothing, as soon
    /// as it is something, until the patience is over. What has to be asked for takes its own time.
    pub(crate) async fn find<T>(
        &self,
        patience: Duration,
        find: impl Fn(&Roster) -> Option<T>,
    ) -> Result<Option<T>, MembersError> {
        let mut step = self.step.subscribe();
        let mut hinted = self.lock().hinted;
        self.settled(hinted).await?;
        let deadline = Instant::now() + patience;
        loop {
            step.borrow_and_update();
            self.settled(hinted).await?;
            let found = find(&self.lock().roster);
            if found.is_some() || Instant::now() >= deadline {
                return Ok(found);
            }
            let _ = timeout_at(deadline, step.changed()).await;
            hinted = self.lock().hinted;
        }
    }

    /// Has Redis asked about this one.
    pub(crate) fn hint(&self, id: NodeId) {
        let mut inside = self.lock();
        inside.hint(id, None);
        drop(inside);
        self.hinted.notify_one();
    }

    pub(crate) fn is_in_step(&self) -> bool {
        let hinted = self.lock().hinted;
        self.step.borrow().is_settled(hinted)
    }

    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.lock().roster.has(id)
    }

    /// Those who are there, and then each change; nothing once the bus has ended.
    pub(crate) fn watch(&self) -> MemberWatch {
        let mut inside = self.lock();
        if inside.is_over {
            return inside.tells(Waiting::new(VecDeque::new(), true));
        }
        let there = inside.roster.members().cloned().map(MemberEvent::Joined);
        let there = there.collect();
        inside.tells(Waiting::new(there, false))
    }

    /// Who leaves from now on.
    pub(crate) fn watch_departures(&self) -> MemberWatch {
        let mut inside = self.lock();
        let is_over = inside.is_over;
        inside.tells(Waiting::of_departures(is_over))
    }

    /// Waits until so many hints were looked at, or it is known that they cannot be. A refusal that
    /// may be over by now is not repeated: Redis is asked again.
    async fn settled(&self, hinted: u64) -> Result<(), MembersError> {
        let mut step = self.step.subscribe();
        let may_be_over = matches!(
            &*step.borrow_and_update(),
            Step::Off(undone) if undone.may_pass()
        );
        if may_be_over {
            self.hinted.notify_one();
            // It never fails: `self` keeps the other end.
            let _ = step.changed().await;
        }
        let is_known = |step: &Step| step.is_settled(hinted) || matches!(step, Step::Off(_));
        let settled = step.wait_for(is_known).await;
        match settled.as_deref() {
            Ok(Step::Off(undone)) => Err(undone.clone().into()),
            _ => Ok(()),
        }
    }

    fn end(&self, reason: SendFailure) {
        let mut inside = self.lock();
        inside.is_over = true;
        let readers = take(&mut inside.readers);
        drop(inside);
        for reader in readers.iter().filter_map(Weak::upgrade) {
            reader.close();
        }
        let ended = crate::error::send_failure::Unconfirmed::NotSent(reason);
        self.step
            .send_replace(Step::Off(NotDone::Unconfirmed(ended)));
    }

    fn lock(&self) -> MutexGuard<'_, ViewState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    fn is_settled(&self, hinted: u64) -> bool {
        matches!(self, Self::Settled(looked_at) if *looked_at >= hinted)
    }
}

impl ViewState {
    fn hint(&mut self, id: NodeId, why: Option<LeaveReason>) {
        self.hinted += 1;
        let hint = self.hints.entry(id).or_default();
        *hint = why.or(*hint);
        if self.hints.len() > HINTS {
            self.hints.clear();
            self.must_load = true;
        }
    }

    fn take_hints(&mut self) -> Hints {
        Hints {
            must_load: take(&mut self.must_load),
            of: take(&mut self.hints).into_iter().collect(),
            hinted: self.hinted,
        }
    }

    fn tells(&mut self, waiting: Waiting) -> MemberWatch {
        let waiting = Arc::new(waiting);
        self.readers.push(Arc::downgrade(&waiting));
        MemberWatch::new(waiting)
    }

    fn tell(&mut self, events: &[MemberEvent]) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            events.iter().cloned().for_each(|event| reader.push(event));
        }
    }
}

impl ControlListener for View {
    fn receive(&self, event: &ControlEvent<'_>) {
        // Redis is asked about what it says, so it does not matter who says it.
        let Ok(received) = event.payload.decode::<Heard>() else {
            return;
        };
        let why = match received.kind {
            Kind::Joined => None,
            Kind::Left => Some(LeaveReason::Goodbye),
            Kind::Expired => Some(LeaveReason::Vanished),
        };
        let mut inside = self.lock();
        inside.changes.receive(received.change);
        inside.hint(received.id, why);
        drop(inside);
        self.hinted.notify_one();
    }
}

/// The task that keeps the view.
pub(crate) struct Follower {
    /// Also a task that is dropped before it began leaves nobody waiting.
    pub(crate) view: Over,
    pub(crate) membership: Arc<Membership>,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) keys: Keys,
    pub(crate) missed: watch::Receiver<u64>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl Follower {
    /// The task: follows the members until the bus leaves.
    pub(crate) async fn run(mut self) {
        let mut stage = self.stage.clone();
        tokio::select! {
            () = self.follow() => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
        }
    }

    async fn follow(&mut self) {
        let mut way = self.keyspace.watch();
        let mut changed = self.membership.changed.subscribe();
        let mut must_load = true;
        loop {
            let asked = self.ask(must_load).await;
            let is_well = asked.is_ok();
            self.settle(asked);
            must_load = !is_well;
            let due = self.due(is_well);
            tokio::select! {
                () = self.view.0.hinted.notified() => {}
                _ = self.missed.changed() => must_load = true,
                _ = way.changed() => {
                    if let Err(SendFailure::Closed) = *way.borrow_and_update() {
                        return;
                    }
                    self.view.0.lock().roster.excuse_all();
                    must_load = true;
                }
                _ = changed.changed() => {
                    let last = *changed.borrow_and_update();
                    must_load |= self.view.0.lock().changes.were_missed(last);
                }
                () = sleep_until(due) => must_load = true,
            }
            if must_load {
                self.view.0.step.send_replace(Step::Loading);
            }
        }
    }

    /// Asks for all members, and for those of whom something was heard; how many hints there were.
    async fn ask(&self, must_load: bool) -> Result<u64, NotDone> {
        let hints = self.view.0.lock().take_hints();
        if must_load || hints.must_load {
            let listed = self.keyspace.ask(|keys| keys.list(&self.keys)).await?;
            let members = profile::read_all(&listed);
            let mut inside = self.view.0.lock();
            inside.changes.load(listed.change);
            let events = inside.roster.take_list(members, Instant::now());
            inside.tell(&events);
        }
        for some in hints.of.chunks(AT_ONCE) {
            self.look_at(some).await?;
        }
        Ok(hints.hinted)
    }

    async fn look_at(&self, hints: &[(NodeId, Option<LeaveReason>)]) -> Result<(), NotDone> {
        let ids: Vec<_> = hints.iter().map(|(id, _)| *id).collect();
        let asking = self.keyspace.ask(|keys| keys.describe(&self.keys, &ids));
        let descriptions = asking.await?;
        let now = Instant::now();
        let mut inside = self.view.0.lock();
        let events: Vec<_> = hints
            .iter()
            .zip(descriptions)
            .filter_map(|((id, why), description)| {
                let member = description.and_then(|one| profile::read(*id, &one));
                inside.roster.take_one(*id, member, *why, now)
            })
            .collect();
        inside.tell(&events);
        Ok(())
    }

    fn settle(&self, asked: Result<u64, NotDone>) {
        let step = match asked {
            Ok(hinted) => Step::Settled(hinted),
            Err(undone) => {
                tracing::debug!(?undone, "cannot ask who is there");
                Step::Off(undone)
            }
        };
        // Also where it is the same: somebody may wait for a change of the roster.
        self.view.0.step.send_replace(step);
    }

    /// When all members are asked for at the latest.
    fn due(&self, is_well: bool) -> Instant {
        let now = Instant::now();
        if !is_well {
            return now + AGAIN;
        }
        let departure = self.view.0.lock().roster.next_departure();
        departure.map_or(now + EVERY, |at| at.min(now + EVERY))
    }
}

/// However the task ends, nobody is left waiting for it.
pub(crate) struct Over(pub(crate) Arc<View>, pub(crate) watch::Receiver<Stage>);

impl Drop for Over {
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
    async fn what_was_heard_before_it_was_asked_for_counts() {
        let view = View::default();
        view.step.send_replace(Step::Settled(0));
        assert!(view.is_in_step());

        view.hint(ID);

        assert!(!view.is_in_step());
        let mut finding = std::pin::pin!(view.find(Duration::ZERO, nobody));
        assert!((&mut finding).now_or_never().is_none());
        let hinted = view.lock().take_hints().hinted;
        // What is heard later does not hold it up.
        view.hint(ID);
        view.step.send_replace(Step::Settled(hinted));
        assert!(matches!(finding.now_or_never(), Some(Ok(None))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_takes_longer_than_the_patience_is_waited_for() {
        let view = View::default();
        let mut finding = std::pin::pin!(view.find(Duration::ZERO, nobody));
        assert!((&mut finding).now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!((&mut finding).now_or_never().is_none());

        let lost = NotDone::Unconfirmed(crate::error::send_failure::Unconfirmed::Unknown(
            SendFailure::Lost,
        ));
        view.step.send_replace(Step::Off(lost));

        assert!(matches!(finding.now_or_never(), Some(Err(_))));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_view_whose_task_never_began() {
        let view = Arc::<View>::default();

        drop(Over(Arc::clone(&view), watch::channel(Stage::Leaving).1));

        assert!(view.find(Duration::ZERO, nobody).await.is_err());
        assert_eq!(view.watch().next().await, None);
    }
}
