//! The version of a server program: older ones reject settings that they do not know.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Known versions, by program: a test run starts hundreds of servers.
static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Version>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Default for Version {
    /// A program that does not print its version is taken for a recent one.
    fn default() -> Self {
        Self::new(7, 0)
    }
}

impl Version {
    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Returns the version of the program, and asks the program if no server of it has started.
    pub(crate) fn of(program: &Path) -> Self {
        if let Some(version) = Self::known(program) {
            return version;
        }
        let asked = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        // A program that cannot be run fails at its start, with a reason.
        let version = asked.ok().and_then(|answer| {
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            Self::in_words(&answer)
        });
        let version = version.unwrap_or_default();
        version.keep(program);
        version
    }

    /// Returns the version of a program that was asked, or of which a server has started.
    pub(crate) fn known(program: &Path) -> Option<Self> {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(program).copied()
    }

    /// Keeps the version that a server of this program names in the answer to `INFO server`.
    pub(crate) fn learn(program: &Path, info: &str) {
        Self::in_words(info).unwrap_or_default().keep(program);
    }

    fn keep(self, program: &Path) {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(program.to_owned()).or_insert(self);
    }

    /// Parses a line such as `Redis server v=7.0.15 sha=… malloc=…`, or `redis_version:7.0.15`.
    fn in_words(words: &str) -> Option<Self> {
        let number = words.split_whitespace().find_map(|word| {
            let after = |prefix| word.strip_prefix(prefix);
            after("v=").or_else(|| after("redis_version:"))
        })?;
        let mut numbers = number.split('.').map(|number| number.parse().ok());
        Some(Self::new(numbers.next()??, numbers.next()??))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_each_server_is_parsed() {
        for (words, version) in [
            (
                "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64",
                Some(Version::new(6, 0)),
            ),
            (
                "Redis server v=8.0.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
                Some(Version::new(8, 0)),
            ),
            (
                "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
                Some(Version::new(8, 1)),
            ),
            (
                "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n",
                Some(Version::new(7, 2)),
            ),
            ("something else", None),
            ("v=x.1", None),
            ("v=7", None),
            ("", None),
        ] {
            assert_eq!(Version::in_words(words), version, "{words}");
        }
    }

    #[test]
    fn a_program_without_a_version_is_taken_for_a_recent_one() {
        assert_eq!(Version::of(Path::new("/bin/true")).major, 7);
    }
}
