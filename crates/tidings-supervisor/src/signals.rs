//! A supervisor that obeys the signals of its process.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::awake::sleep_awake;
use crate::error::StartError;
use crate::fleet::ReloadStrategy;
use crate::supervisor::Supervisor;
use crate::workers::{Stopped, Workers};

/// Signals within this time are one request to stop: `timeout`, terminals and process managers signal
/// a process and then its whole group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Starts, and runs until it is stopped: SIGTERM and SIGINT let all workers finish, and one that
    /// comes more than a second later kills them; SIGHUP reloads in this order, unless it says that the
    /// terminal was closed in which this process was started: then all workers finish, too, and none is
    /// killed for it. If somebody supervises this process in turn, they are told as soon as all workers
    /// are ready.
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

async fn tell_when_ready(workers: &Workers) {
    if workers.wait_until_ready().await
        && let Err(error) = crate::notify_ready()
    {
        tracing::warn!(%error, "cannot tell that all workers are ready");
    }
}

/// The signals of this process, caught: for a program that does more with its [`Workers`] than
/// [`Supervisor::run`] does.
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
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
    had_terminal: bool,
    /// Whoever started this process does not want it to end with the terminal, as `nohup`.
    is_hang_up_ignored: bool,
}

enum Caught {
    Hangup,
    TerminalClosed,
    End,
}

impl Signals {
    /// From now on SIGTERM, SIGINT and SIGHUP do not end this process, and none is missed. Best before
    /// the start.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio, or in one without I/O.
    pub fn catch() -> Result<Self, StartError> {
        let catch = |kind| {
            signal(kind).map_err(|source| StartError::Io {
                doing: "catching signals",
                source,
            })
        };
        // To be asked before it is caught.
        let is_hang_up_ignored = crate::sys::is_hang_up_ignored();
        Ok(Self {
            is_hang_up_ignored,
            hang_up: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            had_terminal: has_terminal(),
        })
    }

    /// Does with these workers what the signals say, as [`Supervisor::run`], until they are stopped,
    /// by whomever.
    pub async fn handle(mut self, workers: &Workers, on_hangup: ReloadStrategy) -> Stopped {
        let mut telling = pin!(tell_when_ready(workers));
        let mut is_told = false;
        loop {
            let caught = tokio::select! {
                stopped = workers.wait_until_stopped() => return stopped,
                caught = self.next() => caught,
                () = &mut telling, if !is_told => {
                    is_told = true;
                    continue;
                }
            };
            match caught {
                // Who waits for a reload is in its events.
                Caught::Hangup => drop(workers.start_reload(on_hangup).await),
                Caught::End | Caught::TerminalClosed => return self.stop(workers).await,
            }
        }
    }

    /// Lets all workers finish, and kills them at a further signal.
    async fn stop(mut self, workers: &Workers) -> Stopped {
        let mut stopping = pin!(workers.stop());
        let mut repeating = pin!(sleep_awake(SAME_REQUEST));
        let mut is_repetition = true;
        loop {
            tokio::select! {
                stopped = &mut stopping => return stopped,
                () = &mut repeating, if is_repetition => is_repetition = false,
                caught = self.next() => match caught {
                    Caught::End if !is_repetition => return workers.kill().await,
                    // There is nothing left to reload, and whoever closes a terminal does not ask for
                    // workers to be killed.
                    Caught::End | Caught::Hangup | Caught::TerminalClosed => {}
                },
            }
        }
    }

    async fn next(&mut self) -> Caught {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Caught::End,
                _ = self.interrupt.recv() => return Caught::End,
                _ = self.hang_up.recv() => {}
            }
            if !self.was_terminal_closed() {
                return Caught::Hangup;
            }
            if !self.is_hang_up_ignored {
                return Caught::TerminalClosed;
            }
        }
    }

    /// The same signal says that the terminal was closed, in which all this was started.
    fn was_terminal_closed(&mut self) -> bool {
        let had_terminal = std::mem::replace(&mut self.had_terminal, has_terminal());
        had_terminal && !self.had_terminal
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
