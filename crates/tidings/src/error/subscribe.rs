//! Errors of registering a handler.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::RUNTIME_ENDED;

debug_as_report! { SubscribeError }

/// A handler asks for a state that the builder was not given.
#[derive(Debug, thiserror::Error)]
#[error("nobody gave a state of type `{state}`: call `.state(…)` on the builder")]
pub struct MissingState {
    pub(crate) state: &'static str,
}

/// Why a handler could not be registered.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it. A bus in a
    /// `static` needs a runtime that lives as long: each `#[tokio::test]` has one of its own.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The event's name cannot travel.
    #[error("`{}` cannot be an event's name", Escaped(.event))]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The name begins with `tidings.`: what travels so is for the buses themselves.
    #[error(
        "`{}` is for the buses themselves, as is every name that begins with `tidings.`",
        Escaped(.event)
    )]
    Reserved {
        /// The name.
        event: String,
    },
    /// The handler asks for a state that the builder was not given.
    #[error("the handler of `{event}` asks for something that is not there")]
    State {
        /// The event, or the type of the events.
        event: String,
        /// What is missing.
        source: MissingState,
    },
    /// Two event types claim one name with different payloads.
    #[error("`{event}` is claimed by two payload types, `{first}` and `{second}`")]
    Conflict {
        /// The name.
        event: String,
        /// The type that had it first.
        first: &'static str,
        /// The type that wants it too.
        second: &'static str,
    },
    /// A bound in [`HandlerOptions`](crate::HandlerOptions) is zero.
    #[error("the {what} of a handler cannot be zero")]
    Zero {
        /// Which one.
        what: &'static str,
    },
}
