//! The trait `Event`, the names of event types, and their keys.

mod any_value;
pub(crate) mod header;
pub(crate) mod name;
pub(crate) mod numbers;
pub(crate) mod position;
#[cfg_attr(not(feature = "schema"), path = "event/schema/absent.rs")]
pub(crate) mod schema;
pub(crate) mod sender;

use std::any::{TypeId, type_name};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use tidings_codec::{DecodeError, EncodeError, Encoder, Format, Payload, check_name};

use crate::error::subscribe::SubscribeError;
use crate::event::any_value::AnyValue;
use crate::event::name::is_control_event;
use crate::event::schema::Declarations;

/// A type with a name on the wire and a payload.
///
/// Use the derive macro. A struct is one event, and is its own payload through serde:
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event("user.renamed")]
/// struct UserRenamed { id: u64, name: String }
///
/// let event = UserRenamed { id: 7, name: "Ada".into() };
/// assert_eq!(event.name(), "user.renamed");
/// ```
///
/// An enum is a closed set of events, for one handler with an exhaustive `match`:
///
/// ```
/// # use tidings::prelude::*;
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # #[event("user.renamed")]
/// # struct UserRenamed { id: u64, name: String }
/// #[derive(Debug, Event)]
/// enum Account {
///     Renamed(UserRenamed),          // has its own name, `user.renamed`
///     #[event("user.deleted")]
///     Deleted { id: u64 },           // a variant with fields is its own payload
///     #[event("users.reloaded")]
///     Reloaded,                      // no payload
///     #[event(other)]
///     Other(Unknown),                // names that this process does not know
/// }
///
/// assert_eq!(Account::Deleted { id: 7 }.name(), "user.deleted");
/// ```
///
/// # Implementing `Event` by hand
///
/// ```
/// use tidings::codec::{DecodeError, EncodeError, Encoder, Payload};
/// use tidings::{Event, Names};
///
/// struct Tick(u32);
///
/// impl Event for Tick {
///     fn declare(names: &mut Names) {
///         names.add::<Tick>("tick");
///     }
///     fn name(&self) -> &str {
///         "tick"
///     }
///     fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
///         into.encode(&self.0)
///     }
///     fn decode(_name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
///         payload.decode().map(Tick)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "add `#[derive(Event)]` to the type, and serde's `Serialize` and `Deserialize` to a struct",
    note = "any serde type can be sent and handled under a name: `bus.on(\"a.name\", …)`, `#[tidings::on(\"a.name\")]`, or `#[event(\"a.name\")]` on a variant"
)]
pub trait Event: Sized + Send + 'static {
    /// The key for sending and receiving this event.
    const EVENT: EventKey<Self> = EventKey::new();

    /// Declares the names of this type on the wire, each with the type of its payload.
    fn declare(names: &mut Names);

    /// The name of this value on the wire.
    fn name(&self) -> &str;

    /// Encodes the payload. Other sends of the bus wait until it returns.
    ///
    /// # Errors
    ///
    /// When serde cannot serialize the value in this format.
    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError>;

    /// Decodes the payload of an event that was received under `name`, one of the declared names.
    ///
    /// # Errors
    ///
    /// When the payload does not match the type.
    fn decode(name: &str, payload: Payload<'_>) -> Result<Self, DecodeError>;

    /// Declares the events of this type for the [contract](crate#features) of the program, with the
    /// schemas of their payloads. The derive generates it; by default, they have none.
    #[doc(hidden)]
    fn describe(declarations: &mut Declarations) {
        let names = Names::of::<Self>().list.into_iter();
        let type_of = |name: &Name| name.claim.map_or("", |claim| claim.type_name);
        declarations.names(names.map(|name| (name.name.clone(), type_of(&name))));
    }

    /// Returns whether `name` is one of the declared names. An enum calls it for the events in its
    /// variants; the derive generates a version that does not build the list.
    #[doc(hidden)]
    fn claims(name: &str) -> bool {
        let names = Names::of::<Self>();
        names.list.iter().any(|declared| declared.name == name)
    }

    /// Returns whether the type also accepts the names that no other subscription names.
    #[doc(hidden)]
    fn claims_others() -> bool {
        Names::of::<Self>().other
    }
}

