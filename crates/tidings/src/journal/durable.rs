//! The task of a durable name: keeps its lease, takes over, and stores how far the handlers are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::journal::position::Place;
use crate::journal::role::{Durable, LEASE, Role};
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::answer::JournalError;
use crate::keyspace::journal::positions::{Claim, Taken};
use crate::task::random::jitter;
use crate::task::stage::{Stage, reached};

/// The time between two renewals while nothing new is finished.
const RENEWAL: Duration = Duration::from_secs(5);

/// The time between two attempts to take the lease, and the minimum between two places.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two attempts to end the lease.
const AGAIN: Duration = Duration::from_millis(50);

/// The maximum wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tries once to take the lease.
pub(crate) async fn take(
    store: &dyn JournalStore,
    durable: &Durable,
) -> Result<Role, JournalError> {
    let asked = Instant::now();
    Ok(match store.take(&durable.claim()).await? {
        Taken::Ours {
            place,
            mut predecessors,
        } => {
            durable.held_at.send_replace(asked);
            // Without a place that can be read, everything is read.
            let from = place.and_then(|place| place.parse().ok());
            // What was sent to this bus alone, it has received as a standby.
            predecessors.retain(|node| *node != durable.me);
            predecessors.sort_unstable();
            predecessors.dedup();
            Role::Holder { from, predecessors }
        }
        Taken::Others(holder) => Role::Standby { holder },
    })
}

/// Keeps the role of the bus up to date until it ends.
pub(crate) async fn keep(
    durable: Arc<Durable>,
    store: watch::Receiver<Option<Arc<dyn JournalStore>>>,
    mut stage: watch::Receiver<Stage>,
) {
    let _end = End(Arc::clone(&durable));
    let mut keeper = Keeper {
        durable: &durable,
        stored: None,
        renewed: None,
        is_warned: false,
    };
    loop {
        tokio::select! {
            biased;
            // The handlers have ended.
            () = durable.ending.notified() => return keeper.end(store).await,
            // The bus was dropped: its lease ends by itself.
            _ = reached(&mut stage, Stage::Leaving) => return,
            () = sleep(jitter(PAUSE, 0.9..1.1)) => {}
        }
        let store = store.borrow().clone();
        if let Some(store) = store {
            keeper.look(&*store).await;
        }
    }
}

/// The state of the task.
struct Keeper<'a> {
    durable: &'a Durable,
    /// The last place that was stored.
    stored: Option<Place>,
    /// The time of the last renewal.
    renewed: Option<Instant>,
    /// True once an error was logged that is not over.
    is_warned: bool,
}

