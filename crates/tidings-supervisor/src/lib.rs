//! Runs several worker processes of a program, restarts the ones that die, and replaces all of them
//! without a refused connection.
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
//! The supervisor opens the sockets once, and passes them to every worker as systemd's socket
//! activation does, so that servers which support it work unchanged. While workers are replaced,
//! connections wait in the socket's queue until a ready worker accepts them.
//!
//! A worker is a process in [a slot](Supervisor::workers), whose number it knows as `WORKER_ID`. It
//! [reports when it is ready](ReadyWhen), and [is restarted with a backoff](Backoff) when it dies. In
//! [a reload](Workers::reload) it is stopped only when the new worker of its slot is ready. It has the
//! [stop timeout](Supervisor::stop_timeout) to finish its work after SIGTERM.
//!
//! A server built on axum loses no request in a reload with `axum::serve` of the feature `axum`.
//!
//! # Process lifetimes
//!
//! On Linux the kernel kills the workers when their supervisor ends, even by SIGKILL, unless they
//! change their user or group themselves, or run a program that grants more privileges. Processes that
//! a worker started are killed with it, unless they left its process group or the supervisor itself was
//! killed.
//!
//! macOS has no such setting: workers keep running there when the supervisor is killed. If it is
//! stopped or panics, it kills them as on Linux. Also only Linux has `pidfd`s, which make sure that a
//! signal reaches no other process. Elsewhere nothing else in the program may reap the workers.
//!
//! This crate knows no events and no Redis. It works with `tidings` and without.

#[cfg(not(unix))]
compile_error!("a supervisor needs Unix: signals, process groups and inherited sockets");

#[cfg(feature = "axum")]
pub mod axum;
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

mod awake;
mod command;
mod event_loop;
mod fleet;
mod identity;
mod process;
mod program;
mod runtime_dir;
mod seconds;
mod shown;
mod socket_file;
mod spawn;
mod sys;
mod worker;

#[cfg(test)]
#[path = "../tests/supervisor/directory.rs"]
mod directory;

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
pub use status::{Status, Stopped, WorkerState, WorkerStatus};
pub use stop_signal::{ParseStopSignalError, StopSignal};
pub use supervisor::Supervisor;
pub use workers::{ReloadHandle, Workers};
