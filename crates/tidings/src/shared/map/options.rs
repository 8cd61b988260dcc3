//! `MapOptions`: the size of the cache and the age of its entries.

use std::time::Duration;

use crate::task::FOREVER;

const CAPACITY: usize = 10_000;
const TTL: Duration = Duration::from_mins(5);
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Options of a map: the size of the cache in each process, and the time to live of entries.
///
/// | | default |
/// |---|---|
/// | [`capacity`](Self::capacity) | 10,000 entries in each process |
/// | [`ttl`](Self::ttl) | 5 minutes for loaded entries, none for set ones |
/// | [`negative_ttl`](Self::negative_ttl) | 30 s, and never more than `ttl` |
///
/// ```
/// use std::time::Duration;
///
/// use tidings::MapOptions;
/// # use tidings::Bus;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:map-options-docs").start().await?;
/// let options = MapOptions::new().capacity(100_000).ttl(Duration::from_secs(60));
/// let names = bus.map_with::<u64, String>("names", options)?;
/// # let _ = names;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it is for `map_with`"]
pub struct MapOptions {
    pub(super) capacity: usize,
    /// Without it, loaded entries have a default, and set ones do not expire.
    pub(super) ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
}

impl MapOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self {
            capacity: CAPACITY,
            ttl: None,
            negative_ttl: None,
        }
    }

    /// Sets the maximal number of cached entries; with 0 each `get` reads from Redis. The least
    /// recently used entry is removed first.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// Sets the time to live of an entry, at least 1 ms. After it, no process uses the entry, even if
    /// notifications, connections and invalidations failed. It bounds the staleness of a cache whose
    /// source of truth is elsewhere. In Redis, later writes of entries with a time to live remove it
    /// from the hash of the map: each looks at three random entries.
    ///
    /// The default is 5 minutes for entries that [`get_or_load`](crate::SharedMap::get_or_load)
    /// stores. Entries that are [set](crate::SharedMap::set) or [updated](crate::SharedMap::update)
    /// do not expire by default, because the map itself may be their only place. A time that is set
    /// here applies to both.
    ///
    /// The time counts from each write of the entry, by the clock of Redis. A loader reads the
    /// source of truth before that, so its value may be older by the time that the loader and the
    /// write take.
    pub fn ttl(mut self, time: Duration) -> Self {
        self.ttl = Some(clamped(time));
        self
    }

    /// Sets the time to live of an entry that says that there is no value, stored by
    /// [`get_or_load_optional`](crate::SharedMap::get_or_load_optional); at least 1 ms, by default
    /// 30 s, and never more than [`ttl`](Self::ttl).
    pub fn negative_ttl(mut self, time: Duration) -> Self {
        self.negative_ttl = Some(clamped(time));
        self
    }

    /// The time to live of an entry that was loaded.
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

impl Default for MapOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn clamped(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), FOREVER)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;

    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt, poll};
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{Bus, SharedMap};

    type Map = SharedMap<usize, u32>;

    /// Reads entry 7 from Redis.
    type Reading = fn(Map) -> BoxFuture<'static, u32>;

    const READINGS: [(&str, Reading); 2] = [
        ("get", |map| {
            async move { *map.get(&7).await.unwrap().unwrap() }.boxed()
        }),
        ("load", |map| {
            let loader = || async { Ok::<_, Infallible>(0) };
            async move { *map.get_or_load(&7, loader).await.unwrap() }.boxed()
        }),
    ];

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_does_not_prolong_the_time_to_live_of_an_entry() {
        for (name, read) in READINGS {
            let address = format!("memory:slow-answer-{name}");
            let (writer, reader) = (Bus::builder(&address), Bus::builder(&address));
            let (writer, reader) = (writer.start().await.unwrap(), reader.start().await.unwrap());
            let options = MapOptions::new().ttl(Duration::from_secs(10));
            let map: Map = reader.map_with("ages", options).unwrap();
            let written: Map = writer.map_with("ages", options).unwrap();
            written.set(&7, &41).await.unwrap();
            // The clock is paused: it advances only when every task waits.
            sleep(Duration::from_millis(1)).await;

            let held = reader.inner.keyspace.answers.lock().await;
            let mut reading = pin!(read(map.clone()));
            assert!(poll!(&mut reading).is_pending());
            advance(Duration::from_secs(4)).await;
            drop(held);

            assert_eq!(reading.await, 41, "{name}");
            assert_eq!(map.peek(&7).as_deref(), Some(&41), "{name}");
            advance(Duration::from_secs(6)).await;
            assert_eq!(map.peek(&7), None, "{name}");
        }
    }
}
