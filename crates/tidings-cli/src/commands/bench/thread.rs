//! Threads with a runtime and a processor clock of their own. Each bus of a run has one, so that its
//! processor time can be told from that of the others.

use std::thread::spawn;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The result of a thread.
pub(super) type Joined<T> = oneshot::Receiver<anyhow::Result<T>>;

/// Runs a future on a thread of its own.
pub(super) fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Joined<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let (sender, result) = oneshot::channel();
    spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let result = runtime
            .context("cannot start a runtime")
            .and_then(|runtime| runtime.block_on(work()));
        // Nobody waits for it if another thread has failed.
        let _ = sender.send(result);
    });
    result
}

/// Waits for the result of a thread.
pub(super) async fn join<T>(thread: Joined<T>) -> anyhow::Result<T> {
    thread.await.context("a thread ended without a result")?
}

/// Returns the processor time of this thread.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec, time.tv_nsec);
    Duration::new(
        seconds.try_into().unwrap_or_default(),
        nanoseconds.try_into().unwrap_or_default(),
    )
}
