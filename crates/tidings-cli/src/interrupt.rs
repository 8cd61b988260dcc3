//! Waits for the signals that end a command which goes on by itself.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns a future that is ready at SIGINT (Ctrl-C) or SIGTERM. The signals count from this call on,
/// so call it before the first output.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async {
        let [interrupt, terminate] = signals;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

/// Returns at this signal, which keeps its usual effect if it cannot be caught.
async fn received(signals: io::Result<Signal>) {
    match signals {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => pending().await,
    }
}
