//! Errors of registering a handler.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::RUNTIME_ENDED;

debug_as_report! { SubscribeError }

/// A handler takes a `State` that was not set on the builder.
#[derive(Debug, thiserror::Error)]
#[error("no state of type `{state}` was set: call `.state(…)` on the builder")]
pub struct MissingState {
    pub(crate) state: &'static str,
}

/// An error of registering a handler or a stream.
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
    /// The event name is not valid.
    #[error("`{}` cannot be an event's name", Escaped(.event))]
    Name {
        /// The name.
        event: String,
        /// The broken rule.
        source: NameError,
    },
    /// The name begins with `tidings.`, which is reserved.
    #[error(
        "the event name `{}` is reserved, as is every name that begins with `tidings.`",
        Escaped(.event)
    )]
    Reserved {
        /// The name.
        event: String,
    },
    /// The handler takes a `State` that was not set on the builder.
    #[error("cannot register the handler of `{event}`")]
    State {
        /// The event, or the type of the events.
        event: String,
        /// The missing state.
        source: MissingState,
    },
    /// Two event types use one name with different payloads.
    #[error("the event name `{event}` is used by two payload types, `{first}` and `{second}`")]
    Conflict {
        /// The name.
        event: String,
        /// The type that was registered first.
        first: &'static str,
        /// The type of this handler.
        second: &'static str,
    },
    /// A bound in [`HandlerOptions`](crate::HandlerOptions) or [`TapOptions`](crate::TapOptions) is
    /// zero.
    #[error("the option `{what}` cannot be zero")]
    Zero {
        /// The name of the bound.
        what: &'static str,
    },
}
