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

    /// Asks the program for its version.
    pub(crate) fn of(program: &Path) -> Self {
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = known().get(program) {
            return *version;
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
        known().insert(program.to_owned(), version);
        version
    }

    /// Parses a line such as `Redis server v=7.0.15 sha=… malloc=…`.
    fn in_words(words: &str) -> Option<Self> {
        let number = words
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="))?;
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
