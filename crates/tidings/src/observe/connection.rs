//! The state of a connection of a bus.

use std::time::Instant;

use serde::Serialize;

use crate::observe::serialize;

/// The state of a bus's connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Connection {
    /// The bus is starting. Only [`Handler::check`](crate::Handler::check) and
    /// [`FromContext::check`](crate::FromContext::check) can see this: `start()` returns a bus that
    /// is up.
    Connecting,
    /// Redis confirmed the subscription.
    Up {
        /// The time of that.
        #[serde(serialize_with = "serialize::ago")]
        since: Instant,
        /// The address of the server.
        server: String,
        /// The nodes of a cluster that the bus could not use when it connected, each with the reason,
        /// such as `10.0.0.8:6379: connection refused`: those that did not answer at the address that
        /// they announce, and those that are cut off from the others.
        left_out: Vec<String>,
    },
    /// The connection is lost, or the server is no longer the master. The bus is reconnecting.
    Disconnected {
        /// The time at which that was detected.
        #[serde(serialize_with = "serialize::ago")]
        since: Instant,
        /// The error of the last attempt.
        why: String,
    },
    /// The bus is shut down.
    Closed,
}

impl Connection {
    /// Sets this to disconnected, since the first of several failures in a row. Returns true if the state
    /// or its reason has changed.
    pub(crate) fn disconnect(&mut self, why: String) -> bool {
        let since = match self {
            Self::Disconnected { since, .. } => *since,
            _ => Instant::now(),
        };
        let now = Self::Disconnected { since, why };
        let has_changed = *self != now;
        *self = now;
        has_changed
    }
}
