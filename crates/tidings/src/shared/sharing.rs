//! How a value is shared.

use std::time::Duration;

use crate::builder::FOREVER;

/// What travels in a notice must leave room in its frame.
const MOST_INLINE: usize = 64 << 10;

/// How what is written of a shared value lies in Redis and is announced. It holds for what is
/// written through the handle that was made with it: [`Bus::shared_with`](crate::Bus::shared_with).
///
/// | | default |
/// |---|---|
/// | [`time_to_live`](Self::time_to_live) | without an end |
/// | [`inline`](Self::inline) | no value travels with its notice |
///
/// ```
/// use std::time::Duration;
///
/// use tidings::Sharing;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:sharing-docs").start().await?;
/// let sharing = Sharing::new().time_to_live(Duration::from_secs(60)).inline(1_024);
/// let leader = bus.shared_with::<String>("leader", sharing)?;
/// leader.set(&"api-3".to_owned()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `shared_with`"]
pub struct Sharing {
    pub(super) time_to_live: Option<Duration>,
    pub(super) inline: usize,
}

impl Sharing {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a value lies in Redis after it was written last; at least 1 ms. Redis says nothing
    /// when it goes: who has a copy finds that at the next
    /// [check](crate::Builder::check_interval).
    pub fn time_to_live(self, time: Duration) -> Self {
        let time = time.clamp(Duration::from_millis(1), FOREVER);
        Self {
            time_to_live: Some(time),
            ..self
        }
    }

    /// Values of up to so many bytes of JSON travel with their notice, so that nobody has to read
    /// them. For small values that many processes have and that change seldom; at most 64 KiB. It does
    /// nothing on a bus that writes MessagePack: notices are JSON, and the same value read from either
    /// need not be equal. A value of 32 levels does not travel, as its notification has one more.
    pub fn inline(self, bytes: usize) -> Self {
        Self {
            inline: bytes.min(MOST_INLINE),
            ..self
        }
    }
}
