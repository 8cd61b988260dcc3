//! How much of a map a process keeps at hand, and for how long.

use std::time::Duration;

use crate::task::FOREVER;

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
/// use tidings::MapOptions;
/// # use tidings::Bus;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:caching-docs").start().await?;
/// let caching = MapOptions::new().capacity(100_000).ttl(Duration::from_secs(60));
/// let names = bus.map_with::<u64, String>("names", caching)?;
/// # let _ = names;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it is for `map_with`"]
pub struct MapOptions {
    pub(super) capacity: usize,
    ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
}

impl MapOptions {
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
    /// place. A time that is given here holds for both.
    ///
    /// The time counts from each writing of the entry, by the clock of Redis. A loader reads the
    /// source of truth before that: what it returns can be older than this time by as long as the
    /// loader runs after its read, and by the time that the writing takes.
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

impl Default for MapOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn at_least_a_moment(time: Duration) -> Duration {
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

    /// Something that has the entry of 7 from Redis.
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
    async fn an_entry_is_not_at_hand_longer_because_its_answer_was_slow() {
        for (name, read) in READINGS {
            let address = format!("memory:slow-answer-{name}");
            let (writer, reader) = (Bus::builder(&address), Bus::builder(&address));
            let (writer, reader) = (writer.start().await.unwrap(), reader.start().await.unwrap());
            let caching = MapOptions::new().ttl(Duration::from_secs(10));
            let map: Map = reader.map_with("ages", caching).unwrap();
            let written: Map = writer.map_with("ages", caching).unwrap();
            written.set(&7, &41).await.unwrap();
            // The clock is paused: it goes on only when every task waits.
            sleep(Duration::from_millis(1)).await;

            let contained = reader.inner.keyspace.answers.lock().await;
            let mut reading = pin!(read(map.clone()));
            assert!(poll!(&mut reading).is_pending());
            advance(Duration::from_secs(4)).await;
            drop(contained);

            assert_eq!(reading.await, 41, "{name}");
            assert_eq!(map.peek(&7).as_deref(), Some(&41), "{name}");
            advance(Duration::from_secs(6)).await;
            assert_eq!(map.peek(&7), None, "{name}");
        }
    }
}
