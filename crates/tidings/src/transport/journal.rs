//! The connections to the server that has the journal: one that follows it, and one that appends.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use redis::RedisError;
use tidings_codec::{Limits, position_frame, read_frame};
use tokio::sync::Notify;

use crate::error::connect::ConnectError;
use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::answer::JournalError;
use crate::keyspace::journal::find::find;
use crate::observe::metrics::Counter;
use crate::redis_error::own_words;
use crate::transport::{
    Backlog, PublishError, Published, Publisher, Reply, Search, SendHalf, Transport,
};

/// The time that Redis waits for an entry before it answers that there is none.
pub(crate) const BLOCK: Duration = Duration::from_secs(5);

/// The maximum number of bytes that a bus appends before the journal is trimmed ahead of time.
const TRIM_AFTER: usize = 4 << 20;

/// A transport to a server that can have a journal.
#[async_trait]
pub(crate) trait JournalTransport: Transport {
    /// Tries once to connect to the server that has the journal.
    async fn connect_journal(
        &self,
        appending: Arc<Appending>,
    ) -> Result<JournalConnected, ConnectError>;
}

/// Both connections to the server that has the journal.
pub(crate) struct JournalConnected {
    pub(crate) follow: FollowHalf,
    pub(crate) sending: SendHalf,
    /// The journal, over the connection of `sending`.
    pub(crate) store: Arc<dyn JournalStore>,
    /// The server's address, for logs.
    pub(crate) server: String,
}

/// The appending of a bus: its options, and what it has appended.
#[derive(Debug)]
pub(crate) struct Appending {
    /// The replicas that must have each frame, and how long they are waited for.
    confirm: Option<(u32, Duration)>,
    /// The bytes since the journal was last trimmed.
    bytes: AtomicUsize,
    /// The number of them after which it is trimmed ahead of time.
    trim_after: usize,
    /// True if Redis had no memory for a frame.
    is_full: AtomicBool,
    /// Notified when the journal has to be trimmed.
    pub(crate) is_due: Notify,
    entries: Counter,
}

impl Appending {
    /// `ahead` is the number of bytes that may be appended before a trim.
    pub(crate) fn new(confirm: Option<(u32, Duration)>, ahead: usize) -> Self {
        Self {
            confirm,
            bytes: AtomicUsize::new(0),
            trim_after: ahead.min(TRIM_AFTER),
            is_full: AtomicBool::new(false),
            is_due: Notify::new(),
            entries: Counter::new(
                "tidings_journal_entries_appended_total",
                "entries that this process added to the journal",
            ),
        }
    }

    fn add(&self, bytes: usize) {
        self.entries.add(1);
        // Redis has memory again.
        if self.is_full.load(Ordering::Relaxed) {
            self.is_full.store(false, Ordering::Relaxed);
        }
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < self.trim_after && before + bytes >= self.trim_after {
            self.is_due.notify_one();
        }
    }

    /// Returns true if something was appended since the last call.
    pub(crate) fn take(&self) -> bool {
        self.bytes.swap(0, Ordering::Relaxed) > 0
    }

    /// Returns true if Redis had no memory for a frame since the last call.
    pub(crate) fn take_full(&self) -> bool {
        self.is_full.swap(false, Ordering::Relaxed)
    }
}

/// The parts to use the journal on a server.
pub(crate) struct JournalNode {
    /// True if the server is about to get the slot of the journal.
    pub(crate) is_asking: bool,
    pub(crate) block: Duration,
    pub(crate) redirect: Redirected,
    pub(crate) appending: Arc<Appending>,
}

/// The connection that follows the journal. Nothing is read from it while it is not driven: so a
/// process that cannot keep up leaves the events in the journal.
pub(crate) struct FollowHalf {
    pub(crate) store: Arc<dyn JournalStore>,
    /// Ends when the connection does.
    pub(crate) driver: BoxFuture<'static, ()>,
    pub(crate) block: Duration,
    pub(crate) redirect: Redirected,
}

impl FollowHalf {
    /// Waits for an answer while driving the connection.
    pub(crate) async fn drive<T>(&mut self, answer: impl Future<Output = T>) -> T {
        drive(&mut self.driver, answer).await
    }

    /// Writes the commands that are queued, as far as the socket takes them.
    pub(crate) async fn write(&mut self) {
        poll_fn(|cx| {
            let _ = self.driver.poll_unpin(cx);
            Poll::Ready(())
        })
        .await;
    }
}

