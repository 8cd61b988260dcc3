//! What a handler may ask for: the event's context, the application's state, the bus.

use std::any::type_name;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tidings_codec::{EncodeError, NodeId};

use crate::Bus;
use crate::error::subscribe::MissingState;
use crate::event::sender::Sender;
use crate::receive::batch::ReceivedEvent;
use crate::receive::request::IncomingRequest;

/// What is known of an event beside its payload.
#[derive(Clone)]
pub struct Context {
    pub(crate) bus: Bus,
    pub(crate) event: Arc<str>,
    pub(crate) sender: Option<NodeId>,
    pub(crate) sequence: Option<u64>,
    pub(crate) at: u64,
    /// The ask that the event is, if somebody asks, for as long as its handlers run.
    pub(crate) request: Option<Weak<IncomingRequest>>,
}

impl Context {
    pub(crate) fn new(bus: Bus, event: Arc<str>) -> Self {
        Self {
            bus,
            event,
            sender: None,
            sequence: None,
            at: 0,
            request: None,
        }
    }

    /// A context that no event has: `tidings_testkit::context` makes them for unit tests.
    #[doc(hidden)]
    pub fn for_tests(
        bus: &Bus,
        event_name: &str,
        sender: Option<(NodeId, u64)>,
        sent_at: Option<SystemTime>,
    ) -> Self {
        let since_epoch = sent_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let milliseconds = since_epoch.map(|time| time.as_millis().try_into().unwrap_or(u64::MAX));
        Self {
            sender: sender.map(|(node, _)| node),
            sequence: sender.map(|(_, sequence)| sequence),
            at: milliseconds.unwrap_or(0),
            ..Self::new(bus.clone(), Arc::from(event_name))
        }
    }

    /// Is about this event from now on.
    #[inline]
    pub(crate) fn describe(&mut self, received: &ReceivedEvent<'_>) {
        if !Arc::ptr_eq(&self.event, received.name()) {
            self.event = Arc::clone(received.name());
        }
        let item = received.item();
        self.sender = received.sender();
        self.sequence = item.number();
        self.at = item.at;
        self.request = item.request().map(Arc::downgrade);
    }

    /// The name that the event was heard under.
    pub fn event_name(&self) -> &str {
        &self.event
    }

    /// The node that sent the event. It prints `unknown` for a sender that is no bus, such as
    /// `redis-cli`, and is `None` then.
    pub fn sender(&self) -> Sender {
        self.sender.into()
    }

    /// The sequence number that the sender gave the event, counted from 1; `None` for a sender that is
    /// no bus.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// When it was sent, by the sender's clock, as far as the sender said so. Events that left in
    /// one frame share the time of the first.
    pub fn sent_at(&self) -> Option<SystemTime> {
        let at = (self.at > 0).then(|| Duration::from_millis(self.at))?;
        UNIX_EPOCH.checked_add(at)
    }

    /// Whether it was heard late, from a journal. There is no journal yet: always `false`.
    pub fn is_replayed(&self) -> bool {
        false
    }

    /// Answers whoever [asked](Bus::request_all), once all handlers of the event have succeeded. The
    /// first answer counts that is not null. Where nobody asked, this does nothing.
    ///
    /// A function answers by returning `Ok(value)`; this is for handlers that are structs.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// struct Stock { apples: u32 }
    ///
    /// impl Handler<String> for Stock {
    ///     async fn handle(&self, _fruit: String, context: &Context) -> Result<(), HandlerError> {
    ///         context.respond(&self.apples)?;
    ///         Ok(())
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:answer-docs").start().await?;
    /// # bus.on("stock.count", Stock { apples: 3 })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When somebody asked, and serde cannot write the answer in the format of this bus.
    pub fn respond<A: Serialize + ?Sized>(&self, answer: &A) -> Result<(), EncodeError> {
        match self.request.as_ref().and_then(Weak::upgrade) {
            Some(request) => request.answer(answer),
            None => Ok(()),
        }
    }

    /// The bus, to send from within a handler. It does not keep the bus alive, and neither does a
    /// clone of it.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("event", &self.event)
            .field("sender", &self.sender)
            .field("sequence", &self.sequence)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Something that a handler can take beside the payload.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` after the payload",
    note = "after the payload a handler takes up to four of `Context`, `State<T>`, `Bus`",
    note = "use `tidings::State`, and not the `State` of another crate, such as `axum::extract::State`"
)]
pub trait FromContext: Sized {
    /// Takes it from the context of an event.
    fn from_context(context: &Context) -> Self;

    /// Whether this bus has it; asked once, when the handler is registered.
    ///
    /// # Errors
    ///
    /// When it is a `State<T>` that the builder was not given.
    fn check(bus: &Bus) -> Result<(), MissingState> {
        let _ = bus;
        Ok(())
    }
}

impl FromContext for Context {
    fn from_context(context: &Context) -> Self {
        context.clone()
    }
}

impl FromContext for Bus {
    fn from_context(context: &Context) -> Self {
        context.bus.clone()
    }
}

/// The application's own things, for handlers: given to the builder with
/// [`state`](crate::BusBuilder::state), taken by handlers as `State(mail): State<Mail>`.
///
/// Each call gets a clone, so share what is expensive to clone through an `Arc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    fn from_context(context: &Context) -> Self {
        let state = context.bus.states().get::<T>();
        Self(
            state
                .expect("a handler is registered only when its state is there")
                .clone(),
        )
    }

    fn check(bus: &Bus) -> Result<(), MissingState> {
        match bus.states().get::<T>() {
            Some(_) => Ok(()),
            None => Err(MissingState {
                state: type_name::<T>(),
            }),
        }
    }
}
