//! Errors of starting a bus.

use std::fmt;
use std::time::Duration;

use tidings_codec::{Escaped, NameError};

use crate::error::connect::{ConnectError, UrlError};
use crate::error::debug_as_report;
use crate::error::subscribe::SubscribeError;

debug_as_report! { StartError }

/// Why a bus did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was started outside of a Tokio runtime, which has to drive it.
    #[error(
        "a bus is started within a tokio runtime (`#[tokio::main]` makes one), and here is none"
    )]
    NoRuntime,
    /// The address is not one.
    #[error("`{}` is not an address that tidings understands", Escaped(.url))]
    Url {
        /// The address's scheme, and where it was understood its hosts; never the rest, which may
        /// be a part of a password.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The namespace cannot be part of a channel's name.
    #[error("`{}` cannot be a namespace", Escaped(.namespace))]
    Namespace {
        /// The namespace.
        namespace: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The role cannot be one.
    #[error("`{}` cannot be a role", Escaped(.role))]
    Role {
        /// The role.
        role: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// A handler could not be registered.
    #[error("cannot register a handler given to the builder or marked `#[tidings::on]`")]
    Handler {
        /// What is wrong with it.
        #[from]
        source: SubscribeError,
    },
    /// The bus could not be reached in time.
    #[error("cannot reach {} within {deadline:?}", Escaped(.address))]
    Unreachable {
        /// The address, without its password.
        address: String,
        /// How long it was tried.
        deadline: Duration,
        /// What happened at the last attempt.
        source: ConnectError,
    },
    /// It answers, and would never let this bus work: a wrong password, a forbidden channel.
    #[error("cannot use {}", Escaped(.address))]
    Refused {
        /// The address, without its password.
        address: String,
        /// What it said, and the cure where there is one.
        source: ConnectError,
    },
}
