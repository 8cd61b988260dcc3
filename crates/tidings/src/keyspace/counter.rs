//! Counters that all processes share.

use std::future::ready;
use std::sync::LazyLock;

use redis::Script;

use crate::error::shown;
use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::memory::MemoryKeys;
use crate::keyspace::redis::{KeyConnection, RedisKeys};

/// Operations on counters. A missing one is 0.
pub(crate) trait Counts {
    /// Adds to the counter and returns the sum.
    fn add(&self, key: &str, n: i64) -> Answer<i64>;

    fn count(&self, key: &str) -> Answer<i64>;

    /// Sets it to 0 and returns the value before.
    fn reset(&self, key: &str) -> Answer<i64>;
}

// Adding 0 fails if the key has another type, or writes are rejected. The old value is returned as
// text, because Lua's numbers are less exact.
static RESET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
redis.call("INCRBY", KEYS[1], 0)
local was = redis.call("GET", KEYS[1])
redis.call("SET", KEYS[1], 0, "KEEPTTL")
return was
"#,
    )
});

impl<C: KeyConnection> Counts for RedisKeys<C> {
    fn add(&self, key: &str, n: i64) -> Answer<i64> {
        let mut add = redis::cmd("INCRBY");
        add.arg(key).arg(n);
        self.ask(add)
    }

    fn count(&self, key: &str) -> Answer<i64> {
        let mut get = redis::cmd("GET");
        get.arg(key);
        number(self.ask(get))
    }

    fn reset(&self, key: &str) -> Answer<i64> {
        number(self.run(RESET.key(key)))
    }
}

fn number(bytes: Answer<Option<Vec<u8>>>) -> Answer<i64> {
    Box::pin(async move {
        let Some(bytes) = bytes.await? else {
            return Ok(0);
        };
        let text = String::from_utf8_lossy(&bytes);
        text.parse().map_err(|_| {
            let text = shown(&text);
            NotDone::Foreign(format!("`{text}` is not an integer").into())
        })
    })
}

impl Counts for MemoryKeys {
    fn add(&self, key: &str, n: i64) -> Answer<i64> {
        let mut stored = self.lock();
        let count = stored.counts.entry(key.to_owned()).or_default();
        let sum = count.checked_add(n).ok_or(NotDone::Overflow);
        Box::pin(ready(sum.inspect(|sum| *count = *sum)))
    }

    fn count(&self, key: &str) -> Answer<i64> {
        self.query(|stored| stored.counts.get(key).copied().unwrap_or(0))
    }

    fn reset(&self, key: &str) -> Answer<i64> {
        self.query(|stored| stored.counts.insert(key.to_owned(), 0).unwrap_or(0))
    }
}
