//! The state that all clones of a bus share.

use std::sync::{Arc, OnceLock};

use futures_util::future::{BoxFuture, Shared};
use tidings_codec::NodeId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::bus::states::States;
use crate::error::send_failure::SendFailure;
use crate::error::shutdown::ShutdownError;
use crate::journal::role::Durable;
use crate::journal::state::JournalState;
use crate::keyspace::access::KeyspaceAccess;
use crate::members::Members;
use crate::namespace::Namespace;
use crate::observe::health::{Health, HealthState, HealthWatch};
use crate::observe::reports::Reports;
use crate::receive::dispatch::Dispatcher;
use crate::request::pending::PendingRequests;
use crate::send::outgoing::{Lane, Outgoing};
use crate::send::window::SendWindow;
use crate::shared::changed::ValueChanged;
use crate::shared::map;
use crate::shared::reconciler::{Reconciler, ReconcilerInputs};
use crate::shared::registry::{ChangeNotification, ReplicaRegistry};
use crate::task::mutex::Mutex;
use crate::task::stage::Stage;

/// The state that all clones of a bus share.
pub(crate) struct Inner {
    pub(crate) me: NodeId,
    pub(crate) outgoing: Arc<Outgoing>,
    /// The queue of events: that of the journal, or [`outgoing`](Self::outgoing) without one.
    pub(crate) events: Arc<Outgoing>,
    pub(crate) window: Arc<SendWindow>,
    pub(crate) journal: Option<Arc<JournalState>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) requests: Arc<PendingRequests>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) namespace: Namespace,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    /// Created for the first shared value or map.
    pub(crate) reconciler: OnceLock<Arc<Reconciler>>,
    pub(crate) shared: OnceLock<Arc<ReplicaRegistry<ValueChanged>>>,
    /// Created for the first map.
    pub(crate) maps: OnceLock<Arc<ReplicaRegistry<map::changed::MapChanged>>>,
    /// The interval at which replicas are compared with Redis.
    pub(crate) refresh_interval: Duration,
    pub(crate) members: Members,
    pub(crate) states: States,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) ending: Mutex<Option<Ending>>,
    pub(crate) runtime: Handle,
}

/// The result of a shutdown, for all callers that wait for it.
pub(crate) type Ending = Shared<BoxFuture<'static, Result<(), ShutdownError>>>;

impl Inner {
    pub(crate) fn add_task(&self, task: JoinHandle<()>) {
        self.tasks.lock().push(task);
    }

    /// Moves the bus to a later stage.
    pub(crate) fn advance(&self, to: Stage) {
        self.stage.send_modify(|stage| *stage = (*stage).max(to));
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.health.is_ready()
    }

    /// The current health.
    pub(crate) fn health(&self) -> Health {
        self.watch_health().now()
    }

    pub(crate) fn watch_health(&self) -> HealthWatch {
        let bytes = self.queues().map(|queue| Arc::clone(queue.bytes()));
        HealthWatch::new(&self.health, bytes.collect())
    }

    #[inline]
    pub(crate) fn lane(&self, lane: Lane) -> &Arc<Outgoing> {
        match lane {
            Lane::Events => &self.events,
            Lane::Requests => &self.outgoing,
        }
    }

    /// The queues: one, or with a journal two.
    fn queues(&self) -> impl Iterator<Item = &Outgoing> {
        let journal = self.journal.iter().map(|journal| &*journal.outgoing);
        journal.chain([&*self.outgoing])
    }

    /// Waits until all frames that are in the queues now are resolved.
    pub(crate) async fn settled(&self) {
        for queue in self.queues() {
            queue.settled().await;
        }
    }

    /// Waits until this bus has received what it has sent.
    pub(crate) async fn caught_up(&self) {
        self.window.caught_up().await;
        if let Some(journal) = &self.journal {
            journal.window.caught_up().await;
        }
    }

    /// Events that are dropped from now on do not count as handled.
    pub(crate) fn stop_ledger(&self) {
        if let Some(durable) = self.durable() {
            durable.ledger.stop();
        }
    }

    /// The durable name, if the bus has one.
    pub(crate) fn durable(&self) -> Option<&Durable> {
        self.journal.as_ref()?.durable.as_deref()
    }

    /// Accepts no more events.
    pub(crate) fn shut(&self) {
        self.queues()
            .for_each(|queue| queue.shut(SendFailure::Closed));
    }

    /// The number of events without an outcome.
    pub(crate) fn unresolved(&self) -> u64 {
        self.queues().map(Outgoing::unresolved).sum()
    }

    /// The reconciler of this bus, which is started for the first replica.
    pub(crate) fn reconciler(&self) -> &Arc<Reconciler> {
        self.reconciler.get_or_init(|| {
            let (reconciler, reconciling) = Reconciler::new(ReconcilerInputs {
                stage: self.stage.subscribe(),
                availability: self.keyspace.watch(),
                missed: self.reports.missed.subscribe(),
                unread: self.reports.unread.subscribe(),
                health: Arc::clone(&self.health),
                timeout: self.keyspace.patience(),
                every: self.refresh_interval,
            });
            self.add_task(self.runtime.spawn(reconciling));
            reconciler
        })
    }

    /// The replicas of one kind. They receive change notifications before the first value is read.
    pub(crate) fn known<'a, A: ChangeNotification>(
        &self,
        place: &'a OnceLock<Arc<ReplicaRegistry<A>>>,
    ) -> &'a ReplicaRegistry<A> {
        place.get_or_init(|| {
            let known = ReplicaRegistry::new(Arc::clone(&self.reports));
            self.dispatcher.listen(A::EVENT, Arc::clone(&known) as _);
            known
        })
    }
}
