//! The version of something that is stored.

/// Which writing a value is from. Two are the same or not; none is greater: a failover can take a
/// version back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// How many times it was written; 0 for what is not there.
    pub(crate) version: u64,
    /// The writer's random mark; empty for what is not there.
    pub(crate) nonce: String,
}

impl Stamp {
    /// Whether this is the writing right after `before`. The nonce alone does not tell: a forged
    /// notification could lead back to the nonce that Redis holds, with another value, and no check
    /// would find the difference.
    pub(crate) fn follows(&self, before: &Self, was: &str) -> bool {
        before.nonce == was && before.version.checked_add(1) == Some(self.version)
    }
}

/// A mark that no other writing has.
pub(crate) fn nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}
