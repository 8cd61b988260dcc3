//! Data that a server loses although it has acknowledged it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::FromRedisValue;

use crate::{Redis, wait_for};

const EVICTED_WITHIN: Duration = Duration::from_secs(20);

/// # Losing data
impl Redis {
    /// Cuts bytes off the end of the append-only file of a killed server, as a power failure does:
    /// Redis had acknowledged these writes, and the disk did not have them yet. Returns the number
    /// of bytes, which is smaller where the file is.
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let redis = Redis::builder().config("appendonly", "yes");
    /// // Otherwise, Redis may answer before it writes, while the disk is busy.
    /// let mut redis = redis.config("appendfsync", "always").start().await;
    /// redis.command(&["SET", "colour", "green"]).await;
    /// redis.command(&["SET", "size", "small"]).await;
    ///
    /// redis.kill();
    /// redis.truncate_append_only_file(10);
    /// redis.start_again().await;
    ///
    /// assert_eq!(redis.cli(&["GET", "colour"]).await, "green");
    /// assert_eq!(redis.cli(&["EXISTS", "size"]).await, "0");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the server runs, or has no append-only file (`appendonly yes`).
    pub fn truncate_append_only_file(&self, bytes: u64) -> u64 {
        assert!(!self.is_running(), "the server is running: kill it first");
        let path = append_only_file(self.directory()).expect("the server has `appendonly yes`");
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.expect("the append-only file can be written");
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let lost = bytes.min(length);
        file.set_len(length - lost)
            .expect("the append-only file can be truncated");
        lost
    }

    /// Evicts all keys (`maxmemory` with the policy `allkeys-random`), and allows new ones then.
    /// Writes of others are rejected with `OOM` in between.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached, or a key is left after 20 seconds.
    pub async fn evict_all(&self) {
        let policy = self.setting("maxmemory-policy").await;
        let limit = self.setting("maxmemory").await;
        self.set("maxmemory-policy", "allkeys-random").await;
        self.set("maxmemory", "1").await;
        wait_for("all keys are evicted", EVICTED_WITHIN, async || {
            let size = self.command(&["DBSIZE"]).await;
            u64::from_redis_value(size).is_ok_and(|size| size == 0)
        })
        .await;
        self.set("maxmemory", &limit).await;
        self.set("maxmemory-policy", &policy).await;
    }

    async fn set(&self, setting: &str, value: &str) {
        self.command(&["CONFIG", "SET", setting, value]).await;
    }

    async fn setting(&self, setting: &str) -> String {
        let answer = self.command(&["CONFIG", "GET", setting]).await;
        let words = Vec::<String>::from_redis_value(answer).unwrap_or_default();
        let value = words.into_iter().nth(1);
        value.expect("CONFIG GET answers a name and a value")
    }
}

/// Returns the file that Redis appends to: since 7.0 the newest part of several.
fn append_only_file(directory: &Path) -> Option<PathBuf> {
    let parts = fs::read_dir(directory.join("appendonlydir"));
    let parts = parts.into_iter().flatten().flatten();
    let parts = parts.filter_map(|part| Some((part_number(&part.path())?, part.path())));
    let newest = parts.max().map(|(_, path)| path);
    let single = directory.join("appendonly.aof");
    newest.or_else(|| single.exists().then_some(single))
}

/// Returns 3 for `appendonly.aof.3.incr.aof`.
fn part_number(part: &Path) -> Option<u64> {
    let name = part.file_name()?.to_str()?;
    let rest = name.strip_suffix(".incr.aof")?;
    rest.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_part_of_an_append_only_file_is_found_by_its_number() {
        let number = |name: &str| part_number(Path::new(name));
        assert_eq!(number("x/appendonly.aof.3.incr.aof"), Some(3));
        assert_eq!(number("x/appendonly.aof.12.incr.aof"), Some(12));
        assert_eq!(number("x/appendonly.aof.1.base.rdb"), None);
        assert_eq!(number("x/appendonly.aof.manifest"), None);
    }
}
