//! Stops the writes of servers, for as long as this process lives.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::failover::line::Line;
use crate::admin::failover::report::FailoverError;
use crate::error::connect::ConnectError;

/// The end of a pause that is not renewed, in milliseconds: this process may be killed.
const LENGTH: u64 = 3_000;

/// The interval of renewals.
const RENEWAL: Duration = Duration::from_secs(1);

/// Servers whose writes wait: those of clients, not those that a replica receives from its master.
/// Redis answers them after the pause. `PUBLISH` is a write.
pub(super) struct Pause {
    lines: Vec<Line>,
    renewal: AbortOnDropHandle<()>,
}

impl Pause {
    /// Pauses the writes of all servers, or of none.
    pub(super) async fn begin(lines: Vec<Line>) -> Result<Self, FailoverError> {
        for line in &lines {
            if let Err(source) = pause(line).await {
                end(&lines).await;
                return Err(line.rejected("pause the writes")(source));
            }
        }
        let renewed = lines.clone();
        let renewal = tokio::spawn(async move {
            loop {
                sleep(RENEWAL).await;
                join_all(renewed.iter().map(pause)).await;
            }
        });
        Ok(Self {
            lines,
            renewal: AbortOnDropHandle::new(renewal),
        })
    }

    /// Ends the pause. A server that does not answer ends it by itself.
    pub(super) async fn end(self) {
        let Self { lines, renewal } = self;
        drop(renewal);
        end(&lines).await;
    }
}

async fn pause(line: &Line) -> Result<(), ConnectError> {
    line.words(&format!("CLIENT PAUSE {LENGTH} WRITE")).await
}

async fn end(lines: &[Line]) {
    join_all(lines.iter().map(unpause)).await;
}

async fn unpause(line: &Line) -> Result<(), ConnectError> {
    line.words("CLIENT UNPAUSE").await
}
