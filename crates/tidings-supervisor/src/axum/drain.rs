//! The drain of open connections.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::awake::sleep_awake;

/// A future that completes when the drain is to begin.
pub(super) type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Drain {
    /// Each open connection holds a receiver.
    pub(super) has_begun: Arc<watch::Sender<bool>>,
    /// Each response that leaves its connection open holds a receiver until its end.
    pub(super) open_responses: Arc<watch::Sender<()>>,
}

impl Drain {
    /// Begins the drain on `shutdown`, and returns when axum can shut down.
    pub(super) async fn run(self, shutdown: Shutdown, timeout: Duration) {
        shutdown.await;
        self.has_begun.send_replace(true);
        let timeout = async {
            // Responses without `Connection: close` allow one more request.
            self.open_responses.closed().await;
            sleep_awake(timeout).await;
        };
        tokio::select! {
            () = self.has_begun.closed() => {}
            () = timeout => {}
        }
    }
}