/// Waits for an answer while driving the connection that it comes from.
pub(crate) async fn drive<T>(
    driver: &mut (impl Future<Output = ()> + Unpin),
    answer: impl Future<Output = T>,
) -> T {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The end of the connection is the answer to all commands.
        () = driver => answer.await,
    }
}

/// Appends the frames of a bus to the journal.
pub(crate) struct JournalPublisher {
    store: Arc<dyn JournalStore>,
    /// The server of the connection.
    node: Box<dyn Publisher>,
    elsewhere: Arc<Elsewhere>,
    appending: Arc<Appending>,
}

/// The answers of a server that does not have the journal, or may not write it.
struct Elsewhere {
    redirect: Redirected,
    told: Notify,
}

/// Takes the answer of a server that another one has the journal, for the next connect.
pub(crate) type Redirected = Arc<dyn Fn(&RedisError) + Send + Sync>;

impl JournalPublisher {
    /// Returns the send half of a journal over a connection.
    pub(crate) fn over(
        sending: SendHalf,
        store: Arc<dyn JournalStore>,
        redirect: Redirected,
        appending: Arc<Appending>,
    ) -> SendHalf {
        let told = Notify::new();
        let elsewhere = Arc::new(Elsewhere { redirect, told });
        let told = Arc::clone(&elsewhere);
        let told = async move {
            told.told.notified().await;
            ConnectError::JournalMoved
        };
        let publisher = Self {
            store,
            node: sending.publisher,
            elsewhere,
            appending,
        };
        SendHalf {
            publisher: Box::new(publisher),
            left: select(sending.left, told.boxed())
                .map(|first| first.factor_first().0)
                .boxed(),
            ..sending
        }
    }
}

/// Creates the journal that a frame was for, and returns why the frame is not in it.
#[cold]
fn create_for<'a>(frame: &Bytes, store: &'a dyn JournalStore) -> BoxFuture<'a, PublishError> {
    let mut events = Vec::new();
    let header = read_frame(frame, &Limits::default(), &mut events);
    let header = header.expect("this process wrote the frame");
    let position = header.from.zip(header.seq);
    let position = position.map(|(me, first)| position_frame(header.format, me, first));
    Box::pin(async move {
        if let Some(position) = position {
            // A failure is that of the next attempt to send the frame.
            let _ = store.create(position).await;
        }
        PublishError::NotNow("the journal did not exist".to_owned())
    })
}

impl Publisher for JournalPublisher {
    fn publish(&self, frame: Bytes) -> Reply {
        self.publish_again(frame, 0)
    }

    fn publish_again(&self, frame: Bytes, attempt: u32) -> Reply {
        let appended = self.store.append(frame.clone(), attempt);
        let (store, elsewhere) = (Arc::clone(&self.store), Arc::clone(&self.elsewhere));
        let appending = Arc::clone(&self.appending);
        let confirm = appending.confirm;
        // Queued behind the frame.
        let replicated = confirm.map(|(replicas, time)| store.wait(replicas, time));
        Box::pin(async move {
            match appended.await {
                Ok(Some(position)) => {
                    appending.add(frame.len());
                    if let (Some(replicated), Some((wanted, _))) = (replicated, confirm) {
                        let replicas = replicated.await.unwrap_or(0);
                        if replicas < wanted {
                            return Err(PublishError::NotReplicated {
                                position,
                                replicas,
                                wanted,
                            });
                        }
                    }
                    Ok(Published {
                        receivers: None,
                        position: Some(position),
                    })
                }
                Ok(None) => Err(create_for(&frame, &*store).await),
                Err(JournalError::Elsewhere(error)) => {
                    (elsewhere.redirect)(&error);
                    elsewhere.told.notify_one();
                    Err(PublishError::NotNow(own_words(&error)))
                }
                Err(JournalError::NotNow(words)) => Err(PublishError::NotNow(words)),
                Err(JournalError::Refused {
                    words,
                    is_out_of_memory,
                }) => {
                    if is_out_of_memory {
                        appending.is_full.store(true, Ordering::Relaxed);
                        appending.is_due.notify_one();
                    }
                    Err(PublishError::Refused(words))
                }
                Err(JournalError::Key(problem)) => Err(PublishError::Refused(problem)),
                Err(JournalError::Denied { words, cure }) => {
                    Err(PublishError::Denied(format!("{words} ({cure})")))
                }
                Err(JournalError::Lost) => Err(PublishError::Lost),
            }
        })
    }

