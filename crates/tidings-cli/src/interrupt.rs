//! Waits for the signals that end a command which goes on by itself.

use std::future::pending;

use tokio::signal::unix::{SignalKind, signal};

/// Returns at SIGINT (Ctrl-C) or SIGTERM.
pub(crate) async fn interrupted() {
    tokio::select! {
        () = received(SignalKind::interrupt()) => {}
        () = received(SignalKind::terminate()) => {}
    }
}

/// Returns at this signal, which keeps its usual effect if it cannot be caught.
async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => pending().await,
    }
}
