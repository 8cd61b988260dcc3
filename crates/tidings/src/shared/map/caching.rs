//! How much of a map a process keeps at hand, and for how long.

use std::time::Duration;

use crate::task::timer::FOREVER;

const CAPACITY: usize = 10_000;
const TTL: Duration = Duration::from_mins(5);
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// How much of a map a process keeps at hand, and how old an entry may be.
///
/// | | default |
/// |---|---|
/// | [`capacity`](Self::capacity) | 10,000 entries in each process |
/// | [`ttl`](Self::ttl) | 5 minutes for what was loaded, without end for what was set |
/// | [`negative_ttl`](Self::negative_ttl) | 30 s, and never more than `ttl` |
///
/// ```
/// use std::time::Duration;
///
/// use tidings::Caching;
/// # use tidings::Bus;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:caching-docs").start().await?;
/// let caching = Caching::new().capacity(100_000).ttl(Duration::from_secs(60));
/// let names = bus.map_with::<u64, String>("names", caching)?;
/// # let _ = names;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it is for `map_with`"]
pub struct Caching {
    pub(super) capacity: usize,
    ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
}

impl Caching {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            capacity: CAPACITY,
            ttl: None,
            negative_ttl: None,
        }
    }

    /// How many entries are at hand at most; with 0 each `get` asks Redis. Where there is no more room,
    /// an entry goes that was not used of late.
    pub fn capacity(self, entries: usize) -> Self {
        Self {
            capacity: entries,
            ..self
        }
    }

    /// How old an entry may be, at least 1 ms: after this time it is gone from Redis and from every
    /// process, whatever happened to notifications, connections and invalidations. It is the greatest
    /// staleness of a cache whose source of truth is elsewhere.
    ///
    /// By default it is 5 minutes for entries that [`get_or_load`](crate::SharedMap::get_or_load)
    /// stores. Entries that are [set](crate::SharedMap::set) or
    /// [updated](crate::SharedMap::update) have no end then, because the map itself may be their only
    /// place. A time that is given here holds for both, from each writing on.
    pub fn ttl(self, time: Duration) -> Self {
        Self {
            ttl: Some(at_least_a_moment(time)),
            ..self
        }
    }

    /// How long it is remembered that there is no value, which
    /// [`get_or_load_optional`](crate::SharedMap::get_or_load_optional) found; at least 1 ms, by
    /// default 30 s, and never more than [`ttl`](Self::ttl).
    pub fn negative_ttl(self, time: Duration) -> Self {
        Self {
            negative_ttl: Some(at_least_a_moment(time)),
            ..self
        }
    }

    /// Of what was set.
    pub(super) fn set_ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Of what was loaded.
    pub(super) fn loaded_ttl(&self, is_negative: bool) -> Duration {
        let ttl = self.ttl.unwrap_or(TTL);
        let negative_ttl = self.negative_ttl.unwrap_or(NEGATIVE_TTL);
        if is_negative {
            negative_ttl.min(ttl)
        } else {
            ttl
        }
    }
}

impl Default for Caching {
    fn default() -> Self {
        Self::new()
    }
}

fn at_least_a_moment(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), FOREVER)
}
