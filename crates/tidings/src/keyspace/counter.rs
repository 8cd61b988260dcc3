//! Numbers that all processes count together.

use std::future::ready;
use std::sync::LazyLock;

use redis::Script;

use crate::error::shown;
use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::memory::MemoryKeys;
use crate::keyspace::redis::RedisKeys;

/// A number that is not there is 0.
pub(crate) trait Counts {
    /// Adds, and answers the sum.
    fn add(&self, key: &str, n: i64) -> Answer<i64>;

    fn count(&self, key: &str) -> Answer<i64>;

    /// Makes it 0, and answers what it was.
    fn reset(&self, key: &str) -> Answer<i64>;
}

// To add nothing fails where something else lies there, and where nothing may be written. What it was
// is text: Lua's numbers are less exact.
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

impl Counts for RedisKeys {
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
            KeyError::Foreign(format!("`{text}` is not an integer"))
        })
    })
}

impl Counts for MemoryKeys {
    fn add(&self, key: &str, n: i64) -> Answer<i64> {
        let mut stored = self.lock();
        let count = stored.counts.entry(key.to_owned()).or_default();
        let sum = count.checked_add(n).ok_or(KeyError::Overflow);
        Box::pin(ready(sum.inspect(|sum| *count = *sum)))
    }

    fn count(&self, key: &str) -> Answer<i64> {
        self.look(|stored| stored.counts.get(key).copied().unwrap_or(0))
    }

    fn reset(&self, key: &str) -> Answer<i64> {
        self.look(|stored| stored.counts.insert(key.to_owned(), 0).unwrap_or(0))
    }
}
