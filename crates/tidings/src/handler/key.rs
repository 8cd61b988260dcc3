//! Keys of sends and subscriptions: a name, the key of an event type, or the key of all events.

use std::any::TypeId;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_codec::{DecodeError, EncodeError, Encoder};

use crate::event::{Event, EventKey, Names, Unknown};
use crate::receive::batch::ReceivedEvent;

/// A key to send a value of type `T` under: a name (`&str`, for any serde type) or the key of an
/// event.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be sent under `{Self}`",
    note = "a name (`&str`) takes any `T: serde::Serialize`; `SomeEvent::EVENT` takes a `&SomeEvent`"
)]
pub trait SendKey<T: ?Sized>: Copy + Send + Sync {
    /// True for the keys of the buses themselves, whose names are reserved.
    #[doc(hidden)]
    const IS_CONTROL: bool = false;

    /// Returns the name under which `value` is sent.
    fn name<'a>(&'a self, value: &'a T) -> &'a str;

    /// Encodes the payload.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded in this format.
    fn encode(value: &T, into: Encoder<'_>) -> Result<(), EncodeError>;
}

impl<T: Serialize + ?Sized> SendKey<T> for &str {
    fn name<'a>(&'a self, _value: &'a T) -> &'a str {
        self
    }

    fn encode(value: &T, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(value)
    }
}

impl<E: Event> SendKey<E> for EventKey<E> {
    fn name<'a>(&'a self, value: &'a E) -> &'a str {
        value.name()
    }

    fn encode(value: &E, into: Encoder<'_>) -> Result<(), EncodeError> {
        value.encode(into)
    }
}

/// The key of a request of the buses themselves.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ControlKey(pub(crate) &'static str);

/// Without a payload.
impl SendKey<()> for ControlKey {
    const IS_CONTROL: bool = true;

    fn name<'a>(&'a self, _value: &'a ()) -> &'a str {
        self.0
    }

    fn encode(_value: &(), _into: Encoder<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// With a number as its payload.
impl SendKey<u64> for ControlKey {
    const IS_CONTROL: bool = true;

    fn name<'a>(&'a self, _value: &'a u64) -> &'a str {
        self.0
    }

    fn encode(value: &u64, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(value)
    }
}

/// Decodes the payload of a received event.
pub(crate) type Decode<P> = fn(&ReceivedEvent<'_>) -> Result<P, DecodeError>;

/// The events that a key selects, and how their payloads are decoded.
#[derive(Debug)]
pub struct Wanted<P> {
    pub(crate) names: Names,
    /// The type whose decoded values are shared, for handlers of an `Arc`.
    pub(crate) shares: Option<TypeId>,
    pub(crate) decode: Decode<P>,
}

/// A key to receive payloads of type `P` under: a name (`&str`, for any type that serde can
/// deserialize), the key of an event (the event, or an `Arc` of it), or [`AllEvents`].
#[diagnostic::on_unimplemented(
    message = "a handler for `{Self}` cannot take `{P}`",
    note = "under a name (`&str`) a handler takes any `T: serde::de::DeserializeOwned + Send`; under `SomeEvent::EVENT` it takes a `SomeEvent` or an `Arc<SomeEvent>`",
    note = "the payload must own its data: `String` instead of `&str`, `T` instead of `&T`"
)]
pub trait ReceiveKey<P>: sealed::Receive<P> {}

/// An event or an `Arc` of one: the payload of a handler that is registered without a name.
///
/// Handlers that take `Arc<E>` share one decoded value; handlers that take `E` own theirs.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its event",
    note = "the first argument is the event: a type with `#[derive(Event)]`, or an `Arc` of one. To handle any serde type under a name, write `bus.on(\"a.name\", handler)` or `#[tidings::on(\"a.name\")]`"
)]
pub trait EventPayload: sealed::Own {
    /// The event.
    type Event: Event;
}

impl<E: Event> EventPayload for E {
    type Event = E;
}

impl<E: Event + Sync> EventPayload for Arc<E> {
    type Event = E;
}

impl<P: DeserializeOwned + Send + 'static> ReceiveKey<P> for &str {}
impl<P: EventPayload> ReceiveKey<P> for EventKey<P::Event> {}

/// The key of all events, with or without another handler. Their payload is [`Unknown`].
///
/// [`subscribe_all`](crate::Bus::subscribe_all) is short for `on` with this key. The buses' own
/// events, `tidings.…`, are not included.
///
/// ```
/// use tidings::AllEvents;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// # let bus = Bus::builder("memory:all-events-docs").start().await?;
/// let options = HandlerOptions::new().overflow(Overflow::DropNewest);
/// bus.on_with(AllEvents, options, |event: Unknown| async move { println!("{}", event.name()) })?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AllEvents;

impl ReceiveKey<Unknown> for AllEvents {}
impl StreamKey<Unknown> for AllEvents {}

/// A key to open a [`stream`](crate::Bus::stream) for: a [`ReceiveKey`] with one payload type, so that
/// it can be inferred.
pub trait StreamKey<P>: ReceiveKey<P> {}

impl<P: DeserializeOwned + Send + 'static> StreamKey<P> for &str {}
impl<E: Event> StreamKey<E> for EventKey<E> {}

pub(crate) mod sealed {
    use super::{
        AllEvents, Arc, DeserializeOwned, Event, EventKey, EventPayload, Names, TypeId, Unknown,
        Wanted,
    };

    /// The part of a `ReceiveKey` that only the library uses.
    pub trait Receive<P>: Sized {
        /// Returns the events of this key, and how their payloads are decoded.
        fn wanted(&self) -> Wanted<P>;
    }

    /// The part of an `EventPayload` that only the library uses.
    pub trait Own: Sized + Send + 'static {
        fn own_wanted() -> Wanted<Self>;
    }

    impl<P: DeserializeOwned + Send + 'static> Receive<P> for &str {
        fn wanted(&self) -> Wanted<P> {
            Wanted {
                names: Names::untyped(self),
                shares: None,
                decode: |received| received.payload().decode(),
            }
        }
    }

    impl Receive<Unknown> for AllEvents {
        fn wanted(&self) -> Wanted<Unknown> {
            Wanted {
                names: Names::all(),
                ..Unknown::own_wanted()
            }
        }
    }

    impl<P: EventPayload> Receive<P> for EventKey<P::Event> {
        fn wanted(&self) -> Wanted<P> {
            P::own_wanted()
        }
    }

    impl<E: Event> Own for E {
        fn own_wanted() -> Wanted<Self> {
            Wanted {
                names: Names::of::<E>(),
                shares: None,
                decode: |received| E::decode(received.name(), received.payload()),
            }
        }
    }

    impl<E: Event + Sync> Own for Arc<E> {
        fn own_wanted() -> Wanted<Self> {
            Wanted {
                names: Names::of::<E>(),
                shares: Some(TypeId::of::<E>()),
                decode: |received| {
                    received.shared(|| E::decode(received.name(), received.payload()))
                },
            }
        }
    }
}
