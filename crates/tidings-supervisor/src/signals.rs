//! Signals of this process that stop or reload a supervisor.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::awake::sleep_awake;
use crate::error::StartError;
use crate::fleet::ReloadStrategy;
use crate::status::Stopped;
use crate::supervisor::Supervisor;
use crate::workers::Workers;

/// Signals within this time count as one: `timeout`, terminals and process managers signal a process and
/// then its whole group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Starts the supervisor, and handles the signals of this process until it has stopped.
    ///
    /// * SIGTERM and SIGINT stop it. A further signal more than a second later kills the workers.
    /// * SIGHUP reloads with the given strategy.
    /// * SIGHUP because the terminal was closed stops it as well, without killing workers, unless the
    ///   process was started with `nohup`.
    ///
    /// When all workers are ready, it [notifies](crate::notify_ready) its own supervisor, such as systemd.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use tidings_supervisor::{ReloadStrategy, Supervisor};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let stopped = Supervisor::new("./my-server").run(ReloadStrategy::AllAtOnce).await?;
    /// std::process::exit(if stopped.is_clean() { 0 } else { 1 });
    /// # }
    /// ```
    pub async fn run(self, on_hangup: ReloadStrategy) -> Result<Stopped, StartError> {
        let signals = Signals::catch()?;
        let workers = self.start().await?;
        Ok(signals.handle(&workers, on_hangup).await)
    }
}

async fn notify_when_ready(workers: &Workers) {
    if workers.wait_until_ready().await
        && let Err(error) = crate::notify_ready()
    {
        tracing::warn!(%error, "cannot notify the service manager that all workers are ready");
    }
}

/// The caught signals of this process, for a program that does more with its [`Workers`] than
/// [`Supervisor::run`].
///
/// # Examples
///
/// ```no_run
/// use tidings_supervisor::{ReloadStrategy, Signals, Supervisor};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let signals = Signals::catch()?;
/// let workers = Supervisor::new("./my-server").start().await?;
/// println!("{} processes", workers.status().await.map_or(0, |it| it.workers.len()));
/// signals.handle(&workers, ReloadStrategy::AllAtOnce).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    had_terminal: bool,
    /// The process was started with SIGHUP ignored, as by `nohup`.
    is_hangup_ignored: bool,
}

enum Caught {
    Hangup,
    TerminalClosed,
    Stop,
}

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP, which no longer end this process. Call it before the
    /// supervisor is started, so that no signal is missed.
    ///
    /// # Errors
    ///
    /// When a signal handler cannot be installed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without I/O.
    pub fn catch() -> Result<Self, StartError> {
        let catch = |kind| {
            signal(kind).map_err(|source| StartError::Io {
                doing: "catch signals",
                source,
            })
        };
        // Before it is caught.
        let is_hangup_ignored = crate::sys::is_hangup_ignored();
        Ok(Self {
            is_hangup_ignored,
            hangup: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            had_terminal: has_terminal(),
        })
    }

    /// Handles the signals as [`Supervisor::run`] does, until the supervisor has stopped for any reason.
    pub async fn handle(mut self, workers: &Workers, on_hangup: ReloadStrategy) -> Stopped {
        let mut notification = pin!(notify_when_ready(workers));
        let mut is_notified = false;
        loop {
            let caught = tokio::select! {
                stopped = workers.wait_until_stopped() => return stopped,
                caught = self.next() => caught,
                () = &mut notification, if !is_notified => {
                    is_notified = true;
                    continue;
                }
            };
            match caught {
                // Its result is reported as an event.
                Caught::Hangup => drop(workers.start_reload(on_hangup).await),
                Caught::Stop | Caught::TerminalClosed => return self.stop(workers).await,
            }
        }
    }

    /// Stops the workers, and kills them at a further signal.
    async fn stop(mut self, workers: &Workers) -> Stopped {
        let mut stopping = pin!(workers.stop());
        let mut same_request = pin!(sleep_awake(SAME_REQUEST));
        let mut is_same_request = true;
        loop {
            tokio::select! {
                stopped = &mut stopping => return stopped,
                () = &mut same_request, if is_same_request => is_same_request = false,
                caught = self.next() => match caught {
                    Caught::Stop if !is_same_request => return workers.kill().await,
                    // Nothing is left to reload, and closing a terminal is no request to kill.
                    Caught::Stop | Caught::Hangup | Caught::TerminalClosed => {}
                },
            }
        }
    }

    async fn next(&mut self) -> Caught {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Caught::Stop,
                _ = self.interrupt.recv() => return Caught::Stop,
                _ = self.hangup.recv() => {}
            }
            if !self.was_terminal_closed() {
                return Caught::Hangup;
            }
            if !self.is_hangup_ignored {
                return Caught::TerminalClosed;
            }
        }
    }

    /// Returns whether SIGHUP was sent because the terminal was closed.
    fn was_terminal_closed(&mut self) -> bool {
        let had_terminal = std::mem::replace(&mut self.had_terminal, has_terminal());
        had_terminal && !self.had_terminal
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
