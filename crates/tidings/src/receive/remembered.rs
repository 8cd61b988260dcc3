//! The query for the members, whose sequence numbers must stay remembered when there are more
//! senders than the memory has room for.

use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::task::mutex::Mutex;

/// The maximum age of an answer: it lacks members that joined since.
const FRESH: Duration = Duration::from_secs(2);

/// The query, and the answer that the receiver has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    wanted: Notify,
    members: Mutex<Option<Members>>,
}

#[derive(Debug)]
struct Members {
    /// The time of the query.
    at: Instant,
    ids: Vec<NodeId>,
}

impl Remembered {
    /// Takes a fresh answer, or requests one.
    pub(crate) fn ask(&self) -> Option<Vec<NodeId>> {
        let members = self.members.lock().take();
        let members = members.filter(|members| members.at.elapsed() < FRESH);
        if members.is_none() {
            self.wanted.notify_one();
        }
        Some(members?.ids)
    }

    /// Waits for the next query.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Stores the members as they were at this time.
    pub(crate) fn answer(&self, at: Instant, ids: Vec<NodeId>) {
        *self.members.lock() = Some(Members { at, ids });
    }

    /// Stores an answer of this moment.
    #[cfg(test)]
    pub(crate) fn know(&self, ids: impl IntoIterator<Item = NodeId>) {
        self.answer(Instant::now(), ids.into_iter().collect());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ANNA: NodeId = NodeId::new(1);

    #[test]
    fn redis_is_queried_if_there_is_no_answer() {
        let remembered = Remembered::default();
        assert_eq!(remembered.ask(), None);
        assert!(remembered.wanted.notified().now_or_never().is_some());
        remembered.know([ANNA]);
        assert_eq!(remembered.ask(), Some(vec![ANNA]));
        assert!(remembered.wanted.notified().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_queried_again_because_others_may_have_joined_since() {
        let remembered = Remembered::default();
        remembered.know([ANNA]);
        tokio::time::advance(FRESH).await;
        assert_eq!(remembered.ask(), None);
        assert!(remembered.wanted.notified().now_or_never().is_some());
    }
}
