//! The hook that the application sets for failures: a plain or an async function.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::error::failure::Failure;
use crate::task::panic::{caught, panic_text};

/// The time that an async hook may take for one failure, as for a handler of gaps.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The application's hook for failures.
pub(crate) struct FailureHook(Box<dyn Fn(Failure) -> Option<BoxFuture<'static, ()>> + Send + Sync>);

/// The result of a hook: nothing, or a future that the bus awaits. `Kind` tells the two apart for the
/// compiler.
pub trait HookResult<Kind> {
    /// The future to await, if there is one.
    fn into_future(self) -> Option<BoxFuture<'static, ()>>;
}

/// The kind of a plain function.
#[derive(Debug)]
pub struct Plain;

/// The kind of an async function.
#[derive(Debug)]
pub struct Async;

impl HookResult<Plain> for () {
    fn into_future(self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// A plain function that always panics, as in a test.
impl HookResult<Plain> for Never {
    fn into_future(self) -> Option<BoxFuture<'static, ()>> {
        self
    }
}

/// The type `!`, which stable Rust only names as the result of a function.
type Never = <fn() -> ! as Returns>::Output;

/// Gives the result type of a function a name.
pub trait Returns {
    /// The result type.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

impl<F: Future<Output = ()> + Send + 'static> HookResult<Async> for F {
    fn into_future(self) -> Option<BoxFuture<'static, ()>> {
        Some(self.boxed())
    }
}

impl FailureHook {
    pub(crate) fn new<H, R, Kind>(hook: H) -> Self
    where
        H: Fn(Failure) -> R + Send + Sync + 'static,
        R: HookResult<Kind>,
    {
        Self(Box::new(move |failure| hook(failure).into_future()))
    }

    /// Calls the hook, and waits for its future. A panic and a timeout are logged, and do not end the
    /// reports.
    pub(crate) async fn call(&self, failure: Failure) {
        let called = match caught(|| (self.0)(failure)) {
            Ok(Some(future)) => finished(future).await,
            Ok(None) => Ok(()),
            Err(panic) => Err(panic),
        };
        if let Err(panic) = called {
            tracing::error!(panic, "the `on_failure` hook panicked");
        }
    }
}

/// Awaits the future of a hook until its end, its panic or its timeout.
async fn finished(future: BoxFuture<'static, ()>) -> Result<(), String> {
    let mut running = std::panic::AssertUnwindSafe(future).catch_unwind();
    let Ok(ended) = timeout(TIMEOUT, &mut running).await else {
        tracing::error!(timeout = ?TIMEOUT, "the `on_failure` hook timed out");
        return caught(|| drop(running));
    };
    ended.map_err(|panic| {
        let text = panic_text(&*panic);
        caught(|| drop(panic)).err().unwrap_or(text)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::{Instant, sleep};

    use super::*;

    fn failure() -> Failure {
        Failure::Suppressed { count: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn plain_and_async_hooks_are_called_and_awaited() {
        let calls = Arc::new(AtomicU64::new(0));
        let (plain, later) = (Arc::clone(&calls), Arc::clone(&calls));
        let hooks = [
            FailureHook::new(move |_| {
                plain.fetch_add(1, Ordering::Relaxed);
            }),
            FailureHook::new(move |_| {
                let later = Arc::clone(&later);
                async move {
                    sleep(Duration::from_secs(1)).await;
                    later.fetch_add(1, Ordering::Relaxed);
                }
            }),
        ];
        for hook in hooks {
            hook.call(failure()).await;
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_panics_or_never_returns_does_not_stop_the_reports() {
        let began = Instant::now();
        FailureHook::new(|_| panic!("plain")).call(failure()).await;
        FailureHook::new(|_| async { panic!("async") })
            .call(failure())
            .await;
        FailureHook::new(|_| std::future::pending())
            .call(failure())
            .await;
        assert_eq!(began.elapsed(), TIMEOUT);
    }
}
