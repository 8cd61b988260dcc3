//! Who must not be forgotten: the members, asked of Redis where more senders are received than can
//! be remembered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::keyspace::access::Kept;
use crate::keyspace::member_list::Keys;
use crate::task::stage::Stage;

/// How often Redis is asked at most.
const EVERY: Duration = Duration::from_secs(1);

/// How old an answer may be: members that joined after it are not in it.
const FRESH: Duration = Duration::from_secs(2);

/// The question, and the answer that the receiver has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    wanted: Notify,
    members: Mutex<Option<Members>>,
}

#[derive(Debug)]
struct Members {
    /// When they were asked for.
    at: Instant,
    ids: Vec<NodeId>,
}

impl Remembered {
    /// Asks for the members, and takes them where they are known.
    pub(crate) fn ask(&self) -> Option<Vec<NodeId>> {
        let members = self.members.lock();
        let members = members.unwrap_or_else(PoisonError::into_inner).take();
        let members = members.filter(|members| members.at.elapsed() < FRESH);
        if members.is_none() {
            self.wanted.notify_one();
        }
        Some(members?.ids)
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
            let at = Instant::now();
            match kept.ask(|keyspace| keyspace.list(keys)).await {
                Ok(listed) => {
                    let ids = listed.members.into_iter().map(|(id, _)| id).collect();
                    self.put(Members { at, ids });
                }
                Err(undone) => tracing::debug!(?undone, "cannot ask who must not be forgotten"),
            }
            sleep(EVERY).await;
        }
    }

    fn put(&self, members: Members) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = Some(members);
    }

    /// As if Redis had answered just now.
    #[cfg(test)]
    pub(crate) fn know(&self, ids: impl IntoIterator<Item = NodeId>) {
        self.put(Members {
            at: Instant::now(),
            ids: ids.into_iter().collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ANNA: NodeId = NodeId::new(1);

    #[test]
    fn redis_is_asked_where_there_is_no_answer() {
        let remembered = Remembered::default();
        assert_eq!(remembered.ask(), None);
        assert!(remembered.wanted.notified().now_or_never().is_some());
        remembered.know([ANNA]);
        assert_eq!(remembered.ask(), Some(vec![ANNA]));
        assert!(remembered.wanted.notified().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_none_because_others_may_have_joined_since() {
        let remembered = Remembered::default();
        remembered.know([ANNA]);
        tokio::time::advance(FRESH).await;
        assert_eq!(remembered.ask(), None);
        assert!(remembered.wanted.notified().now_or_never().is_some());
    }
}
