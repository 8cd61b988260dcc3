//! The stages of a bus, from its start to its end.

use tokio::sync::watch;

/// The stage of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It receives and sends.
    Open,
    /// Received events are dropped; running handlers end, and may still send.
    Draining,
    /// Waiting events are sent, for a second at most.
    Leaving,
    /// It is shut down.
    Closed,
}

/// Waits until a bus is in this stage or a later one. Returns its stage; a bus that was dropped leaves.
pub(crate) async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) -> Stage {
    match stage.wait_for(|stage| *stage >= wanted).await {
        Ok(stage) => *stage,
        Err(_) => Stage::Leaving,
    }
}

/// Does a part of a bus's work until it ends by itself, or the bus leaves.
pub(crate) async fn until_leaving(
    mut stage: watch::Receiver<Stage>,
    work: impl Future<Output = ()>,
) {
    tokio::select! {
        () = work => {}
        _ = reached(&mut stage, Stage::Leaving) => {}
    }
}
