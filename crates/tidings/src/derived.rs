//! What macros ask of types, with advice where a type falls short.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use tidings_codec::{DecodeError, EncodeError, Format, Payload};

use crate::context::FromContext;
use crate::event::{Event, EventPayload, Unknown};
use crate::handler::Outcome;

/// A payload that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of an event",
    label = "serde cannot write or read this type",
    note = "add `#[derive(Serialize, Deserialize)]` to `{Self}`"
)]
pub trait Portable: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<P: Serialize + DeserializeOwned + 'static> Portable for P {}

/// Writes a payload.
pub fn encode<P: Portable>(
    payload: &P,
    format: Format,
    into: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    format.encode(payload, into)
}

/// Reads a payload.
pub fn decode<P: Portable>(payload: Payload<'_>) -> Result<P, DecodeError> {
    payload.decode()
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

/// Asks of the payload of a collected handler that hears a type's events.
pub fn subscribes<P: EventPayload>() {}

/// Asks of the payload of a collected handler that hears a name.
pub fn hears<P: DeserializeOwned + Send + 'static>() {}

/// Asks of what a collected handler takes beside the payload.
pub fn takes<A: FromContext>() {}

/// Asks of what a collected handler returns.
pub fn returns<O: Outcome>() {}
