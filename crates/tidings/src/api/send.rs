//! How a bus sends, and an event on its way, for who awaits it: until Redis took it, or until its
//! receivers handled it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tidings_codec::{Encoder, NodeId, To};

use crate::Bus;
use crate::error::request::RequestError;
use crate::error::send::{FlushError, SendError};
use crate::event::EventKey;
use crate::event::name::is_control_event;
use crate::handler::key::SendKey;
use crate::observe::trace::{Carried, sending};
use crate::request::summary::Summary;
use crate::send::frame::{FrameResult, Outcome, Slot};
use crate::send::outgoing::{Address, Manner, Unwritten, Wait};

impl Bus {
    /// Short for `send_to_all(E::EVENT, event)`.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub fn publish<'a, E: crate::Event + Sync>(
        &'a self,
        event: &'a E,
    ) -> Sending<'a, EventKey<E>, E, impl Future<Output = Result<Receipt, SendError>>> {
        self.send_to_all(E::EVENT, event)
    }

    /// Sends an event to every process, this one included, and waits until Redis took it.
    ///
    /// While nothing is under way it leaves at once; otherwise it travels with what else waits.
    /// While Redis is away it waits in the outgoing queue, for 30 s by default
    /// ([`send_timeout`](crate::BusBuilder::send_timeout)).
    ///
    /// The payload is encoded here, and other senders of this bus wait meanwhile: its `Serialize`
    /// must not wait for them. Dropping the future does not take the event back: it leaves, or is
    /// reported as a fed one. Where it still waits for a place in a full queue, it is reported with
    /// [`SendFailure::Dropped`](crate::SendFailure::Dropped).
    ///
    /// To wait until those who hear it have handled it, too, ask for it:
    /// [`acknowledged`](Sending::acknowledged).
    ///
    /// # Errors
    ///
    /// When the event cannot be written, or Redis did not acknowledge it:
    /// [`SendError::Unknown`] says whether it may have been published all the same.
    pub fn send_to_all<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.sending(event, data, To::All)
    }

    /// As [`send_to_all`](Self::send_to_all), to every process but this one.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub fn send_to_others<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        self.sending(event, data, To::Others)
    }

    /// As [`send_to_all`](Self::send_to_all), to the one process whose [`id`](Self::id) is `node`.
    ///
    /// The first time it asks Redis whether there is one; from then on that is known. Where it
    /// cannot be known, as without the permission to be a member, it is sent all the same.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all), and when no [member](Self::members) has that id, nor
    /// gets it within half a second. A bus
    /// [`membership`](crate::BusBuilder::membership) has none that can be found.
    pub fn send_to<'a, K, T>(
        &'a self,
        node: NodeId,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let to = To::Node(node);
        let sending = async move {
            let name = event.name(data);
            let unwritten = self.inner.outgoing.unwritten(name, 1);
            unwritten.wait(self.reach(node, name)).await?;
            self.send(event, data, to.into()).await
        };
        Sending::new(self, event, data, to, sending)
    }

    /// Sends an event to every process without waiting for Redis: waits only while 4 MiB of events
    /// are on their way to a Redis that is there, or while the outgoing queue is full when it is
    /// away. [`flush`](Self::flush) says afterwards what became of all of them; what is
    /// given up is also reported to `on_failure`.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:feed-docs").start().await?;
    /// for order in 1..=1_000_u64 {
    ///     bus.feed("order.placed", &order).await?;
    /// }
    /// bus.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event cannot be written, the bus is shut down, the queue stays full for 30 s
    /// ([`send_timeout`](crate::BusBuilder::send_timeout)), or a
    /// [`volatile`](crate::BusBuilder::volatile) bus is away from Redis.
    pub async fn feed<K, T>(&self, event: K, data: &T) -> Result<(), SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(&event, data, To::All.into(), Wait::Fed).await?;
        if ticket.has_closed {
            // A frame is full: on a runtime of one thread, somebody must get to send it.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits until everything that was fed has its why: Redis took all of it, or the error names
    /// what it did not take.
    ///
    /// # Errors
    ///
    /// When fed events were given up since the last flush. There is one list of them: where
    /// several tasks flush, one of them gets it.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.outgoing.settled().await;
        self.inner.outgoing.take_undelivered()
    }
}

/// What Redis said when it took an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The sequence number of the event: a bus counts what it sends from 1.
    pub sequence: u64,
    /// How many connections heard the frame that carried it, this bus's own included. `None` where
    /// the number would mean nothing.
    pub receivers: Option<u64>,
}