impl Keeper<'_> {
    /// Renews or takes the lease, if it is time.
    async fn look(&mut self, store: &dyn JournalStore) {
        let is_holder = matches!(*self.durable.role.borrow(), Role::Holder { .. });
        let looking = async {
            if is_holder {
                self.renew(store).await
            } else {
                self.take_over(store).await
            }
        };
        let looked = timeout(TIMEOUT, looking).await;
        match looked.unwrap_or(Err(JournalError::Lost)) {
            Ok(()) => self.is_warned = false,
            Err(error) if !self.is_warned => {
                self.is_warned = true;
                let (node, name) = (self.durable.me, &self.durable.name);
                tracing::warn!(%node, name, %error, "cannot keep the position of a durable name");
            }
            Err(_) => {}
        }
    }

    async fn renew(&mut self, store: &dyn JournalStore) -> Result<(), JournalError> {
        let place = self.place_to_store();
        let is_due = self.renewed.is_none_or(|at| at.elapsed() >= RENEWAL);
        if place.is_none() && !is_due {
            return Ok(());
        }
        let claim = self.durable.claim();
        let asked = Instant::now();
        let place_text = place.map(|place| place.to_string());
        let renewed = store.renew(&claim, place_text).await;
        // A renewal looks for another holder before it writes, so a rejected write tells that there is
        // none. A denial may be of the whole command.
        let is_held = match &renewed {
            Ok(holder) => holder.is_none(),
            Err(error) => matches!(error, JournalError::Refused { .. }),
        };
        if is_held {
            self.durable.held_at.send_replace(asked);
        }
        if let Some(holder) = renewed? {
            // What is finished from now on is the other node's to store.
            self.durable.ledger.pause();
            self.set_role(Role::Standby { holder });
            self.stored = None;
            return Ok(());
        }
        self.stored = place.or(self.stored);
        self.renewed = Some(Instant::now());
        Ok(())
    }

    async fn take_over(&mut self, store: &dyn JournalStore) -> Result<(), JournalError> {
        let role = take(store, self.durable).await?;
        if matches!(role, Role::Holder { .. }) {
            self.renewed = Some(Instant::now());
        }
        self.set_role(role);
        Ok(())
    }

    /// Stores the last place, and ends the lease; waits for a connection, if there is none.
    async fn end(&mut self, mut stores: watch::Receiver<Option<Arc<dyn JournalStore>>>) {
        if matches!(*self.durable.role.borrow(), Role::Standby { .. }) {
            return;
        }
        let place = self.place_to_store().map(|place| place.to_string());
        let claim = self.durable.claim();
        let ending = async {
            loop {
                let store = stores.wait_for(Option::is_some).await;
                let Some(store) = store.ok().and_then(|store| store.clone()) else {
                    return Err(JournalError::Lost);
                };
                match store.release(&claim, place.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(refused @ (JournalError::Refused { .. } | JournalError::Denied { .. })) => {
                        return Err(refused);
                    }
                    Err(_) => sleep(AGAIN).await,
                }
            }
        };
        let ended = timeout(TIMEOUT, ending).await;
        if let Err(error) = ended.unwrap_or(Err(JournalError::Lost)) {
            let (node, name) = (self.durable.me, &self.durable.name);
            tracing::warn!(%node, name, %error, "cannot store the last position of a durable name");
        }
    }

    /// The place up to which everything is finished, if it is not stored.
    fn place_to_store(&self) -> Option<Place> {
        let finished = self.durable.ledger.finished();
        finished.filter(|place| *place != Place::START && Some(*place) != self.stored)
    }

    fn set_role(&self, role: Role) {
        if self.durable.set_role(&role) {
            let (node, name) = (self.durable.me, &self.durable.name);
            match role {
                Role::Holder { .. } => {
                    tracing::info!(%node, name, "this bus reads for the durable name now");
                }
                Role::Standby { holder } => {
                    tracing::info!(%node, name, holder, "another bus reads for the durable name");
                }
            }
        }
    }
}

impl Durable {
    fn claim(&self) -> Claim {
        let (max_age, max_bytes) = self.limits;
        Claim {
            name: self.name.clone(),
            me: self.me,
            lease: LEASE,
            max_age,
            max_bytes,
        }
    }
}

