//! An event: a type with a name on the wire, and the keys under which values are sent and heard.

pub(crate) mod name;
pub(crate) mod sender;

use std::any::{TypeId, type_name};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use tidings_codec::{DecodeError, EncodeError, Encoder, Format, Payload, check_name};

use crate::error::subscribe::SubscribeError;
use crate::event::name::is_control_event;

/// Something that happens, as a type: its name on the wire and its payload are one thing.
///
/// Derive it. A struct is one event; its payload is the struct itself, through serde:
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
///     Renamed(UserRenamed),          // travels under its own event's name
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
/// # By hand
///
/// What the derive writes can be written by hand:
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
    /// The key to send and hear this event under.
    const EVENT: EventKey<Self> = EventKey::new();

    /// Lists the names that this type travels under, each with the type of its payload.
    fn declare(names: &mut Names);

    /// The name that this value travels under.
    fn name(&self) -> &str;

    /// Writes the payload. Other senders of the bus wait meanwhile.
    ///
    /// # Errors
    ///
    /// When serde cannot write the value in this format.
    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError>;

    /// Reads the payload of an event heard under `name`, one of the declared names.
    ///
    /// # Errors
    ///
    /// When the payload is not what this type expects.
    fn decode(name: &str, payload: Payload<'_>) -> Result<Self, DecodeError>;

    /// Whether `name` is one of the declared names. An enum asks this of the events within it; the
    /// derive writes a version that does not build the list.
    #[doc(hidden)]
    fn claims(name: &str) -> bool {
        let names = Names::of::<Self>();
        names.list.iter().any(|declared| declared.name == name)
    }

    /// Whether it takes the names that nobody else does.
    #[doc(hidden)]
    fn claims_others() -> bool {
        Names::of::<Self>().other
    }
}

/// The key of an event type: [`Event::EVENT`] is all that one needs of it.
pub struct EventKey<E>(PhantomData<fn() -> E>);

impl<E> EventKey<E> {
    /// The key; there is one per type.
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

/// The names that an event type travels under, filled by [`Event::declare`].
#[derive(Debug, Default)]
pub struct Names {
    pub(crate) list: Vec<Name>,
    pub(crate) other: bool,
}

/// One name, and the type of what travels under it where a type claims the name.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: Cow<'static, str>,
    pub(crate) claim: Option<Claim>,
}

/// A payload type that claims a name for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) payload: TypeId,
    pub(crate) type_name: &'static str,
}

impl Names {
    /// The names that `E` declares.
    pub(crate) fn of<E: Event>() -> Self {
        let mut names = Self::default();
        E::declare(&mut names);
        names
    }

    /// Adds a name whose payload is a `P`. Two different payload types under one name are refused
    /// when handlers are registered.
    pub fn add<P: 'static>(&mut self, name: &'static str) {
        self.add_variant::<P>(name, type_name::<P>());
    }

    /// As [`add`](Self::add), for a payload type that a derive made: `type_name` is what people
    /// call it.
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

    /// Adds all names that nobody else on this bus hears.
    pub fn other(&mut self) {
        self.other = true;
    }

    /// Whether each name can travel, and is not one of those that buses tell each other things under.
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

    /// What a subscription to these names is called: the one name, or else the type.
    pub(crate) fn label<P>(&self) -> String {
        match &*self.list {
            [only] if !self.other => only.name.to_string(),
            _ => type_name::<P>().to_owned(),
        }
    }
}

/// An event whose name this process does not know, its payload kept as it came.
///
/// It is what the variant marked `#[event(other)]` holds.
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

    /// The payload, to decode it after all.
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
        let value: serde_json::Value = self
            .payload()
            .decode()
            .map_err(|error| EncodeError::Json(serde::ser::Error::custom(error)))?;
        into.encode(&value)
    }

    fn decode(name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: name.to_owned(),
            format: payload.format(),
            payload: payload.bytes().to_vec(),
        })
    }
}
