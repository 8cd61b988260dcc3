//! The arguments of a handler after the payload: the event's context, the application's state, the
//! bus.

use std::any::type_name;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tidings_codec::{EncodeError, NodeId};

use crate::Bus;
use crate::error::subscribe::MissingState;
use crate::event::header::Headers;
use crate::event::position::{JournalPosition, Journaled};
use crate::event::sender::Sender;
use crate::receive::batch::{Item, ReceivedEvent};
use crate::receive::request::IncomingRequest;
use crate::task::milliseconds;

/// Data about a received event besides its payload: name, sender, time, headers.
#[derive(Clone)]
pub struct Context {
    pub(crate) bus: Bus,
    pub(crate) event: Arc<str>,
    pub(crate) sender: Option<NodeId>,
    pub(crate) sequence: Option<u64>,
    pub(crate) at: u64,
    /// The request that the event is, if it is one, for as long as its handlers run.
    pub(crate) request: Option<Weak<IncomingRequest>>,
    headers: Option<Arc<Headers>>,
    /// The place of the event in the journal, if it was read there.
    pub(crate) journaled: Option<Journaled>,
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
            headers: None,
            journaled: None,
        }
    }

    /// Creates a context without an event: `tidings_testkit::context` does so for unit tests.
    #[doc(hidden)]
    pub fn for_tests(
        bus: &Bus,
        event_name: &str,
        sender: Option<(NodeId, u64)>,
        sent_at: Option<SystemTime>,
    ) -> Self {
        let since_epoch = sent_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let sent_at = since_epoch.map(milliseconds);
        Self {
            sender: sender.map(|(node, _)| node),
            sequence: sender.map(|(_, sequence)| sequence),
            at: sent_at.unwrap_or(0),
            ..Self::new(bus.clone(), Arc::from(event_name))
        }
    }

    /// Replaces the context's event by this one.
    #[inline]
    pub(crate) fn describe(&mut self, received: &ReceivedEvent<'_>) {
        if !Arc::ptr_eq(&self.event, received.name()) {
            self.event = Arc::clone(received.name());
        }
        let item = received.item();
        self.sender = received.sender();
        self.sequence = item.number();
        self.at = item.at;
        self.journaled = received.journaled();
        if item.shared.is_some() || self.request.is_some() || self.headers.is_some() {
            self.set_extras(item);
        }
    }

    /// Takes over what few events have.
    fn set_extras(&mut self, item: &Item) {
        self.request = item.request().map(Arc::downgrade);
        self.headers = item.headers().cloned();
    }

    /// Returns the event's name.
    pub fn event_name(&self) -> &str {
        &self.event
    }

    /// Returns the node that sent the event. It is `None`, and prints `unknown`, for a sender that is
    /// not a bus, such as `redis-cli`.
    pub fn sender(&self) -> Sender {
        self.sender.into()
    }

    /// Returns the event's number among all events of its sender, counted from 1; `None` for a sender
    /// that is not a bus.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// Returns the time of sending by the sender's clock, if the sender gave it. Events of one frame
    /// have the time of the first.
    pub fn sent_at(&self) -> Option<SystemTime> {
        let at = (self.at > 0).then(|| Duration::from_millis(self.at))?;
        UNIX_EPOCH.checked_add(at)
    }

    /// Returns whether the event was in the [journal](crate::Journal) before this bus began to read
    /// it; `false` without a journal.
    pub fn is_replayed(&self) -> bool {
        self.journaled
            .is_some_and(|journaled| journaled.is_replayed)
    }

    /// Returns the position of the event in the [journal](crate::Journal); `None` without a journal.
    pub fn position(&self) -> Option<JournalPosition> {
        self.journaled.map(|journaled| journaled.position)
    }

    /// Returns a [header](crate::Sending::header) of the event. Reserved names have none.
    ///
    /// The sender chose the text: escape it with [`Escaped`](crate::codec::Escaped) before you print
    /// it, if the sender is not trusted.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name)
    }

    /// Returns the names and values of all [headers](Self::header) of the event, sorted by name.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:headers-docs").start().await?;
    /// bus.on("order.placed", |order: u64, context: Context| async move {
    ///     for (name, value) in context.headers() {
    ///         println!("{name}: {value}");
    ///     }
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().flat_map(|headers| headers.iter())
    }

    /// Responds to the [request](Bus::request) that the event is, once all handlers of the event have
    /// succeeded. The first response that is not null is sent. It does nothing for other events, or after
    /// the handlers of the request have ended, for example in a task that one of them spawned.
    ///
    /// A function responds by returning `Ok(value)`; this is for handlers that are structs.
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
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:respond-docs").start().await?;
    /// # bus.on("stock.count", Stock { apples: 3 })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event is a request, and serde cannot write the response in the format of this bus.
    pub fn respond<A: Serialize + ?Sized>(&self, response: &A) -> Result<(), EncodeError> {
        match self.request.as_ref().and_then(Weak::upgrade) {
            Some(request) => request.answer(response),
            None => Ok(()),
        }
    }

    /// Returns the bus, to send from a handler. It does not keep the bus alive, and neither does a
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

/// A type that a handler can take as an argument after the payload.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` after the payload",
    note = "after the payload a handler takes up to four of `Context`, `State<T>`, `Bus`",
    note = "use `tidings::State`, and not the `State` of another crate, such as `axum::extract::State`"
)]
pub trait FromContext: Sized {
    /// Creates the argument from the context of an event.
    fn from_context(context: &Context) -> Self;

    /// Checks that this bus can provide the argument. It is called when a handler is registered.
    ///
    /// # Errors
    ///
    /// When it is a `State<T>` that was not given to the builder.
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

/// A value of the application for its handlers: given to the builder with
/// [`state`](crate::BusBuilder::state), taken by handlers as `State(mail): State<Mail>`.
///
/// Each call gets a clone. Wrap values that are expensive to clone in an `Arc`.
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
