//! Who is expected to answer: the members of the namespace.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use tidings_codec::NodeId;
use tokio::sync::broadcast;

use super::error::AskError;
use super::summary::Who;
use crate::Bus;

/// Who leaves, from when it is known who is there.
pub(crate) type Departures = BoxStream<'static, NodeId>;

/// Who is there now, and who of them leaves from now on.
pub(crate) async fn expected(bus: &Bus) -> Result<(Vec<Who>, Departures), AskError> {
    let known = &bus.inner.dispatcher.asks.known;
    let leaving = known.leaving.subscribe();
    let next = async |mut leaving: broadcast::Receiver<NodeId>| {
        let node = leaving.recv().await.ok()?;
        Some((node, leaving))
    };
    Ok((known.lock().clone(), unfold(leaving, next).boxed()))
}

/// The members as this bus was told of them.
#[derive(Debug)]
pub(crate) struct Known {
    members: Mutex<Vec<Who>>,
    leaving: broadcast::Sender<NodeId>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            members: Mutex::default(),
            leaving: broadcast::Sender::new(64),
        }
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Vec<Who>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a bus of the members that it shall expect.
pub fn introduce(bus: &Bus, members: impl IntoIterator<Item = (NodeId, String)>) {
    let who = |(node, name)| Who {
        node,
        name: Some(name),
        role: None,
    };
    *bus.inner.dispatcher.asks.known.lock() = members.into_iter().map(who).collect();
}

/// Tells a bus that a member is gone.
pub fn take_leave(bus: &Bus, node: NodeId) {
    let known = &bus.inner.dispatcher.asks.known;
    known.lock().retain(|who| who.node != node);
    let _ = known.leaving.send(node);
}
