use std::panic::Location;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Short enough that a test never feels it, long enough not to starve what it
/// waits for.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` is true, and asks every few milliseconds.
///
/// For what a test can only look at from outside; where there is something to
/// await, await that. A condition that hangs is cut off at the deadline too.
///
/// # Panics
///
/// After `deadline`, with `what` and the line that waited.
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

/// Returns once `condition` is true, however long that takes.
pub(crate) async fn poll(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        sleep(PAUSE).await;
    }
}
