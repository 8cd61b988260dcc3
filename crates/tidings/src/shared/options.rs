//! How a value is shared.

use std::time::Duration;

use crate::task::FOREVER;

/// What travels in a notice must leave room in its frame.
const MOST_INLINE: usize = 64 << 10;

/// How what is written of a shared value lies in Redis and is announced. It holds for what is
/// written through the handle that was made with it: [`Bus::shared_with`](crate::Bus::shared_with).
///
/// | | default |
/// |---|---|
/// | [`ttl`](Self::ttl) | without an end |
/// | [`inline_up_to`](Self::inline_up_to) | no value travels with its notice |
/// | [`when_lost`](Self::when_lost) | the last copy is kept, and marked |
///
/// ```
/// use std::time::Duration;
///
/// use tidings::SharedOptions;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:sharing-docs").start().await?;
/// let sharing = SharedOptions::new().ttl(Duration::from_secs(60)).inline(1_024);
/// let leader = bus.shared_with::<String>("leader", sharing)?;
/// leader.set(&"api-3".to_owned()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `shared_with`"]
pub struct SharedOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) inline: usize,
    pub(crate) when_lost: Option<WhenLost>,
}

/// What becomes of the copies of a value that Redis lost: it restarted without its data, evicted the
/// key, or another program deleted it, with `FLUSHALL` for example. A value that was
/// [cleared](crate::Shared::clear), or whose [time to live](SharedOptions::ttl) is over, was not
/// lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenLost {
    /// Each process keeps its last copy, which says that it is [lost](crate::Freshness::Lost).
    #[default]
    Keep,
    /// The value is `None` in every process.
    Clear,
    /// The processes write their newest copy back. What was set since the loss is not overwritten,
    /// and what was cleared stays cleared.
    Restore,
}

impl SharedOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a value lies in Redis after it was written last; at least 1 ms. Redis says nothing
    /// when it goes: who has a copy finds that at the next
    /// [check](crate::BusBuilder::refresh_interval).
    pub fn ttl(self, time: Duration) -> Self {
        let time = time.clamp(Duration::from_millis(1), FOREVER);
        Self {
            ttl: Some(time),
            ..self
        }
    }

    /// What becomes of the copies when Redis loses the value; by default each process keeps its own.
    /// Give every process the same policy: on one bus, the policy that was given last holds for all
    /// handles of the value.
    ///
    /// ```
    /// use tidings::prelude::*;
    /// use tidings::{SharedOptions, WhenLost};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:when-lost-docs").start().await?;
    /// let sharing = SharedOptions::new().when_lost(WhenLost::Restore);
    /// let prices = bus.shared_with::<Vec<u32>>("prices", sharing)?;
    /// # prices.set(&vec![1]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn when_lost(self, policy: WhenLost) -> Self {
        Self {
            when_lost: Some(policy),
            ..self
        }
    }

    /// Values of up to so many bytes of JSON travel with their notice, so that nobody has to read
    /// them. For small values that many processes have and that change seldom; at most 64 KiB. It does
    /// nothing on a bus that writes MessagePack: notices are JSON, and the same value read from either
    /// need not be equal. A value of 32 levels does not travel, as its notification has one more.
    pub fn inline_up_to(self, bytes: usize) -> Self {
        Self {
            inline: bytes.min(MOST_INLINE),
            ..self
        }
    }
}