pin_project! {
    /// An event that is sent when this is awaited: [`Bus::send_to_all`] and its like give it.
    ///
    /// Awaited as it is, it ends when Redis took the event. [`acknowledged`](Self::acknowledged)
    /// ends when those who hear it have handled it.
    #[must_use = "nothing is sent before it is awaited"]
    pub struct Sending<'a, K, T: ?Sized, F> {
        bus: &'a Bus,
        event: K,
        data: &'a T,
        to: To,
        #[pin]
        sending: F,
    }
}

impl<'a, K, T: ?Sized, F> Sending<'a, K, T, F> {
    pub(crate) fn new(bus: &'a Bus, event: K, data: &'a T, to: To, sending: F) -> Self {
        Self {
            bus,
            event,
            data,
            to,
            sending,
        }
    }
}

impl<'a, K, T, F> Sending<'a, K, T, F>
where
    K: SendKey<T>,
    T: ?Sized + Sync,
{
    /// Sends the event and waits until every member that it is for has handled it, at most so long
    /// after Redis took it; says who did not, and why.
    ///
    /// As an ask does ([`Bus::request_all`]), without the answers. It costs an event more of each
    /// member.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:acknowledged-docs").start().await?;
    /// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
    /// let sending = bus.send_to_all("cache.clear", "user:7");
    /// let summary = sending.acknowledged(Duration::from_secs(2)).await?;
    /// println!("{summary}");                        // such as `3 handled`
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when nobody knows who is there, because
    /// Redis does not say or does not allow it, unless it is for one node; and when 1,024 asks of
    /// this bus are open.
    pub fn acknowledged(
        self,
        deadline: Duration,
    ) -> impl Future<Output = Result<Summary, RequestError>> + Send + use<'a, K, T, F> {
        let Self {
            bus,
            event,
            data,
            to,
            sending: _,
        } = self;
        bus.acknowledged(event, data, to, deadline)
    }
}

impl<K, T, F> Future for Sending<'_, K, T, F>
where
    T: ?Sized,
    F: Future<Output = Result<Receipt, SendError>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().sending.poll(cx)
    }
}

impl<K, T: ?Sized, F> fmt::Debug for Sending<'_, K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Bus {
    fn sending<'a, K, T>(
        &'a self,
        event: K,
        data: &'a T,
        to: To,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        Sending::new(self, event, data, to, self.send(event, data, to.into()))
    }

    pub(crate) async fn send<K, T>(
        &self,
        event: K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let name = event.name(data);
        let awaiting = async {
            let awaited = self.hand_over(&event, data, address).await?;
            awaited.receipt(name).await
        };
        sending(name, awaiting).await
    }

    /// Puts an event in line, for somebody who waits for what becomes of it.
    pub(crate) async fn hand_over<K, T>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Awaited, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let ticket = self.append(event, data, address, Wait::Awaited).await?;
        Ok(Awaited {
            pending: ticket.awaited.expect("who waits is given what to wait for"),
            index: ticket.index,
            is_told: false,
        })
    }

    async fn append<K, T>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
        wait: Wait,
    ) -> Result<Slot, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let manner = Manner {
            wait,
            is_volatile: self.is_volatile,
        };
        let name = event.name(data);
        if is_control_event(name.as_bytes()) {
            let event = name.to_owned();
            return Err(SendError::Reserved { event });
        }
        let event = Unwritten {
            name,
            to: address.to,
            carried: &Carried::current(),
            meta: address.meta,
        };
        let encode = |into: Encoder<'_>| K::encode(data, into);
        let outgoing = &self.inner.outgoing;
        // There is room most of the time, and nothing to be set up for a wait.
        if let Some(ticket) = outgoing.try_append(event, manner, &encode)? {
            return Ok(ticket);
        }
        let waiting = self.in_runtime(outgoing.append(event, manner, encode));
        outgoing.unwritten(name, 1).wait(waiting).await
    }
}

/// Somebody waits for what becomes of an event. Who does not wait any more has fed it.
pub(crate) struct Awaited {
    pending: Arc<FrameResult>,
    index: u32,
    is_told: bool,
}

impl Awaited {
    pub(crate) async fn receipt(mut self, event: &str) -> Result<Receipt, SendError> {
        let outcome = self.pending.outcome().await;
        // Nothing is waited for from here on: whoever waits is told.
        self.is_told = true;
        match outcome {
            Outcome::Sent { first, receivers } => Ok(Receipt {
                sequence: first + u64::from(self.index),
                receivers,
            }),
            Outcome::Failed(outcome) => Err(SendError::new(event, outcome)),
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.is_told {
            self.pending.nobody_waits(self.index);
        }
    }
}
