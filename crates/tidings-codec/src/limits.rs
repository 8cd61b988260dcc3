//! How much a stranger may ask of us.

/// What [`read_frame`](crate::read_frame) accepts at most.
///
/// The constants are the limits of the wire: every node keeps to them when it writes. The fields
/// are what one reader accepts, and may be smaller.
///
/// ```
/// use tidings_codec::{FrameError, Limits, read_frame};
///
/// let small = Limits { frame: 16, ..Limits::default() };
/// let refused = read_frame(br#"{"event":"a","data":1}"#, &small, &mut Vec::new());
/// assert!(matches!(refused, Err(FrameError::TooLarge { bytes: 22, limit: 16 })));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame. Default: [`Limits::FRAME`]. Beyond 4 GiB it is taken as 4 GiB.
    pub frame: usize,
    /// Events in a frame. Default: [`Limits::EVENTS`].
    pub events: usize,
}

impl Limits {
    /// Bytes of a frame: 1 MiB.
    pub const FRAME: usize = 1 << 20;
    /// Events in a frame: 65,536.
    pub const EVENTS: usize = 65_536;
    /// Bytes of an event name: 128.
    pub const NAME: usize = 128;
    /// Arrays and maps of a payload within each other: 32.
    pub const DEPTH: usize = 32;
    /// Values in a payload, counting arrays, maps and the keys of maps: 65,536.
    pub const NODES: usize = 65_536;
    /// Entries in the `meta` of an event: 64.
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
