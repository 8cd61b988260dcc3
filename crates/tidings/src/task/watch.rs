//! `Watch`: a stream of the changes of one thing.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use tokio::sync::Notify;

/// A [`Stream`] of changes: [`SharedWatch`](crate::SharedWatch), [`EntryWatch`](crate::EntryWatch),
/// [`MapWatch`](crate::MapWatch) and [`MemberWatch`](crate::MemberWatch) say of what.
///
/// A slow reader gets the newest state, not each one before it. The stream ends with the bus, and
/// does not keep it alive; after the end, each further call returns `None`.
pub struct Watch<T> {
    /// Makes the stream return the state as it is, if it is a stream of states.
    look: Option<Arc<Notify>>,
    /// Returns `None` again after its end.
    changes: BoxStream<'static, T>,
}

impl<T> Watch<T> {
    /// Creates a watch of changes.
    pub(crate) fn new(changes: impl Stream<Item = T> + Send + 'static) -> Self {
        Self {
            look: None,
            changes: changes.fuse().boxed(),
        }
    }

    /// Creates a watch of a state, whose stream returns the state as it is when `look` is notified.
    pub(crate) fn of_state(
        look: Arc<Notify>,
        states: impl Stream<Item = T> + Send + 'static,
    ) -> Self {
        Self {
            look: Some(look),
            changes: states.fuse().boxed(),
        }
    }

    /// Waits for the next change and returns it, or the newest state; `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<T> {
        self.changes.next().await
    }

    /// The same as [`changed`](Self::changed).
    pub async fn next(&mut self) -> Option<T> {
        self.changed().await
    }

    /// Waits for a change that `wanted` accepts and returns it; `None` once the bus has ended. The
    /// state of a shared value or of an entry is also accepted as it is now.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        if let Some(look) = &self.look {
            look.notify_one();
        }
        let mut accepted = self.filter(|change| ready(wanted(change)));
        accepted.next().await
    }
}

impl<T> Stream for Watch<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.changes.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
