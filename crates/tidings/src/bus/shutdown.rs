//! The end of a bus: it is shut down, or its last clone is dropped.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, timeout_at};

use crate::bus::inner::{Ending, Inner};
use crate::error::shutdown::ShutdownError;
use crate::receive::subscription::running;
use crate::task::stage::Stage;

/// The minimum time to store the position of a durable name, and to end its lease.
const LEASE_END: Duration = Duration::from_millis(500);

/// Held by the application's clones of a bus: when the last one is dropped, the bus ends.
pub(crate) struct BusGuard(pub(crate) Arc<Inner>);

impl Drop for BusGuard {
    fn drop(&mut self) {
        let inner = &*self.0;
        // What is dropped here is not handled.
        inner.stop_ledger();
        for subscription in inner.dispatcher.clear() {
            subscription.close();
        }
        inner.shut();
        inner.advance(Stage::Draining);
        if inner.members.membership.needs_leave() {
            self.0.runtime.spawn(announce_leave(Arc::clone(&self.0)));
        } else {
            inner.advance(Stage::Leaving);
        }
    }
}

/// Leaves before the send task ends: that task ends as soon as no event waits.
async fn announce_leave(inner: Arc<Inner>) {
    inner.members.membership.leave().await;
    inner.advance(Stage::Leaving);
}

/// Ends a bus in a task of its own, so that it continues when the caller stops waiting.
pub(crate) fn shut_down(inner: Arc<Inner>, deadline: Instant) -> Ending {
    inner.advance(Stage::Draining);
    let runtime = inner.runtime.clone();
    let ending = runtime.spawn(end(inner, deadline, running()));
    // If the runtime has ended, so have all tasks of the bus.
    let result = async { ending.await.unwrap_or(Ok(())) };
    result.boxed().shared()
}

async fn end(
    inner: Arc<Inner>,
    deadline: Instant,
    caller: Option<u64>,
) -> Result<(), ShutdownError> {
    // Receive the events that this bus sent itself, as other nodes do. An unreachable Redis must not
    // use up the time that handlers need.
    let caught_up = async {
        inner.settled().await;
        inner.caught_up().await;
    };
    if inner.is_connected() {
        let now = Instant::now();
        let half = now + deadline.duration_since(now) / 2;
        let _ = timeout_at(half, caught_up).await;
    }

    let (unhandled, running) = drain(&inner, caller, deadline).await;
    if let Some(durable) = inner.durable() {
        // Handlers that used up the time must not make the next process wait for the end of the lease.
        let brief = Instant::now() + LEASE_END;
        let _ = timeout_at(deadline.max(brief), durable.end()).await;
    }

    // Send what handlers sent until now, responses included, before leaving: other nodes do not wait
    // for the response of a member that has left.
    if inner.is_connected() {
        let _ = timeout_at(deadline, inner.settled()).await;
    }
    if let Some(reconciler) = inner.reconciler.get() {
        reconciler.flush(deadline).await;
    }
    let _ = timeout_at(deadline, inner.members.membership.leave()).await;
    inner.shut();
    let is_settled = timeout_at(deadline, inner.settled()).await.is_ok();
    let (unsent, last) = if is_settled {
        (0, Stage::Leaving)
    } else {
        (inner.unresolved(), Stage::Closed)
    };
    inner.advance(last);
    let tasks = std::mem::take(&mut *inner.tasks.lock());
    for task in tasks {
        // The tasks end by themselves now; the runtime logs a panic in one of them.
        let _ = timeout_at(deadline + Duration::from_millis(100), task).await;
    }
    if unhandled == 0 && running == 0 && unsent == 0 {
        return Ok(());
    }
    Err(ShutdownError {
        unhandled,
        running,
        unsent,
    })
}

/// Waits until the handlers have handled their queues, except for the handler that called this.
/// Returns the numbers of events and calls that the deadline cut off, with the events that wait for
/// that handler.
async fn drain(inner: &Inner, caller: Option<u64>, deadline: Instant) -> (u64, u64) {
    let subscriptions = inner.dispatcher.clear();
    let (mut unhandled, mut running) = (0, 0);
    for subscription in &subscriptions {
        subscription.drain();
    }
    for subscription in &subscriptions {
        if caller == Some(subscription.id) {
            unhandled += subscription.waiting() as u64;
        } else if timeout_at(deadline, subscription.ended()).await.is_err() {
            inner.stop_ledger();
            unhandled += subscription.close();
            running += 1;
            subscription
                .task
                .get()
                .into_iter()
                .for_each(AbortHandle::abort);
        }
    }
    (unhandled, running)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::bus::Bus;
    use crate::event::Names;
    use crate::observe::reports::GapBox;
    use crate::receive::subscription::{HandlerOptions, SubscriptionSlot, in_subscription};

    /// Shuts a bus down between the two steps of a registration on another thread: the handler is
    /// registered, and its task is not spawned yet.
    async fn is_waited_for(bus: Bus, subscription: Arc<SubscriptionSlot>) {
        let task = in_subscription(&subscription, Box::pin(async {}));
        let mut ending = tokio::spawn(async move { bus.shutdown(Duration::from_mins(1)).await });

        let early = timeout(Duration::from_secs(1), &mut ending).await;
        assert!(
            early.is_err(),
            "shutdown did not wait for the handler: {early:?}"
        );

        tokio::spawn(task);
        ending.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_a_handler_whose_task_is_not_spawned_yet() {
        let bus = Bus::builder("memory:not-spawned-yet")
            .start()
            .await
            .unwrap();
        let subscription = Arc::new(SubscriptionSlot::new(
            "tick (a test)".into(),
            HandlerOptions::new(),
        ));
        let mut names = Names::default();
        names.add::<u64>("tick");
        let dispatcher = &bus.inner.dispatcher;
        dispatcher
            .add(Arc::clone(&subscription), names, None)
            .unwrap();

        is_waited_for(bus, subscription).await;
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_a_handler_of_gaps_whose_task_is_not_spawned_yet() {
        let bus = Bus::builder("memory:no-gaps-yet").start().await.unwrap();
        let gaps = Arc::new(GapBox::default());
        let subscription = Arc::new(SubscriptionSlot::of_gaps("gap (a test)".into(), gaps));
        let dispatcher = &bus.inner.dispatcher;
        dispatcher
            .add(Arc::clone(&subscription), Names::default(), None)
            .unwrap();

        is_waited_for(bus, subscription).await;
    }
}
