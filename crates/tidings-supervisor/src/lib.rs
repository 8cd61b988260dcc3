//! Keeps several copies of a program running, and replaces them without a refused connection.
//!
//! ```no_run
//! use tidings_supervisor::{ReloadStrategy, Supervisor};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let stopped = Supervisor::new("./my-server")
//!         .workers(4)
//!         .listen("127.0.0.1:9999".parse()?)
//!         .run(ReloadStrategy::AllAtOnce) // until SIGTERM; SIGHUP reloads
//!         .await?;
//!     std::process::exit(if stopped.is_clean() { 0 } else { 1 });
//! }
//! ```
//!
//! The supervisor opens the sockets, once, and every worker gets them in the way of systemd, so that
//! any server that knows socket activation works unchanged. Nobody is refused while workers come and
//! go: connections wait in the socket, and whoever is ready takes them.
//!
//! A worker is a process with [a slot](Supervisor::workers), whose number it knows as `WORKER_ID`. It
//! [is ready](Ready) when it says so, [dies and is respawned](Backoff), and in
//! [a reload](Workers::reload) makes room for its successor only when that one is ready. Told to end,
//! by SIGTERM, it has [a grace](Supervisor::grace) to finish what it has.
//!
//! A server built on axum loses no request in a reload with `axum::serve` of the feature `axum`.
//!
//! # What outlives what
//!
//! On Linux no worker outlives its supervisor, however that ends: the system kills it, unless it
//! changed its user or group itself, or runs a program that gives more rights. What a worker itself
//! started is killed with it when the supervisor sees it end, or kills it, unless it left the worker's
//! process group; when the supervisor is killed, such processes live on.
//!
//! macOS has no such order to give. There a worker whose supervisor was killed lives on; one that is
//! stopped, or panics, kills its workers as on Linux. A `pidfd`, which makes sure that a signal
//! reaches no other process, is Linux's as well; elsewhere that no number is reused before its process
//! was reaped has to do, and does unless something else in the program reaps children.
//!
//! This crate knows no events and no Redis. It goes well with `tidings`, and without.

#[cfg(not(unix))]
compile_error!("a supervisor needs Unix: signals, process groups and inherited sockets");

mod backoff;
mod control;
mod error;
mod event;
mod exit;
mod listen;
mod notify;
mod output;
mod ready;
mod signals;
mod status;
mod stop_signal;
mod supervisor;
mod workers;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(test)]
#[path = "../tests/supervisor/directory.rs"]
mod directory;

mod awake;
mod fleet;
mod home;
mod identity;
mod program;
mod seconds;
mod shown;
mod spawn;
mod supervise;
mod sys;
mod worker;

pub use backoff::Backoff;
pub use control::{Rejection, RemoteError, RemoteReloadHandle, RemoteSupervisor};
pub use error::{ParseListenAddressError, ProgramError, ReloadError, ScaleError, StartError};
pub use event::SupervisorEvent;
pub use exit::Exit;
pub use fleet::{ReloadStrategy, Reloaded};
pub use listen::ListenAddress;
pub use notify::{notify_ready, notify_stopping, notify_watchdog};
pub use output::{OutputLine, OutputStream};
pub use ready::ReadyWhen;
pub use signals::Signals;
pub use status::{Status, WorkerState, WorkerStatus};
pub use stop_signal::{ParseStopSignalError, StopSignal};
pub use supervisor::Supervisor;
pub use workers::{ReloadHandle, Stopped, Workers};
