//! `SharedOptions` of a shared value, and `Shareable`, the bound of its type.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::task::FOREVER;

/// An inlined value must leave room in its frame.
const MAX_INLINE: usize = 64 << 10;

/// Options of a shared value: its time to live, and how it is announced and restored. They apply to
/// writes through the handle that was created with them by
/// [`Bus::shared_with`](crate::Bus::shared_with).
///
/// | | default |
/// |---|---|
/// | [`ttl`](Self::ttl) | none |
/// | [`inline_up_to`](Self::inline_up_to) | 0: no value is sent with its notification |
/// | [`when_lost`](Self::when_lost) | the last copy is kept and marked |
///
/// ```
/// use std::time::Duration;
///
/// use tidings::prelude::*;
/// use tidings::{SharedOptions, WhenLost};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// # let bus = Bus::builder("memory:sharing-docs").start().await?;
/// let options = SharedOptions::new().ttl(Duration::from_secs(60)).inline_up_to(1_024);
/// let leader = bus.shared_with::<String>("leader", options)?;
/// leader.set(&"api-3".to_owned()).await?;
/// let prices = bus.shared_with::<u32>("prices", SharedOptions::new().when_lost(WhenLost::Restore))?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `shared_with`"]
pub struct SharedOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) inline: usize,
    pub(crate) when_lost: Option<WhenLost>,
}

/// The policy for a value that Redis lost because it restarted without its data, evicted the key,
/// or another program deleted it, for example with `FLUSHALL`. A value that was
/// [cleared](crate::Shared::clear) or whose [time to live](SharedOptions::ttl) ended is not lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenLost {
    /// Each process keeps its last copy, marked as [lost](crate::Freshness::Lost).
    #[default]
    Keep,
    /// The value is `None` in every process.
    Clear,
    /// The processes write their newest copy back. A value that was set after the loss is not
    /// overwritten, and a cleared value stays cleared.
    Restore,
}

impl SharedOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time after which Redis removes the value, counted from its last write; at least 1
    /// ms. Redis does not notify of that: every process, the one that wrote it included, uses its copy
    /// until its next [refresh](crate::BusBuilder::refresh_interval), up to 30 s by default.
    pub fn ttl(mut self, time: Duration) -> Self {
        let time = time.clamp(Duration::from_millis(1), FOREVER);
        self.ttl = Some(time);
        self
    }

    /// Sets the policy for a value that Redis loses; by default each process keeps its copy. Give
    /// every process the same policy. On one bus, the policy given last applies to all handles of
    /// the value.
    pub fn when_lost(mut self, policy: WhenLost) -> Self {
        self.when_lost = Some(policy);
        self
    }

    /// Sends values of up to this many bytes of JSON with their change notification, so that the
    /// other processes need not read them. Use it for small values that many processes have and
    /// that change seldom; at most 64 KiB. It has no effect on a bus that writes MessagePack:
    /// notifications are JSON, and a value decoded from it may differ. A value of 32 levels is
    /// never inlined, as its notification has one level more.
    pub fn inline_up_to(mut self, bytes: usize) -> Self {
        self.inline = bytes.min(MAX_INLINE);
        self
    }
}

/// A type whose values processes can share: `serde` serializes and deserializes it, and threads can
/// share it. It is implemented for all such types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared value",
    label = "serde cannot serialize and deserialize this type, or threads cannot share it",
    note = "add `#[derive(Serialize, Deserialize)]` to `{Self}`; it must be `Send + Sync + 'static`"
)]
pub trait Shareable: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Shareable for T {}
