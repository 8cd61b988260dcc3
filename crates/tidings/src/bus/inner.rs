//! What all clones of a bus share.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::{BoxFuture, Shared};
use tidings_codec::NodeId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::bus::states::States;
use crate::error::shutdown::ShutdownError;
use crate::keyspace::access::Kept;
use crate::members::Members;
use crate::namespace::Namespace;
use crate::observe::health::{Connection, Pulse};
use crate::observe::reports::Reports;
use crate::receive::dispatch::Dispatcher;
use crate::request::pending::Asks;
use crate::send::outgoing::Outgoing;
use crate::send::window::Echoes;
use crate::shared::changed::Announced;
use crate::shared::map;
use crate::shared::reconciler::{Keeper, Watched};
use crate::shared::registry::{Announcement, Known};
use crate::task::stage::Stage;

/// What all clones of a bus share.
pub(crate) struct Inner {
    pub(crate) me: NodeId,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) echoes: Arc<Echoes>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) asks: Arc<Asks>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) namespace: Namespace,
    pub(crate) kept: Arc<Kept>,
    /// There once something is shared.
    pub(crate) keeper: OnceLock<Arc<Keeper>>,
    pub(crate) shared: OnceLock<Arc<Known<Announced>>>,
    /// There once a map is used.
    pub(crate) maps: OnceLock<Arc<Known<map::changed::Announced>>>,
    /// How often that is compared with Redis.
    pub(crate) refresh_interval: Duration,
    pub(crate) members: Members,
    pub(crate) states: States,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) ending: Mutex<Option<Ending>>,
    pub(crate) runtime: Handle,
}

/// A shutdown that is under way or over, for all who wait for it.
pub(crate) type Ending = Shared<BoxFuture<'static, Result<(), ShutdownError>>>;

impl Inner {
    pub(crate) fn add_task(&self, task: JoinHandle<()>) {
        self.lock_tasks().push(task);
    }

    /// Takes the bus on to a later stage.
    pub(crate) fn advance(&self, to: Stage) {
        self.stage.send_modify(|stage| *stage = (*stage).max(to));
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(*self.pulse.connection.borrow(), Connection::Up { .. })
    }

    pub(crate) fn lock_ending(&self) -> MutexGuard<'_, Option<Ending>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keeper of this bus, which is started for the first copy.
    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        self.keeper.get_or_init(|| {
            let (keeper, keeping) = Keeper::new(Watched {
                stage: self.stage.subscribe(),
                way: self.kept.watch(),
                missed: self.reports.missed.subscribe(),
                unread: self.reports.unread.subscribe(),
                pulse: Arc::clone(&self.pulse),
                patience: self.kept.patience(),
                every: self.refresh_interval,
            });
            self.add_task(self.runtime.spawn(keeping));
            keeper
        })
    }

    /// What the bus shares of one kind, which begins to listen before anything is read.
    pub(crate) fn known<'a, A: Announcement>(
        &self,
        place: &'a OnceLock<Arc<Known<A>>>,
    ) -> &'a Known<A> {
        place.get_or_init(|| {
            let known = Known::new(Arc::clone(&self.reports));
            self.dispatcher.listen(A::EVENT, Arc::clone(&known) as _);
            known
        })
    }

    pub(crate) fn lock_tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
