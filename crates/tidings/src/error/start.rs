//! Errors of starting a bus.

use std::fmt;
use std::time::Duration;

use tidings_codec::{Escaped, NameError};

use crate::error::connect::{ConnectError, UrlError};
use crate::error::debug_as_report;
use crate::error::subscribe::SubscribeError;

debug_as_report! { StartError }

/// An error of starting a bus.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `start` was called outside of a Tokio runtime.
    #[error("cannot start a bus outside of a tokio runtime (`#[tokio::main]` creates one)")]
    NoRuntime,
    /// The address is not valid.
    #[error("cannot parse the address `{}`", Escaped(.url))]
    Url {
        /// The scheme of the address, and its hosts if they could be parsed. The rest is left out, since
        /// it may contain a password.
        url: String,
        /// The problem.
        source: UrlError,
    },
    /// The namespace is not valid.
    #[error("`{}` cannot be a namespace", Escaped(.namespace))]
    Namespace {
        /// The namespace.
        namespace: String,
        /// The broken rule.
        source: NameError,
    },
    /// The role is not valid.
    #[error("`{}` cannot be a role", Escaped(.role))]
    Role {
        /// The role.
        role: String,
        /// The broken rule.
        source: NameError,
    },
    /// A handler could not be registered.
    #[error("cannot register a handler given to the builder or marked `#[tidings::on]`")]
    Handler {
        /// The problem.
        #[from]
        source: SubscribeError,
    },
    /// Redis was not reached in time.
    #[error("cannot reach {} within {deadline:?}", Escaped(.address))]
    Unreachable {
        /// The address, without its password.
        address: String,
        /// The time allowed for the start.
        deadline: Duration,
        /// The error of the last attempt.
        source: ConnectError,
    },
    /// A member of the namespace on a Redis Cluster uses another kind of pub/sub, so that neither would
    /// receive the other's events.
    #[error(
        "the member `{}` uses {other} pub/sub and this bus {own} pub/sub: give all buses of a \
         namespace the same option `pubsub` in the address",
        Escaped(.member)
    )]
    PubSub {
        /// The name of the member.
        member: String,
        /// The kind that it uses.
        other: &'static str,
        /// The kind in the address of this bus.
        own: &'static str,
    },
    /// Members of the namespace do not read the journal that this bus would write to, so that they
    /// would miss its events.
    #[error(
        "the members `{}` have no journal, and would miss the events of this bus: first give all \
         buses `Journal::default().follow_only()`",
        Escaped(.members)
    )]
    JournalUnread {
        /// The names of the members.
        members: String,
    },
    /// Members of the namespace write to a journal, and this bus does not read it, so that it would
    /// miss their events.
    #[error(
        "the members `{}` have a journal, and this bus would miss their events: give it one, with \
         `BusBuilder::journal`",
        Escaped(.members)
    )]
    JournalMissing {
        /// The names of the members.
        members: String,
    },
    /// Redis rejected this bus for good, for example for a wrong password or a missing permission.
    #[error("cannot use {}", Escaped(.address))]
    Refused {
        /// The address, without its password.
        address: String,
        /// Redis's error, and what to do about it where that is known.
        source: ConnectError,
    },
}
