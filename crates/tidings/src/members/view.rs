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
use tokio::time::{Instant, sleep_until, timeout};

use super::events::Waiting;
use super::presence::Presence;
use super::roster::Roster;
use super::{Departure, Member, MemberEvent, MemberEvents, MembersError, profile};
use crate::failure::Reason;
use crate::kept::{Kept, Undone};
use crate::link::Stage;
use crate::notices::{Listener, Notice};
use crate::transport::keyspace::roll::Keys;

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
    inside: Mutex<Inside>,
    hinted: Notify,
    step: watch::Sender<Step>,
}

#[derive(Debug, Default)]
struct Inside {
    roster: Roster,
    /// Of whom a notice was heard, and why they left, where it said that.
    hints: BTreeMap<NodeId, Option<Departure>>,
    /// There were too many hints.
    must_load: bool,
    readers: Vec<Weak<Waiting>>,
    is_over: bool,
}

/// Whether what is known can be relied on.
#[derive(Clone, Debug, Default)]
enum Step {
    #[default]
    Loading,
    Settled,
    Off(Undone),
}

/// What a script announces.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Heard {
    Joined { id: NodeId },
    Left { id: NodeId, why: Departure },
}

impl View {
    /// Waits until the view is in step with Redis, or is known not to be.
    pub(super) async fn members(&self) -> Result<Vec<Member>, MembersError> {
        self.settled().await?;
        Ok(self.lock().roster.members().cloned().collect())
    }

    /// What `find` finds, as soon as it does or the patience is over. `None` too where the view is
    /// not in step.
    pub(super) async fn find<T>(
        &self,
        patience: Duration,
        find: impl Fn(&Roster) -> Option<T>,
    ) -> Result<Option<T>, MembersError> {
        let mut step = self.step.subscribe();
        let finding = async {
            loop {
                step.borrow_and_update();
                self.settled().await?;
                if let Some(found) = find(&self.lock().roster) {
                    return Ok(Some(found));
                }
                let _ = step.changed().await;
            }
        };
        timeout(patience, finding).await.unwrap_or(Ok(None))
    }

    pub(super) fn is_in_step(&self) -> bool {
        matches!(*self.step.borrow(), Step::Settled)
    }

    pub(super) fn has(&self, id: NodeId) -> bool {
        self.lock().roster.has(id)
    }

    /// Those who are there, and then each change; nothing once the bus has ended.
    pub(super) fn watch(&self) -> MemberEvents {
        let mut inside = self.lock();
        if inside.is_over {
            return inside.tells(Waiting::new(VecDeque::new(), true));
        }
        let there = inside.roster.members().cloned().map(MemberEvent::Joined);
        let there = there.collect();
        inside.tells(Waiting::new(there, false))
    }

    /// Who leaves from now on.
    pub(super) fn watch_departures(&self) -> MemberEvents {
        let mut inside = self.lock();
        let is_over = inside.is_over;
        inside.tells(Waiting::of_departures(is_over))
    }

    async fn settled(&self) -> Result<(), MembersError> {
        let mut step = self.step.subscribe();
        let settled = step.wait_for(|step| !matches!(step, Step::Loading)).await;
        match settled.as_deref() {
            Ok(Step::Off(undone)) => Err(undone.clone().into()),
            _ => Ok(()),
        }
    }

    fn end(&self) {
        let mut inside = self.lock();
        inside.is_over = true;
        let readers = take(&mut inside.readers);
        drop(inside);
        for reader in readers.iter().filter_map(Weak::upgrade) {
            reader.close();
        }
        let closed = crate::failure::Fate::NotSent(Reason::Closed);
        self.step.send_replace(Step::Off(Undone::Fate(closed)));
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn tells(&mut self, waiting: Waiting) -> MemberEvents {
        let waiting = Arc::new(waiting);
        self.readers.push(Arc::downgrade(&waiting));
        MemberEvents::new(waiting)
    }

    fn tell(&mut self, events: &[MemberEvent]) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            events.iter().cloned().for_each(|event| reader.push(event));
        }
    }
}

