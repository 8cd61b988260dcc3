//! Rules for the headers of events.

use tidings_codec::NameError;

/// The rule that a header breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name breaks a rule of event names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is reserved for tidings or for trace context.
    #[error("the name is reserved for tidings or for trace context")]
    Reserved,
    /// The event has more headers than allowed.
    #[error("an event has at most {limit} headers")]
    TooMany {
        /// The largest number of headers.
        limit: usize,
    },
    /// The headers of the event are longer than allowed.
    #[error("the headers of an event have at most {limit} bytes")]
    TooLong {
        /// The largest number of bytes of all names and values together.
        limit: usize,
    },
}
