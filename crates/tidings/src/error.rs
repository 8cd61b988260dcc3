//! One error per operation, and how errors are shown. Plain data.

pub(crate) mod connect;
#[cfg(feature = "schema")]
pub(crate) mod contract;
pub(crate) mod counter;
pub(crate) mod failure;
pub(crate) mod gap;
pub(crate) mod header;
pub(crate) mod journal;
pub(crate) mod members;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod send_failure;
pub(crate) mod shared;
pub(crate) mod shutdown;
pub(crate) mod start;
pub(crate) mod subscribe;

use std::error::Error;
use std::fmt;

use tidings_codec::Escaped;

/// Prints an error and its causes in one line. Characters that could break the line are
/// [escaped](tidings_codec::Escaped).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = tidings::Bus::builder("memory:").start().await.unwrap_err();
/// assert_eq!(
///     tidings::report(&error).to_string(),
///     "cannot parse the address `memory:`: it has no name: write `memory:name`",
/// );
/// # }
/// ```
pub fn report(error: &dyn Error) -> impl fmt::Display {
    Report(error)
}

struct Report<'a>(&'a dyn Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(self.0))?;
        match self.0.source() {
            Some(cause) => write!(f, ": {}", Report(cause)),
            None => Ok(()),
        }
    }
}

/// Prints errors that often leave `main` by `?` as their report: Rust prints their debug form then.
macro_rules! debug_as_report {
    ($($error:ty)*) => { $(
        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", $crate::error::report(self))
            }
        }
    )* };
}

pub(crate) use debug_as_report;

/// The number of characters of untrusted text that are shown.
const SHOWN: usize = 64;

/// The text or its beginning: untrusted text may have any length.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
