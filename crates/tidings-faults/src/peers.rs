//! The libraries that are compared: how each hears, and what it tells its user.

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

/// Where the master is, or who knows.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Server(SocketAddr),
    Sentinels {
        addresses: [SocketAddr; 3],
        url: String,
    },
}

/// What a hearer heard and was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// Which ticks, and when.
    pub(crate) heard: Vec<(u64, Instant)>,
    /// When the library said that something may have been missed.
    pub(crate) told: Vec<Instant>,
}

/// A hearer; it ends when this is dropped.
pub(crate) struct Hearing {
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

    /// How it is set, and what counts as being told.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Tidings => tidings::SETTINGS,
            #[cfg(feature = "peers")]
            Self::Redis => redis::SETTINGS,
            #[cfg(feature = "peers")]
            Self::Fred => fred::SETTINGS,
        }
    }

    /// Whether it can find a master that moves.
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
    pub(crate) async fn hear(self, place: &Place, notes: &Notes) -> Result<Hearing> {
        match self {
            Self::Tidings => tidings::hear(place, notes).await,
            #[cfg(feature = "peers")]
            Self::Redis => redis::hear(place, notes).await,
            #[cfg(feature = "peers")]
            Self::Fred => fred::hear(place, notes).await,
        }
    }
}

impl Notes {
    fn heard(&self, tick: u64) {
        self.lock().heard.push((tick, Instant::now()));
    }

    fn told(&self) {
        self.lock().told.push(Instant::now());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
