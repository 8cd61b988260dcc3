//! The handle of a running supervisor.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot, watch};

use crate::command::{Command, View};
use crate::error::{ReloadError, ScaleError};
use crate::fleet::{ReloadStart, ReloadStrategy, Reloaded};
use crate::listen::ListenAddress;
use crate::status::{Status, Stopped};

/// A handle of a running supervisor and its workers, cheap to clone.
///
/// When the last handle is dropped, all workers are killed. [`stop`](Self::stop) lets them finish first.
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

    /// Returns the addresses of the workers, with the chosen port in place of port 0.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Waits until every slot has a ready worker. Returns false if the supervisor stops before.
    pub async fn wait_until_ready(&self) -> bool {
        let mut view = self.view.clone();
        let ready = view.wait_for(|view| view.are_all_ready || view.stopped.is_some());
        ready.await.is_ok_and(|view| view.are_all_ready)
    }

    /// Replaces all workers, and waits for the result. An old worker is told to stop only when the new
    /// worker of its slot is ready.
    ///
    /// While a reload runs, further requests wait and share one reload. It is
    /// [all at once](ReloadStrategy::AllAtOnce) if any of them asked for that; see
    /// [`Reloaded::strategy`].
    ///
    /// # Errors
    ///
    /// When a new worker dies or is not ready in time. Then the new workers are stopped, and the old
    /// ones keep running. With [`ReloadStrategy::Rolling`], slots that were replaced before keep their
    /// new workers. Also when the supervisor stops.
    pub async fn reload(&self, strategy: ReloadStrategy) -> Result<Reloaded, ReloadError> {
        self.start_reload(strategy).await?.await
    }

    /// Requests a reload as [`reload`](Self::reload) does, without waiting for the result.
    ///
    /// # Errors
    ///
    /// When the supervisor stops.
    pub async fn start_reload(
        &self,
        strategy: ReloadStrategy,
    ) -> Result<ReloadHandle, ReloadError> {
        let (started, start) = oneshot::channel();
        let (done, result) = oneshot::channel();
        let command = Command::Reload {
            strategy,
            started,
            done,
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ReloadError::Stopping)?;
        let start = start.await.map_err(|_| ReloadError::Stopping)?;
        Ok(ReloadHandle {
            is_queued: start == ReloadStart::Queued,
            result,
        })
    }

    /// Changes the number of workers, and returns the number before. Additional slots start their
    /// workers, and those with the highest numbers are removed, without waiting for it.
    ///
    /// # Errors
    ///
    /// When the number is not between 1 and 1,024, or the supervisor stops.
    pub async fn scale(&self, workers: usize) -> Result<usize, ScaleError> {
        let (done, result) = oneshot::channel();
        let command = Command::Scale { workers, done };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ScaleError::Stopping)?;
        result.await.unwrap_or(Err(ScaleError::Stopping))
    }

    /// Returns the state of the workers, or `None` if the supervisor has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (done, status) = oneshot::channel();
        self.commands.send(Command::Status(done)).await.ok()?;
        status.await.ok()
    }

    /// Tells all workers to stop, kills those that exceed the stop timeout, and waits until all have
    /// exited.
    pub async fn stop(&self) -> Stopped {
        self.send_and_wait(Command::Stop).await
    }

    /// Kills all workers, and waits until they have exited.
    pub async fn kill(&self) -> Stopped {
        self.send_and_wait(Command::Kill).await
    }

    /// Waits until the supervisor has stopped, by a request or because all slots have failed.
    pub async fn wait_until_stopped(&self) -> Stopped {
        let mut view = self.view.clone();
        let stopped = view.wait_for(|view| view.stopped.is_some()).await;
        let stopped = stopped.ok().and_then(|view| view.stopped);
        // If the event loop was cancelled, as at the end of a runtime, its workers are killed.
        stopped.unwrap_or(Stopped {
            killed: 0,
            all_failed: true,
        })
    }

    async fn send_and_wait(&self, command: Command) -> Stopped {
        // An error means that it has stopped already.
        let _ = self.commands.send(command).await;
        self.wait_until_stopped().await
    }

    /// Returns a handle that does not keep the workers alive.
    pub(crate) fn downgrade(&self) -> WeakWorkers {
        WeakWorkers {
            commands: self.commands.downgrade(),
            view: self.view.clone(),
            addresses: Arc::clone(&self.addresses),
        }
    }
}

/// A handle that does not keep the workers alive.
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

/// A requested reload. Awaiting it returns the result; dropping it does not cancel the reload.
#[derive(Debug)]
pub struct ReloadHandle {
    is_queued: bool,
    result: oneshot::Receiver<Result<Reloaded, ReloadError>>,
}

impl ReloadHandle {
    /// Returns whether the reload was queued behind a running one.
    pub fn is_queued(&self) -> bool {
        self.is_queued
    }
}

impl Future for ReloadHandle {
    type Output = Result<Reloaded, ReloadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.result).poll(context);
        result.map(|result| result.unwrap_or(Err(ReloadError::Stopping)))
    }
}
