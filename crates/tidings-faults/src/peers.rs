//! The libraries of the comparison: their subscriptions, and their reports to the user.

#[cfg(feature = "peers")]
mod fred;
#[cfg(feature = "peers")]
mod redis;
mod tidings;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use tokio::task::AbortHandle;

/// A library, used as its documentation says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Peer {
    Tidings,
    #[cfg(feature = "peers")]
    Redis,
    #[cfg(feature = "peers")]
    Fred,
}

/// The address of the server, or of the sentinels.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Server(SocketAddr),
    /// A tidings URL.
    Sentinels(String),
}

/// The events and reports of a subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<LogEntries>>);

#[derive(Debug, Default)]
pub(crate) struct LogEntries {
    /// Ticks, and the time of receipt.
    pub(crate) received: Vec<(u64, Instant)>,
    /// The times at which the library reported a possible loss.
    pub(crate) notified: Vec<Instant>,
}

/// A subscription; it ends when this is dropped.
pub(crate) struct Subscription {
    _kept: Box<dyn Any + Send>,
    tasks: Vec<AbortHandle>,
}

impl Peer {
    #[cfg(feature = "peers")]
    pub(crate) const ALL: &[Self] = &[Self::Tidings, Self::Redis, Self::Fred];
    #[cfg(not(feature = "peers"))]
    pub(crate) const ALL: &[Self] = &[Self::Tidings];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidings => "tidings",
            #[cfg(feature = "peers")]
            Self::Redis => "redis: ConnectionManager",
            #[cfg(feature = "peers")]
            Self::Fred => "fred: SubscriberClient",
        }
    }

    /// The settings, and the events that count as a report.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Tidings => tidings::SETTINGS,
            #[cfg(feature = "peers")]
            Self::Redis => redis::SETTINGS,
            #[cfg(feature = "peers")]
            Self::Fred => fred::SETTINGS,
        }
    }

    /// Returns whether it can follow a master.
    pub(crate) fn knows_sentinels(self) -> bool {
        match self {
            Self::Tidings => true,
            #[cfg(feature = "peers")]
            Self::Redis => false,
            #[cfg(feature = "peers")]
            Self::Fred => true,
        }
    }

    /// Returns once it is subscribed.
    pub(crate) async fn subscribe(self, address: &Address, log: &Log) -> Result<Subscription> {
        match self {
            Self::Tidings => tidings::subscribe(address, log).await,
            #[cfg(feature = "peers")]
            Self::Redis => redis::subscribe(address, log).await,
            #[cfg(feature = "peers")]
            Self::Fred => fred::subscribe(address, log).await,
        }
    }
}

impl Log {
    fn received(&self, tick: u64) {
        self.lock().received.push((tick, Instant::now()));
    }

    fn notified(&self) {
        self.lock().notified.push(Instant::now());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LogEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
