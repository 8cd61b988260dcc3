//! The workers of a supervisor that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{ReloadError, ScaleError};
use crate::fleet::{Ending, Placed, ReloadStrategy, Reloaded};
use crate::listen::ListenAddress;
use crate::status::Status;
use crate::supervise::{Command, View};

/// The workers of a supervisor that runs: a handle, cheap to clone. When the last one is dropped, all
/// workers are killed; [`stop`](Self::stop) lets them finish first.
///
/// # Examples
///
/// ```no_run
/// use tidings_supervisor::{ReloadStrategy, Supervisor};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let workers = Supervisor::new("./my-server").workers(4).start().await?;
/// workers.wait_until_ready().await;
/// let reloaded = workers.reload(ReloadStrategy::Rolling).await?;
/// println!("{} new workers after {:?}", reloaded.workers, reloaded.took);
/// workers.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
    addresses: Arc<[ListenAddress]>,
}

/// The end of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stopped {
    /// How many workers did not end within the grace, and were killed.
    pub killed: usize,
    /// Nobody asked for it: all slots were given up.
    pub all_failed: bool,
}

impl Stopped {
    /// It was asked for, and all workers ended in time.
    pub fn is_clean(&self) -> bool {
        self.killed == 0 && !self.all_failed
    }
}

impl From<Ending> for Stopped {
    fn from(Ending { killed, all_failed }: Ending) -> Self {
        Self { killed, all_failed }
    }
}

impl Workers {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        view: watch::Receiver<View>,
        addresses: Arc<[ListenAddress]>,
    ) -> Self {
        Self {
            commands,
            view,
            addresses,
        }
    }

    /// Where the workers are reached; a port 0 has become one.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Waits until there is a worker in each slot and all are ready: true then, and false when the
    /// supervisor ends before.
    pub async fn wait_until_ready(&self) -> bool {
        let mut view = self.view.clone();
        let known = view.wait_for(|view| view.are_all_ready || view.stopped.is_some());
        known.await.is_ok_and(|view| view.are_all_ready)
    }

    /// Replaces all workers, and waits for it: each successor is ready before its elder is told to
    /// end. While another reload runs, this one waits for it; all who ask meanwhile share one, which
    /// is [all at once](ReloadStrategy::AllAtOnce) if anybody asked for that, as [`Reloaded::order`] tells.
    ///
    /// # Errors
    ///
    /// When a successor dies or is not ready in time: then the elders serve on, and the successors are
    /// told to end, for which they have the grace as all others. With [`ReloadStrategy::Rolling`], those that
    /// were replaced before stay replaced. When the supervisor ends.
    pub async fn reload(&self, strategy: ReloadStrategy) -> Result<Reloaded, ReloadError> {
        self.start_reload(strategy).await?.await
    }

    /// Like [`reload`](Self::reload), and tells at once whether the reload began or waits for another.
    ///
    /// # Errors
    ///
    /// When the supervisor ends.
    pub async fn start_reload(
        &self,
        strategy: ReloadStrategy,
    ) -> Result<ReloadHandle, ReloadError> {
        let (placed, place) = oneshot::channel();
        let (done, outcome) = oneshot::channel();
        let command = Command::Reload {
            strategy,
            placed,
            done,
        };
        let ending = |()| ReloadError::Stopping;
        self.commands.send(command).await.map_err(|_| ending(()))?;
        let placed = place.await.map_err(|_| ending(()))?;
        Ok(ReloadHandle {
            is_queued: placed == Placed::Queued,
            outcome,
        })
    }

    /// From now on so many workers: new ones are started, or those with the highest numbers told to
    /// end. Returns how many there were before, without waiting for either.
    ///
    /// # Errors
    ///
    /// When it is not between 1 and 1,024, or the supervisor ends.
    pub async fn scale(&self, workers: usize) -> Result<usize, ScaleError> {
        let (done, answer) = oneshot::channel();
        let command = Command::Scale { workers, done };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ScaleError::Stopping)?;
        answer.await.unwrap_or(Err(ScaleError::Stopping))
    }

    /// The workers as they are now; none once the supervisor has ended.
    pub async fn status(&self) -> Option<Status> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Command::Status(done)).await.ok()?;
        answer.await.ok()
    }

    /// Tells all workers to end, waits for the grace, kills who is left, and waits for that.
    pub async fn stop(&self) -> Stopped {
        self.ask(Command::End).await
    }

    /// Kills all workers, and waits for that.
    pub async fn kill(&self) -> Stopped {
        self.ask(Command::Kill).await
    }

    /// Waits until the supervisor has ended: somebody stopped it, or all slots were given up.
    pub async fn wait_until_stopped(&self) -> Stopped {
        let mut view = self.view.clone();
        let ended = view.wait_for(|view| view.stopped.is_some()).await;
        let stopped = ended.ok().and_then(|view| view.stopped);
        // Its task was cancelled, as at the end of a runtime: then its workers are killed.
        stopped.unwrap_or(Stopped {
            killed: 0,
            all_failed: true,
        })
    }

    async fn ask(&self, command: Command) -> Stopped {
        // When it has ended already, that is what was asked for.
        let _ = self.commands.send(command).await;
        self.wait_until_stopped().await
    }

    /// For whoever must not keep the workers alive.
    pub(crate) fn downgrade(&self) -> WeakWorkers {
        WeakWorkers {
            commands: self.commands.downgrade(),
            view: self.view.clone(),
            addresses: Arc::clone(&self.addresses),
        }
    }
}

/// Does not keep the workers alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakWorkers {
    commands: mpsc::WeakSender<Command>,
    view: watch::Receiver<View>,
    addresses: Arc<[ListenAddress]>,
}

impl WeakWorkers {
    pub(crate) fn upgrade(&self) -> Option<Workers> {
        Some(Workers {
            commands: self.commands.upgrade()?,
            view: self.view.clone(),
            addresses: Arc::clone(&self.addresses),
        })
    }
}

/// A reload that began, or waits for another; as a future, what became of it. It goes on also when
/// this is dropped.
#[derive(Debug)]
pub struct ReloadHandle {
    is_queued: bool,
    outcome: oneshot::Receiver<Result<Reloaded, ReloadError>>,
}

impl ReloadHandle {
    /// Another reload runs, and this one begins after it.
    pub fn is_queued(&self) -> bool {
        self.is_queued
    }
}

impl Future for ReloadHandle {
    type Output = Result<Reloaded, ReloadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.outcome).poll(context);
        outcome.map(|outcome| outcome.unwrap_or(Err(ReloadError::Stopping)))
    }
}
