//! What macros ask of types, with advice where a type falls short.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use tidings_codec::{DecodeError, EncodeError, Encoder, Format, Payload};

use crate::error::subscribe::OnError;
use crate::event::{Event, Unknown};
use crate::handler::Outcome;
use crate::handler::context::FromContext;
use crate::handler::key::{EventPayload, HearKey};
use crate::{Bus, Subscription};

/// A payload that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of an event",
    label = "serde cannot write or read this type",
    note = "add `#[derive(Serialize, Deserialize)]` to `{Self}`"
)]
pub trait Portable: Sized {
    /// Writes it.
    ///
    /// # Errors
    ///
    /// When serde cannot write the value in this format.
    fn write(&self, into: Encoder<'_>) -> Result<(), EncodeError>;

    /// Reads one.
    ///
    /// # Errors
    ///
    /// When the payload is not what this type expects.
    fn read(payload: Payload<'_>) -> Result<Self, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<P: Serialize + DeserializeOwned> Portable for P {
    fn write(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(self)
    }

    fn read(payload: Payload<'_>) -> Result<Self, DecodeError> {
        payload.decode()
    }
}

/// What the variant marked `#[event(other)]` holds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold the events that nobody else knows",
    label = "this should be a `tidings::Unknown`",
    note = "the variant marked `#[event(other)]` is `Other(Unknown)`: any name, the payload kept as it came"
)]
pub trait Other: Event {}

impl Other for Unknown {}

/// Reads what the variant marked `#[event(other)]` holds.
///
/// # Errors
///
/// As [`Event::decode`].
pub fn decode_other<E: Other>(name: &str, payload: Payload<'_>) -> Result<E, DecodeError> {
    E::decode(name, payload)
}

/// The complaint about a name that no variant of an enum has.
pub fn unclaimed(name: &str, format: Format) -> DecodeError {
    let complaint = format_args!("no variant has the event name `{name}`");
    match format {
        Format::Json => DecodeError::Json(serde_json::Error::custom(complaint)),
        Format::MessagePack => DecodeError::MessagePack(serde::de::Error::custom(complaint)),
    }
}

macro_rules! registrations {
    ($($name:ident ($($argument:ident),*))*) => { $(
        /// [`Bus::on`] for a function, where each thing that it has to be is asked of a type
        /// parameter of its own, so that the compiler can point at what does not suit.
        ///
        /// # Errors
        ///
        /// As [`Bus::on`].
        pub fn $name<K, P, $($argument,)* O, F, R>(
            bus: &Bus,
            event: K,
            function: F,
        ) -> Result<Subscription, OnError>
        where
            K: HearKey<P>,
            P: Send + 'static,
            $($argument: FromContext + 'static,)*
            O: Outcome,
            F: Fn(P, $($argument,)*) -> R + Send + Sync + 'static,
            R: Future<Output = O> + Send,
        {
            bus.on(event, function)
        }
    )* };
}

registrations! { on0 () on1 (A) on2 (A, B) on3 (A, B, C) on4 (A, B, C, D) }

macro_rules! handlers {
    ($($name:ident ($($argument:ident),*))*) => { $(
        /// Asks of a function what each part of a handler has to be, and does nothing.
        pub fn $name<P, $($argument,)* O, F, R>(_: F)
        where
            P: Send + 'static,
            $($argument: FromContext + 'static,)*
            O: Outcome,
            F: Fn(P, $($argument,)*) -> R + Send + Sync + 'static,
            R: Future<Output = O> + Send,
        {
        }
    )* };
}

handlers! { handler0 () handler1 (A) handler2 (A, B) handler3 (A, B, C) handler4 (A, B, C, D) }

/// What a handler takes first.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its payload",
    label = "neither an event nor a type that serde can read",
    note = "the payload is the first argument: an event (`#[derive(Event)]`), an `Arc` of one or, under a name, any type with `#[derive(Deserialize)]`",
    note = "it is `Send`, and owns what it holds"
)]
pub trait HandlerPayload {}

/// Asks whether a type can be a payload: as an event, under a name, or not at all. Methods are
/// looked for in this order, as each of the traits stands behind one more reference.
#[derive(Debug)]
pub struct Probe<P>(PhantomData<fn() -> P>);

impl<P> Probe<P> {
    /// One to ask.
    pub const NEW: Self = Self(PhantomData);
}

/// As an event.
pub trait ProbeEvent {
    /// Asks.
    fn payload(&self) {}
}

impl<P: EventPayload> ProbeEvent for &&Probe<P> {}

/// Under a name.
pub trait ProbeSerde {
    /// Asks.
    fn payload(&self) {}
}

impl<P: DeserializeOwned + Send + 'static> ProbeSerde for &Probe<P> {}

/// Not at all.
pub trait ProbeAny<P> {
    /// Asks.
    fn payload(&self)
    where
        P: HandlerPayload,
    {
    }
}

impl<P> ProbeAny<P> for Probe<P> {}