    fn find(&self, after: JournalPosition, frames: Vec<Numbers>) -> Option<Search> {
        let (store, elsewhere) = (Arc::clone(&self.store), Arc::clone(&self.elsewhere));
        Some(Box::pin(async move {
            let found = find(store, after, frames).await;
            found.map_err(|error| {
                if let JournalError::Elsewhere(error) = &error {
                    (elsewhere.redirect)(error);
                }
                error.into_connect_error("looking for unanswered frames")
            })
        }))
    }

    fn wanted_replicas(&self) -> Option<u32> {
        self.appending.confirm.map(|(replicas, _)| replicas)
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        // A subscriber that is behind waits in the journal.
        Box::pin(async { None })
    }

    fn lost(&self) -> ConnectError {
        self.node.lost()
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        self.node.check()
    }
}

impl JournalError {
    /// Returns the error of a connection over which the journal cannot be used.
    pub(crate) fn into_connect_error(self, doing: &'static str) -> ConnectError {
        match self {
            Self::Elsewhere(_) => ConnectError::JournalMoved,
            Self::Key(problem) => ConnectError::JournalKey { problem },
            Self::NotNow(words) | Self::Refused { words, .. } => ConnectError::Redis {
                doing,
                words,
                cure: None,
                is_final: false,
            },
            Self::Denied { words, cure } => ConnectError::Denied { doing, words, cure },
            Self::Lost => ConnectError::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_codec::NodeId;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::keyspace::journal::fixtures::journal_over;
    use crate::resp;
    use crate::task::mutex::Mutex;

    /// The connection of a publisher, which these tests do not use.
    struct Unused;

    impl Publisher for Unused {
        fn publish(&self, _: Bytes) -> Reply {
            unreachable!()
        }

        fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
            unreachable!()
        }

        fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
            unreachable!()
        }
    }

    /// Searches for a frame in a journal on a server that gives these answers, one to each read. Returns
    /// the result, and the error that the next connection is told.
    async fn search<const N: usize>(
        answers: [String; N],
    ) -> (
        Result<Vec<(u64, JournalPosition)>, ConnectError>,
        Option<String>,
    ) {
        let (ours, mut server) = tokio::io::duplex(1 << 16);
        let (client, mut driver) = resp::connection(Box::pin(ours));
        tokio::spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
        tokio::spawn(async move {
            for answer in answers {
                let mut commands = [0; 4096];
                assert!(server.read(&mut commands).await.unwrap() > 0);
                server.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let told = Arc::new(Mutex::<Option<String>>::default());
        let tell = Arc::clone(&told);
        let publisher = JournalPublisher {
            store: Arc::new(journal_over(client, false)),
            node: Box::new(Unused),
            elsewhere: Arc::new(Elsewhere {
                redirect: Arc::new(move |error| *tell.lock() = Some(error.to_string())),
                told: Notify::new(),
            }),
            appending: Arc::new(Appending::new(None, TRIM_AFTER)),
        };
        let numbers = Numbers {
            sender: NodeId::from_bytes([7; 16]),
            first: 1,
            events: 1,
        };
        let found = publisher.find(JournalPosition::START, vec![numbers]);
        let found = found.expect("a journal can be searched").await;
        (found, told.lock().take())
    }

    #[test]
    fn a_small_journal_is_trimmed_earlier() {
        for (ahead, bytes) in [(1 << 20, 1 << 20), (64 << 20, TRIM_AFTER)] {
            let appending = Appending::new(None, ahead);
            appending.add(bytes - 1);
            assert!(appending.is_due.notified().now_or_never().is_none());
            appending.add(1);
            assert!(appending.is_due.notified().now_or_never().is_some());
        }
    }

    #[tokio::test]
    async fn a_search_that_another_node_must_answer_tells_the_next_connection() {
        let (found, told) = search(["-ASK 5718 127.0.0.1:7001\r\n".repeat(4)]).await;

        assert!(
            matches!(found, Err(ConnectError::JournalMoved)),
            "{found:?}"
        );
        assert!(told.unwrap().contains("127.0.0.1:7001"));
    }

    #[tokio::test]
    async fn a_search_waits_for_a_server_that_cannot_answer_now() {
        let busy = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n".repeat(4);
        let empty = "*0\r\n*0\r\n_\r\n*1\r\n+master\r\n".to_owned();

        let (found, told) = search([busy, empty]).await;

        assert!(found.unwrap().is_empty());
        assert_eq!(told, None);
    }
}
