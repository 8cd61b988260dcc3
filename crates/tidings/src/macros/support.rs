//! Traits and functions that the code of the macros uses, with diagnostics for unsuitable types.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use tidings_codec::{DecodeError, EncodeError, Encoder, Format, Payload};

use crate::error::subscribe::SubscribeError;
use crate::event::{Event, Unknown};
use crate::handler::Outcome;
use crate::handler::context::FromContext;
use crate::handler::key::{EventPayload, ReceiveKey};
use crate::{Bus, Subscription};

/// A payload that serde can encode and decode.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of an event",
    label = "serde cannot serialize and deserialize this type",
    note = "add `#[derive(Serialize, Deserialize)]` to `{Self}`"
)]
pub trait SerdePayload: Sized {
    /// Encodes the value.
    ///
    /// # Errors
    ///
    /// When serde cannot encode the value in this format.
    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError>;

    /// Decodes a value.
    ///
    /// # Errors
    ///
    /// When the payload does not match this type.
    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<P: Serialize + DeserializeOwned> SerdePayload for P {
    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(self)
    }

    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        payload.decode()
    }
}

/// The payload of the variant marked `#[event(other)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold the events of all other names",
    label = "expected `tidings::Unknown`",
    note = "write `#[event(other)] Other(Unknown)`: it holds any name, and the payload as received"
)]
pub trait Other: Event {}

impl Other for Unknown {}

/// Decodes the payload of the variant marked `#[event(other)]`.
///
/// # Errors
///
/// As [`Event::decode`].
pub fn decode_other<E: Other>(name: &str, payload: Payload<'_>) -> Result<E, DecodeError> {
    E::decode(name, payload)
}

/// Returns the error of a name without a variant.
pub fn unknown_name(name: &str, format: Format) -> DecodeError {
    let message = format_args!("no variant has the event name `{name}`");
    match format {
        Format::Json => DecodeError::Json(serde_json::Error::custom(message)),
        Format::MessagePack => DecodeError::MessagePack(serde::de::Error::custom(message)),
    }
}

macro_rules! registrations {
    ($($name:ident ($($argument:ident),*))*) => { $(
        /// Calls [`Bus::on`]. Each type of the function is a type parameter with its own bounds, so
        /// that the compiler error points at the unsuitable type.
        ///
        /// # Errors
        ///
        /// As [`Bus::on`].
        pub fn $name<K, P, $($argument,)* O, F, R>(
            bus: &Bus,
            event: K,
            function: F,
        ) -> Result<Subscription, SubscribeError>
        where
            K: ReceiveKey<P>,
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
        /// Checks each type of a handler, and does nothing.
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

/// The first argument of a handler.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its payload",
    label = "neither an event nor a type that serde can deserialize",
    note = "the payload is the first argument: an event (`#[derive(Event)]`), an `Arc` of one or, under a name, any type with `#[derive(Deserialize)]`",
    note = "the payload must be `Send`, and own its data"
)]
pub trait HandlerPayload {}

/// Checks whether a type can be a payload: as an event, under a name, or not at all. Method
/// resolution tries the traits in this order, because each one needs one more reference.
#[derive(Debug)]
pub struct Probe<P>(PhantomData<fn() -> P>);

impl<P> Probe<P> {
    /// Creates a probe.
    pub const NEW: Self = Self(PhantomData);
}

/// Implemented for events.
pub trait ProbeEvent {
    /// Checks the type.
    fn payload(&self) {}
}

impl<P: EventPayload> ProbeEvent for &&Probe<P> {}

/// Implemented for types that serde can deserialize.
pub trait ProbeSerde {
    /// Checks the type.
    fn payload(&self) {}
}

impl<P: DeserializeOwned + Send + 'static> ProbeSerde for &Probe<P> {}

/// Implemented for all types.
pub trait ProbeAny<P> {
    /// Checks the type.
    fn payload(&self)
    where
        P: HandlerPayload,
    {
    }
}

impl<P> ProbeAny<P> for Probe<P> {}
