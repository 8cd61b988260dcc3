//! The version and nonce of a stored value.

/// Identifies the write that a value is from. A copy follows Redis if the stamps differ, whichever
/// is newer: a failover can reset a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The number of writes; 0 if there is no value.
    pub(crate) version: u64,
    /// The random text of the write; empty if there is no value.
    pub(crate) nonce: String,
}

impl Stamp {
    /// Returns whether this is the write right after `before`. The nonce alone is not enough: a
    /// forged notification could lead back to the nonce in Redis with another value, and no
    /// comparison would find the difference.
    pub(crate) fn follows(&self, before: &Self, was: &str) -> bool {
        before.nonce == was && before.version.checked_add(1) == Some(self.version)
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) now: Stamp,
    /// The nonce of the stamp before.
    pub(crate) was: String,
}

impl Moved {
    pub(crate) fn to(version: u64, nonce: String, was: String) -> Self {
        let now = Stamp { version, nonce };
        Self { now, was }
    }
}

/// Returns a new nonce.
pub(crate) fn nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}