/// Says that the task has ended, however it ended.
struct End(Arc<Durable>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.has_ended.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use tidings_codec::NodeId;

    use super::*;
    use crate::event::position::JournalPosition;
    use crate::keyspace::journal::positions::Positions as _;
    use crate::keyspace::memory::MemoryKeys;
    use crate::memory;
    use crate::observe::journal::JournalMeter;

    /// Long enough for a task with a paused clock.
    const SOON: Duration = Duration::from_secs(3);

    /// A bus with the durable name `billing`.
    struct Bus {
        durable: Arc<Durable>,
        store: watch::Sender<Option<Arc<dyn JournalStore>>>,
        stage: watch::Sender<Stage>,
    }

    impl Bus {
        /// Starts the bus with this number, and its task.
        async fn start(journal: &MemoryKeys, number: u128) -> Self {
            let limits = (Duration::from_secs(9), 7);
            let meter = Arc::new(JournalMeter::new());
            let name = "billing".to_owned();
            let durable = Durable::new(name, NodeId::new(number), limits, meter);
            let role = take(journal, &durable).await.unwrap();
            durable.set_role(&role);
            let store: Arc<dyn JournalStore> = Arc::new(journal.clone());
            let bus = Self {
                durable: Arc::new(durable),
                store: watch::Sender::new(Some(store)),
                stage: watch::Sender::new(Stage::Open),
            };
            let (store, stage) = (bus.store.subscribe(), bus.stage.subscribe());
            tokio::spawn(keep(Arc::clone(&bus.durable), store, stage));
            bus
        }

        fn role(&self) -> Role {
            self.durable.role.borrow().clone()
        }

        /// The handlers have finished everything up to here.
        fn finish(&self, ms: u64) {
            self.durable.ledger.restart(place(ms));
        }
    }

    fn place(ms: u64) -> Place {
        Place {
            id: JournalPosition::at(ms),
            ..Place::START
        }
    }

    fn journal() -> MemoryKeys {
        let name = format!("{:016x}", fastrand::u64(..));
        let place = memory::Place::of(&name, "shop");
        MemoryKeys { place }
    }

    async fn stored(journal: &MemoryKeys) -> Option<Place> {
        let all = journal.positions().await.unwrap();
        all[0].place.as_deref().and_then(|place| place.parse().ok())
    }

    fn holder(from: Option<Place>, predecessors: &[u128]) -> Role {
        let predecessors = predecessors.iter().copied().map(NodeId::new).collect();
        Role::Holder { from, predecessors }
    }

    fn standby(number: u128) -> Role {
        let holder = NodeId::new(number).to_string();
        Role::Standby { holder }
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_the_holder_is_stored_and_the_standby_begins_there() {
        let journal = journal();
        let (one, other) = (Bus::start(&journal, 1).await, Bus::start(&journal, 2).await);
        assert_eq!(one.role(), holder(None, &[]));
        assert_eq!(other.role(), standby(1));
        sleep(SOON).await;
        assert_eq!(stored(&journal).await, None);
        one.finish(5);
        // A standby's ledger is not stored.
        other.durable.ledger.pause();
        sleep(SOON).await;
        assert_eq!(stored(&journal).await, Some(place(5)));

        one.finish(6);
        one.durable.end().await;
        assert_eq!(stored(&journal).await, Some(place(6)));
        sleep(SOON).await;
        let from = Some(place(6));
        assert_eq!(other.role(), holder(from, &[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_of_before_the_takeover_is_not_stored() {
        let journal = journal();
        let (one, other) = (Bus::start(&journal, 1).await, Bus::start(&journal, 2).await);
        one.finish(5);
        one.durable.end().await;
        sleep(SOON).await;
        assert!(matches!(other.role(), Role::Holder { .. }));
        // The reader of `other` has not begun again.
        let entry = other.durable.ledger.enter();
        other.durable.ledger.read(place(9));
        drop(entry);
        sleep(2 * RENEWAL).await;
        assert_eq!(stored(&journal).await, Some(place(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_finds_another_one_becomes_the_standby() {
        let journal = journal();
        let one = Bus::start(&journal, 1).await;
        one.finish(5);
        sleep(SOON).await;
        one.store.send_replace(None);
        journal.remove("billing").await.unwrap();
        let other = Bus::start(&journal, 2).await;
        assert_eq!(other.role(), holder(None, &[]));
        one.finish(7);
        one.store.send_replace(Some(Arc::new(journal.clone())));
        sleep(SOON).await;
        assert_eq!((one.role(), stored(&journal).await), (standby(2), None));
        one.durable.end().await;
        assert_eq!(other.role(), holder(None, &[]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_takes_a_lost_lease_again_with_its_own_place() {
        let journal = journal();
        let one = Bus::start(&journal, 1).await;
        one.finish(5);
        sleep(SOON).await;
        journal.remove("billing").await.unwrap();
        one.finish(6);
        sleep(SOON).await;
        assert_eq!(stored(&journal).await, Some(place(6)));
        assert!(matches!(one.role(), Role::Holder { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_ends_after_a_reconnect_if_there_is_no_connection() {
        let journal = journal();
        let one = Bus::start(&journal, 1).await;
        one.finish(5);
        one.store.send_replace(None);
        let durable = Arc::clone(&one.durable);
        let ending = tokio::spawn(async move { durable.end().await });
        sleep(SOON).await;

        one.store.send_replace(Some(Arc::new(journal.clone())));
        ending.await.unwrap();

        assert_eq!(stored(&journal).await, Some(place(5)));
        let other = Bus::start(&journal, 2).await;
        let from = Some(place(5));
        assert_eq!(other.role(), holder(from, &[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_lease_waits_for_no_connection_without_a_limit() {
        let journal = journal();
        let one = Bus::start(&journal, 1).await;
        one.finish(5);
        one.store.send_replace(None);

        timeout(2 * TIMEOUT, one.durable.end()).await.unwrap();

        assert_eq!(stored(&journal).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_ends_with_its_bus() {
        let journal = journal();
        let one = Bus::start(&journal, 1).await;
        one.finish(5);
        one.stage.send_replace(Stage::Leaving);
        let mut has_ended = one.durable.has_ended.subscribe();
        has_ended.wait_for(|has_ended| *has_ended).await.unwrap();
        // Events that nobody handles any more do not count.
        assert_eq!(stored(&journal).await, None);
    }
}
