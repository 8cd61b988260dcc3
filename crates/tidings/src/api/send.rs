//! Sending: to all nodes, to all others, to one node, and many events without waiting.

use std::sync::Arc;

use tidings_codec::{Encoder, NodeId, To};

use crate::Bus;
use crate::api::sending::{Receipt, Sending};
use crate::error::send::{FlushError, SendError};
use crate::event::name::is_control_event;
use crate::event::{EventKey, header};
use crate::handler::key::SendKey;
use crate::observe::trace::{Carried, sending};
use crate::send::frame::{FrameResult, Outcome, Slot};
use crate::send::outgoing::{Address, Lane, Manner, Unwritten, Wait};

impl Bus {
    /// Sends an event to every process, this one included, and waits until Redis has accepted it.
    ///
    /// An event is sent at once if nothing is under way, and otherwise in one frame with the other
    /// events that wait. While Redis is unreachable it waits in the send buffer, for 30 s by default
    /// ([`send_timeout`](crate::BusBuilder::send_timeout)).
    ///
    /// The payload is encoded by the caller, while other senders of this bus wait: its `Serialize`
    /// must not wait for them. Dropping the future does not cancel the event: it is sent as a
    /// [fed](Self::feed) one. If it has no place in the send buffer yet, it is not sent, and reported
    /// with [`SendFailure::Dropped`](crate::SendFailure::Dropped).
    ///
    /// [`acknowledged`](Sending::acknowledged) also waits until the receivers have handled the event,
    /// and [`header`](Sending::header) adds a header.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:send-docs").start().await?;
    /// let receipt = bus.send_to_all("cache.clear", "user:7").await?;
    /// println!("event {} of this bus", receipt.sequence);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event cannot be encoded, or Redis did not confirm it: [`SendError::Unknown`] if it
    /// may have been published.
    pub fn send_to_all<'a, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>> {
        self.sending(event, data, To::All)
    }

    /// Sends an event of a type with `#[derive(Event)]` to every process: short for
    /// `send_to_all(E::EVENT, event)`.
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

    /// Sends an event to every process except this one, as [`send_to_all`](Self::send_to_all).
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all).
    pub fn send_to_others<'a, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>> {
        self.sending(event, data, To::Others)
    }

    /// Sends an event to the process whose bus has this [`id`](Self::id), as
    /// [`send_to_all`](Self::send_to_all).
    ///
    /// The first send to a node asks Redis whether it is a member. If that cannot be determined, for
    /// example because the ACL does not allow it, the event is sent anyway.
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all), and when no [member](Self::members) has this id, nor
    /// joins with it within half a second. A bus with
    /// [`membership(false)`](crate::BusBuilder::membership) cannot be found.
    pub fn send_to<'a, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        node: NodeId,
        event: K,
        data: &'a T,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>> {
        let to = To::Node(node);
        Sending::new(self, event, data, to, self.send_with(event, data, to, &[]))
    }

    /// Sends an event to every process without waiting for Redis. It waits only for room: while 2 MiB
    /// of events are on their way to a reachable Redis, or while the send buffer is full.
    ///
    /// [`flush`](Self::flush) waits for the results. An event that is given up is also reported to
    /// `on_failure`. If the future is dropped while it waits for room, the event is not sent, and is
    /// reported in the same way, with [`SendFailure::Dropped`](crate::SendFailure::Dropped).
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:feed-docs").start().await?;
    /// for order in 1..=1_000_u64 {
    ///     bus.feed("order.placed", &order).await?;
    /// }
    /// bus.flush().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event cannot be encoded, the bus is shut down, there is no room for 30 s
    /// ([`send_timeout`](crate::BusBuilder::send_timeout)), or a
    /// [`volatile`](crate::BusBuilder::volatile) bus is disconnected from Redis.
    pub async fn feed<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: K,
        data: &T,
    ) -> Result<(), SendError> {
        let slot = self.append(&event, data, To::All.into(), Wait::Fed).await?;
        if slot.has_closed {
            // A frame is full: on a runtime of one thread, its sender must get to run.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends an event to every process as [`feed`](Self::feed), but never waits: if there is no room,
    /// it fails and the event is not queued.
    ///
    /// It is for callers that are not async, and for those that prefer to drop an event over waiting.
    /// A loop of these calls must give way to the runtime now and then, or nothing is sent. A payload
    /// whose `Serialize` sends over the same bus, such as by a `tracing` subscriber that sends what is
    /// logged, gets [`SendError::Encode`].
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// use tidings::{SendError, SendFailure};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:try-feed-docs").start().await?;
    /// match bus.try_feed("cursor.moved", &(12, 7)) {
    ///     Err(SendError::NotSent { why: SendFailure::QueueFull { .. }, .. }) => println!("too many"),
    ///     result => result?,
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no room: [`SendError::NotSent`] with
    /// [`SendFailure::QueueFull`](crate::SendFailure::QueueFull); otherwise as [`feed`](Self::feed).
    pub fn try_feed<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: K,
        data: &T,
    ) -> Result<(), SendError> {
        let name = event.name(data);
        check_name(name)?;
        let carried = &Carried::current();
        let encode = |into: Encoder<'_>| K::encode(data, into);
        let outgoing = &self.inner.events;
        let event = unwritten(name, To::All.into(), carried);
        match outgoing.try_append(event, self.manner(Wait::Fed), &encode)? {
            Some(_) => Ok(()),
            None => Err(outgoing.no_room(name, Wait::Fed)),
        }
    }

    /// Waits until every [fed](Self::feed) event has a result: Redis has accepted it, or it was given
    /// up. If the future is dropped, the events are sent all the same, and the next flush has the list.
    ///
    /// # Errors
    ///
    /// When fed events were given up since the last flush; the error lists them. There is one list:
    /// if several tasks flush, one of them gets it.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.settled().await;
        self.inner.outgoing.take_undelivered()
    }
}

