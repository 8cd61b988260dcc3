//! The transport of `memory:name`: buses of one process exchange the same frames as over Redis.

use std::future::{pending, poll_fn, ready};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::unconstrained;

use crate::error::connect::ConnectError;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::memory::MemoryKeys;
use crate::memory::{Inbox, Place};
use crate::observe::health::TopologyKind;
use crate::transport::journal::{
    Appending, BLOCK, FollowHalf, JournalConnected, JournalPublisher, JournalTransport, Redirected,
};
use crate::transport::{
    Backlog, Connected, Published, Publisher, ReceiveHalf, Reply, SendHalf, Transport,
};

/// The transport to a [`Place`]. It keeps the place and its shared state alive between connections.
#[derive(Debug)]
pub(crate) struct Memory {
    name: String,
    place: Arc<Place>,
}

impl Memory {
    pub(crate) fn new(name: &str, channel: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: Place::of(name, channel),
        }
    }
}

#[async_trait]
impl Transport for Memory {
    fn address(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn topology(&self) -> TopologyKind {
        TopologyKind::Memory
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        let place = Arc::clone(&self.place);
        let inbox = Arc::new(Inbox::default());
        place.enter(&inbox);
        Ok(Connected {
            receive_half: Box::new(MemoryReceiveHalf { inbox }),
            sending: MemorySendHalf::over(&place),
            left_out: Vec::new(),
            server: self.address(),
        })
    }
}

#[async_trait]
impl JournalTransport for Memory {
    async fn connect_journal(
        &self,
        appending: Arc<Appending>,
    ) -> Result<JournalConnected, ConnectError> {
        let store: Arc<dyn JournalStore> = Arc::new(MemoryKeys {
            place: Arc::clone(&self.place),
        });
        let sending = MemorySendHalf::over(&self.place);
        let redirect: Redirected = Arc::new(|_| {});
        Ok(JournalConnected {
            follow: FollowHalf {
                store: Arc::clone(&store),
                driver: Box::pin(pending()),
                block: BLOCK,
                redirect: Arc::clone(&redirect),
            },
            sending: JournalPublisher::over(sending, Arc::clone(&store), redirect, appending),
            store,
            server: self.address(),
        })
    }
}

struct MemoryReceiveHalf {
    inbox: Arc<Inbox>,
}

#[async_trait]
impl ReceiveHalf for MemoryReceiveHalf {
    async fn receive(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError> {
        poll_fn(|cx| self.inbox.take(frames, cx.waker())).await
    }
}

struct MemorySendHalf {
    place: Arc<Place>,
}

impl MemorySendHalf {
    fn over(place: &Arc<Place>) -> SendHalf {
        let place = Arc::clone(place);
        SendHalf {
            publisher: Box::new(Self {
                place: Arc::clone(&place),
            }),
            driver: Box::pin(pending()),
            left: Box::pin(pending()),
            keyspace: Arc::new(MemoryKeys { place }),
            is_unproven: false,
        }
    }
}

impl Publisher for MemorySendHalf {
    fn publish(&self, frame: Bytes) -> Reply {
        let place = Arc::clone(&self.place);
        let publishing = async move { Ok(Published::to(Some(place.publish(frame).await))) };
        let mut publishing: Reply = Box::pin(publishing);
        // The first poll queues the frame. Without `unconstrained`, a task that has used up its budget
        // would not queue it.
        match unconstrained(publishing.as_mut()).now_or_never() {
            Some(answer) => Box::pin(ready(answer)),
            None => publishing,
        }
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        // `publish` itself waits for subscribers that are behind.
        Box::pin(async { None })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        Box::pin(async { Ok(()) })
    }
}