impl Listener for View {
    fn hear(&self, notice: &Notice<'_>) {
        // Redis is asked about what it says, so it does not matter who says it.
        let Ok(heard) = notice.payload.decode::<Heard>() else {
            return;
        };
        let mut inside = self.lock();
        match heard {
            Heard::Joined { id } => drop(inside.hints.entry(id).or_default()),
            Heard::Left { id, why } => drop(inside.hints.insert(id, Some(why))),
        }
        if inside.hints.len() > HINTS {
            inside.hints.clear();
            inside.must_load = true;
        }
        drop(inside);
        self.hinted.notify_one();
    }
}

/// The task that keeps the view.
pub(super) struct Follower {
    /// Also a task that is dropped before it began leaves nobody waiting.
    pub(super) view: Over,
    pub(super) presence: Arc<Presence>,
    pub(super) kept: Arc<Kept>,
    pub(super) keys: Keys,
    pub(super) missed: watch::Receiver<u64>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl Follower {
    /// The task: follows the members until the bus leaves.
    pub(super) async fn run(mut self) {
        let mut stage = self.stage.clone();
        tokio::select! {
            () = self.follow() => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
        }
    }

    async fn follow(&mut self) {
        let mut way = self.kept.watch();
        let mut counted = self.presence.counted.subscribe();
        let mut differed = false;
        let mut must_load = true;
        loop {
            let asked = self.ask(must_load).await;
            let is_well = asked.is_ok();
            self.settle(asked);
            must_load = !is_well;
            let due = self.due(is_well);
            tokio::select! {
                () = self.view.0.hinted.notified() => must_load |= take(&mut self.view.0.lock().must_load),
                _ = self.missed.changed() => must_load = true,
                _ = way.changed() => {
                    if let Err(Reason::Closed) = *way.borrow_and_update() {
                        return;
                    }
                    self.view.0.lock().roster.excuse_all();
                    must_load = true;
                }
                _ = counted.changed() => {
                    let differs = *counted.borrow_and_update() != self.view.0.lock().roster.present();
                    // A change may be under way: only what lasts is a mistake.
                    must_load |= differs && differed;
                    differed = differs;
                }
                () = sleep_until(due) => must_load = true,
            }
            if must_load {
                self.view.0.step.send_replace(Step::Loading);
            }
        }
    }

    /// Asks for all members, and for those of whom something was heard.
    async fn ask(&self, must_load: bool) -> Result<(), Undone> {
        if must_load {
            let list = self.kept.ask(|keys| keys.list(&self.keys)).await?;
            let members = list.iter().filter_map(|one| profile::read(one)).collect();
            let mut inside = self.view.0.lock();
            let events = inside.roster.take_list(members, Instant::now());
            inside.tell(&events);
        }
        loop {
            let hints = self.view.0.next_hints();
            if hints.is_empty() {
                return Ok(());
            }
            self.look_at(&hints).await?;
        }
    }

    async fn look_at(&self, hints: &[(NodeId, Option<Departure>)]) -> Result<(), Undone> {
        let ids: Vec<_> = hints.iter().map(|(id, _)| *id).collect();
        let asking = self.kept.ask(|keys| keys.describe(&self.keys, &ids));
        let descriptions = asking.await?;
        let now = Instant::now();
        let mut inside = self.view.0.lock();
        let events: Vec<_> = hints
            .iter()
            .zip(descriptions)
            .filter_map(|((id, why), description)| {
                let member = description.as_deref().and_then(profile::read);
                let member = member.filter(|member| member.id == *id);
                inside.roster.take_one(*id, member, *why, now)
            })
            .collect();
        inside.tell(&events);
        Ok(())
    }

    fn settle(&self, asked: Result<(), Undone>) {
        let step = match asked {
            Ok(()) => Step::Settled,
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

impl View {
    fn next_hints(&self) -> Vec<(NodeId, Option<Departure>)> {
        let mut inside = self.lock();
        let mut next = take(&mut inside.hints);
        if let Some((&beyond, _)) = next.iter().nth(AT_ONCE) {
            inside.hints = next.split_off(&beyond);
        }
        next.into_iter().collect()
    }
}

/// However the task ends, nobody is left waiting for it.
pub(super) struct Over(pub(super) Arc<View>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}
