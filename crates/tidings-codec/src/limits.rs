//! Limits on untrusted input.

/// The limits of [`read_frame`](crate::read_frame).
///
/// The constants are the limits of the wire format, which every node observes when it writes. The
/// fields are the limits of one reader, and may be lower.
///
/// ```
/// use tidings_codec::{FrameError, Limits, read_frame};
///
/// let small = Limits { frame: 16, ..Limits::default() };
/// let rejected = read_frame(br#"{"event":"a","data":1}"#, &small, &mut Vec::new());
/// assert!(matches!(rejected, Err(FrameError::TooLarge { bytes: 22, limit: 16 })));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of a frame in bytes. Default: [`Limits::FRAME`]; at most 4 GiB.
    pub frame: usize,
    /// The number of events in a frame. Default: [`Limits::EVENTS`].
    pub events: usize,
}

impl Limits {
    /// The size of a frame: 1 MiB.
    pub const FRAME: usize = 1 << 20;
    /// The number of events in a frame: 65,536.
    pub const EVENTS: usize = 65_536;
    /// The length of an event name in bytes: 128.
    pub const NAME: usize = 128;
    /// The nesting of arrays and maps in a payload: 32.
    pub const DEPTH: usize = 32;
    /// The number of values in a payload, including arrays, maps and the keys of maps: 65,536.
    pub const VALUES: usize = 65_536;
    /// The number of entries in the `meta` of an event: 64.
    pub const META: usize = 64;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: Self::FRAME,
            events: Self::EVENTS,
        }
    }
}
