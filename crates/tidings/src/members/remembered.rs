//! Who must not be forgotten: the members, asked of Redis where more senders are received than can
//! be remembered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::kept::Kept;
use crate::task::stage::Stage;
use crate::transport::keyspace::roll::Keys;

/// How often Redis is asked at most.
const EVERY: Duration = Duration::from_secs(1);

/// The question, and the answer that the receiver has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    wanted: Notify,
    members: Mutex<Option<Vec<NodeId>>>,
}

impl Remembered {
    /// Asks for the members, and takes them where they are known.
    pub(crate) fn ask(&self) -> Option<Vec<NodeId>> {
        let members = self.members.lock();
        let members = members.unwrap_or_else(PoisonError::into_inner).take();
        if members.is_none() {
            self.wanted.notify_one();
        }
        members
    }

    /// The task: asks Redis when it is wanted, until the bus ends.
    pub(crate) async fn run(
        self: Arc<Self>,
        kept: Arc<Kept>,
        keys: Keys,
        mut stage: watch::Receiver<Stage>,
    ) {
        tokio::select! {
            () = self.answer(&kept, &keys) => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
        }
    }

    async fn answer(&self, kept: &Kept, keys: &Keys) {
        loop {
            self.wanted.notified().await;
            match kept.ask(|keyspace| keyspace.list(keys)).await {
                Ok(listed) => {
                    let members = listed.members.into_iter().map(|(id, _)| id).collect();
                    let mut answer = self.members.lock().unwrap_or_else(PoisonError::into_inner);
                    *answer = Some(members);
                }
                Err(undone) => tracing::debug!(?undone, "cannot ask who must not be forgotten"),
            }
            sleep(EVERY).await;
        }
    }
}