/// The key of an event type, for sends and subscriptions: [`Event::EVENT`].
pub struct EventKey<E>(PhantomData<fn() -> E>);

impl<E> EventKey<E> {
    /// The key of `E`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for EventKey<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for EventKey<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for EventKey<E> {}

impl<E> fmt::Debug for EventKey<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey<{}>", type_name::<E>())
    }
}

/// The names of an event type on the wire, as [`Event::declare`] declares them.
#[derive(Debug, Default)]
pub struct Names {
    pub(crate) list: Vec<Name>,
    /// The events that no subscription names.
    pub(crate) other: bool,
    /// All events: those of other subscriptions, too.
    pub(crate) all: bool,
}

/// One name, with the payload type if the name is declared by an event type.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: Cow<'static, str>,
    pub(crate) claim: Option<Claim>,
}

/// The payload type of a declared name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) payload: TypeId,
    pub(crate) type_name: &'static str,
}

impl Names {
    /// The names of `E`.
    pub(crate) fn of<E: Event>() -> Self {
        let mut names = Self::default();
        E::declare(&mut names);
        names
    }

    /// One name, with payloads of any type.
    pub(crate) fn untyped(name: &str) -> Self {
        let name = Cow::Owned(name.to_owned());
        Self {
            list: vec![Name { name, claim: None }],
            ..Self::default()
        }
    }

    /// The names of all events.
    pub(crate) fn all() -> Self {
        Self {
            other: true,
            all: true,
            ..Self::default()
        }
    }

    /// Declares a name with payloads of type `P`. Registering handlers for two payload types under one
    /// name is an error.
    pub fn add<P: 'static>(&mut self, name: &'static str) {
        self.add_variant::<P>(name, type_name::<P>());
    }

    /// Like [`add`](Self::add), for a payload type that the derive generated: errors call it
    /// `type_name`.
    #[doc(hidden)]
    pub fn add_variant<P: 'static>(&mut self, name: &'static str, type_name: &'static str) {
        let claim = Claim {
            payload: TypeId::of::<P>(),
            type_name,
        };
        self.list.push(Name {
            name: Cow::Borrowed(name),
            claim: Some(claim),
        });
    }

    /// Declares all names that no other subscription of the bus names.
    pub fn other(&mut self) {
        self.other = true;
    }

    /// Checks that each name is valid and not reserved.
    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        self.list.iter().try_for_each(|name| {
            let event = || name.name.to_string();
            check_name(&name.name).map_err(|source| {
                let event = event();
                SubscribeError::Name { event, source }
            })?;
            if is_control_event(name.name.as_bytes()) {
                return Err(SubscribeError::Reserved { event: event() });
            }
            Ok(())
        })
    }

    /// The label of a subscription to these names: the only name, or else the type.
    pub(crate) fn label<P>(&self) -> String {
        match &*self.list {
            _ if self.all => "*".to_owned(),
            [only] if !self.other => only.name.to_string(),
            _ => type_name::<P>().to_owned(),
        }
    }
}

/// An event whose name this process does not know, with its payload still encoded: the content of
/// the variant marked `#[event(other)]`.
///
/// A bus of the other format converts the payload when it sends the event. From MessagePack to JSON
/// this is as if the value was sent in JSON: NaN, for example, is an error. From JSON to MessagePack
/// the keys of maps stay texts, also where they are numbers to the sender: a type with such keys
/// cannot read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    name: String,
    format: Format,
    payload: Vec<u8>,
}

impl Unknown {
    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The encoded payload.
    pub fn payload(&self) -> Payload<'_> {
        Payload::new(self.format, &self.payload)
    }
}

impl Event for Unknown {
    fn declare(names: &mut Names) {
        names.other();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        if into.format() == self.format {
            return into.copy(self.payload());
        }
        let error = |error| EncodeError::Json(serde::ser::Error::custom(error));
        match self.format {
            Format::Json => {
                let value: serde_json::Value = self.payload().decode().map_err(error)?;
                into.encode(&value)
            }
            Format::MessagePack => {
                let value: AnyValue = self.payload().decode().map_err(error)?;
                into.encode(&value)
            }
        }
    }

    fn decode(name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: name.to_owned(),
            format: payload.format(),
            payload: payload.bytes().to_vec(),
        })
    }
}
