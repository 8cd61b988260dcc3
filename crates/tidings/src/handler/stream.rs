//! Events as a stream instead of a handler.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use futures_util::Stream;

use crate::bus::WeakBus;
use crate::error::failure::HandlerFailure;
use crate::handler::context::Context;
use crate::handler::key::Decode;
use crate::handler::runner::{CallError, report};
use crate::receive::batch::{Batch, Item};
use crate::receive::subscription::SubscriptionSlot;
use crate::task::panic::caught;

/// A stream of the events of one key, in order. It ends when the bus is shut down or dropped.
/// Dropping it ends the subscription, and gives up the events that it has not returned. With a
/// [durable](crate::Journal::durable) name, no later process gets those: drop the stream after
/// [`shutdown`](crate::Bus::shutdown).
///
/// Its queue is bounded by the defaults of [`HandlerOptions`](crate::HandlerOptions).
pub struct EventStream<P> {
    subscription: Arc<SubscriptionSlot>,
    bus: WeakBus,
    decode: Decode<P>,
    batch: Option<Batch>,
    /// The rest of the batch.
    items: VecDeque<Item>,
    /// The event that was returned last.
    given: Option<Item>,
    payload: PhantomData<fn() -> P>,
}

impl<P> EventStream<P> {
    pub(crate) fn new(
        subscription: Arc<SubscriptionSlot>,
        bus: WeakBus,
        decode: Decode<P>,
    ) -> Self {
        Self {
            subscription,
            bus,
            decode,
            batch: None,
            items: VecDeque::new(),
            given: None,
            payload: PhantomData,
        }
    }

    /// Returns the next event, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<P> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Returns the context of the event that was returned last: sender, time, number and headers.
    /// `None` before the first event, and after the bus was dropped.
    pub fn context(&self) -> Option<Context> {
        let received = self.batch.as_ref()?.received(self.given.as_ref()?);
        let mut context = Context::new(self.bus.upgrade()?, Arc::clone(received.name()));
        context.describe(&received);
        Some(context)
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<P>> {
        loop {
            if let (Some(batch), Some(mut item)) = (&self.batch, self.items.pop_front()) {
                let payload = self.read(batch, &item);
                item.release();
                self.subscription.calls.end_one();
                self.given = Some(item);
                if let Some(payload) = payload {
                    return Poll::Ready(Some(payload));
                }
                continue;
            }
            match self.subscription.queue.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(mut batch)) => {
                    self.given = None;
                    self.items = std::mem::take(&mut batch.events).into();
                    self.batch = Some(batch);
                }
            }
        }
    }

    /// Decodes the payload, or reports a failure.
    fn read(&self, batch: &Batch, item: &Item) -> Option<P> {
        let received = batch.received(item);
        let error = match caught(|| (self.decode)(&received)) {
            Ok(Ok(payload)) => {
                received.ended(None);
                return Some(payload);
            }
            Ok(Err(source)) => CallError::Undecodable(source),
            Err(text) => CallError::Handler(HandlerFailure::Panicked(text)),
        };
        let bus = self.bus.upgrade();
        report(error, &received, &self.subscription, bus.as_ref());
        None
    }
}

impl<P> Stream for EventStream<P> {
    type Item = P;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<P>> {
        self.get_mut().poll(cx)
    }
}

impl<P> Drop for EventStream<P> {
    fn drop(&mut self) {
        self.subscription.queue.close();
        if let Some(bus) = self.bus.upgrade() {
            bus.remove(&self.subscription);
        }
    }
}

impl<P> fmt::Debug for EventStream<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventStream")
            .field(&self.subscription.handler)
            .finish()
    }
}