impl Bus {
    fn sending<'a, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        event: K,
        data: &'a T,
        to: To,
    ) -> Sending<'a, K, T, impl Future<Output = Result<Receipt, SendError>>> {
        Sending::new(self, event, data, to, self.send(event, data, to.into()))
    }

    /// Sends an event with headers, once its receiver is known to be there.
    pub(crate) async fn send_with<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: K,
        data: &T,
        to: To,
        headers: &[(&str, &str)],
    ) -> Result<Receipt, SendError> {
        let name = event.name(data);
        check_headers(name, headers)?;
        if let To::Node(node) = to {
            let unwritten = self.inner.outgoing.unwritten(name, 1);
            unwritten.wait(self.reach(node, name)).await?;
        }
        let (meta, lane) = (headers, Lane::Events);
        self.send(event, data, Address { to, meta, lane }).await
    }

    pub(crate) async fn send<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Receipt, SendError> {
        let name = event.name(data);
        let awaiting = async {
            let awaited = self.hand_over(&event, data, address).await?;
            awaited.receipt(name).await
        };
        sending(name, awaiting).await
    }

    /// Puts an event into the send buffer; the caller waits for its result.
    pub(crate) async fn hand_over<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
    ) -> Result<Awaited, SendError> {
        let slot = self.append(event, data, address, Wait::Awaited).await?;
        Ok(Awaited {
            pending: slot.awaited.expect("an awaited event has a result"),
            index: slot.index,
            is_told: false,
        })
    }

    async fn append<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        event: &K,
        data: &T,
        address: Address<'_>,
        wait: Wait,
    ) -> Result<Slot, SendError> {
        let manner = self.manner(wait);
        let name = event.name(data);
        if !K::IS_CONTROL {
            check_name(name)?;
        }
        let carried = &Carried::current();
        let event = unwritten(name, address, carried);
        let encode = |into: Encoder<'_>| K::encode(data, into);
        let outgoing = self.inner.lane(address.lane);
        // Most of the time there is room, and no wait to be prepared.
        if let Some(slot) = outgoing.try_append(event, manner, &encode)? {
            return Ok(slot);
        }
        // Boxed, because it is rare, and a future is as large as the largest that it awaits.
        let waiting = Box::pin(self.in_runtime(outgoing.append(event, manner, encode)));
        outgoing.unwritten(name, 1).wait(waiting).await
    }

    #[inline]
    fn manner(&self, wait: Wait) -> Manner {
        Manner {
            wait,
            is_volatile: self.is_volatile,
        }
    }
}

/// Rejects the names that are reserved for tidings.
#[inline]
fn check_name(name: &str) -> Result<(), SendError> {
    if is_control_event(name.as_bytes()) {
        let event = name.to_owned();
        return Err(SendError::Reserved { event });
    }
    Ok(())
}

#[inline]
fn unwritten<'a>(name: &'a str, address: Address<'a>, carried: &'a Carried) -> Unwritten<'a> {
    Unwritten {
        name,
        to: address.to,
        carried,
        meta: address.meta,
    }
}

/// Checks the headers that an application gives to an event.
pub(crate) fn check_headers(event: &str, headers: &[(&str, &str)]) -> Result<(), SendError> {
    header::check(headers).map_err(|(header, source)| SendError::Header {
        event: event.to_owned(),
        header: header.to_owned(),
        source,
    })
}

/// The result of an event, for its sender. Dropped before the result is there, the event is treated
/// as a fed one.
pub(crate) struct Awaited {
    pending: Arc<FrameResult>,
    index: u32,
    is_told: bool,
}

impl Awaited {
    pub(crate) async fn receipt(mut self, event: &str) -> Result<Receipt, SendError> {
        let outcome = self.pending.outcome().await;
        // Nothing is awaited from here on: the sender gets the result.
        self.is_told = true;
        match outcome {
            Outcome::Sent {
                first,
                receivers,
                position,
            } => Ok(Receipt {
                sequence: first + u64::from(self.index),
                receivers,
                position,
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
