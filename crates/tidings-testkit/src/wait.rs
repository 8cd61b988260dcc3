use std::panic::Location;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Short enough for a fast test, long enough not to occupy a core.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` is true. It is checked every few milliseconds.
///
/// Use it for state that cannot be awaited. The deadline ends a condition that hangs, too.
///
/// # Panics
///
/// After `deadline`, with `what` and the line of the caller.
///
/// ```
/// use std::time::Duration;
/// use tidings_testkit::{Redis, wait_for};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let redis = Redis::start().await;
///
/// wait_for("the server answers", Duration::from_secs(5), async || {
///     redis.try_command(&["PING"]).await.is_ok()
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn wait_for(
    what: &str,
    deadline: Duration,
    condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let line = Location::caller();
    async move {
        let met = timeout(deadline, poll(condition)).await;
        assert!(met.is_ok(), "{line}: waited {deadline:?} for: {what}");
    }
}

/// Returns once `condition` is true, without a deadline.
pub(crate) async fn poll(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        sleep(PAUSE).await;
    }
}
