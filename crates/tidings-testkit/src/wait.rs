use std::panic::Location;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// The first pause between two looks: short enough for a fast test.
const SHORTEST: Duration = Duration::from_millis(5);

/// The longest pause: long enough for a condition that asks a server, over a connection of its own.
const LONGEST: Duration = Duration::from_millis(25);

/// Waits until `condition` is true. It is checked every 5 to 25 ms.
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
    let mut pause = SHORTEST;
    while !condition().await {
        sleep(pause).await;
        pause = LONGEST.min(pause * 9 / 8);
    }
}
