//! A supervisor that obeys the signals of its process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::StartError;
use crate::fleet::Order;
use crate::supervisor::Supervisor;
use crate::workers::{Stopped, Workers};

impl Supervisor {
    /// Starts, and runs until it is stopped: SIGTERM and SIGINT let all workers finish, and a second
    /// one kills them; SIGHUP reloads in this order. If somebody supervises this process in turn, they
    /// are told as soon as all workers are ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use tidings_supervisor::{Order, Supervisor};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let stopped = Supervisor::of("./my-server").run(Order::AllAtOnce).await?;
    /// std::process::exit(if stopped.is_clean() { 0 } else { 1 });
    /// # }
    /// ```
    pub async fn run(self, on_hangup: Order) -> Result<Stopped, StartError> {
        let mut signals = Signals::catch().map_err(|source| StartError::System {
            doing: "catching signals",
            source,
        })?;
        let workers = self.start().await?;
        tokio::spawn(tell_when_ready(workers.clone()));
        let mut is_ending = false;
        loop {
            let signal = tokio::select! {
                stopped = workers.ended() => return Ok(stopped),
                signal = signals.next() => signal,
            };
            let workers = workers.clone();
            match signal {
                // Who waits for a reload is its report.
                Caught::HangUp => drop(workers.begin_reload(on_hangup).await),
                Caught::End if is_ending => drop(tokio::spawn(async move { workers.kill().await })),
                Caught::End => {
                    is_ending = true;
                    tokio::spawn(async move { workers.stop().await });
                }
            }
        }
    }
}

async fn tell_when_ready(workers: Workers) {
    if workers.ready().await
        && let Err(error) = crate::ready()
    {
        tracing::warn!(%error, "cannot tell that all workers are ready");
    }
}

enum Caught {
    HangUp,
    End,
}

struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.hang_up.recv() => Caught::HangUp,
            _ = self.terminate.recv() => Caught::End,
            _ = self.interrupt.recv() => Caught::End,
        }
    }
}
