//! The task of one subscription: takes events out of its queue and calls the handler, whatever
//! that does.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tidings_codec::DecodeError;

use crate::bus::WeakBus;
use crate::context::Context;
use crate::failure::{Cause, Failure};
use crate::handler::{Handler, HandlerError};
use crate::key::HearKey;
use crate::subscription::{Batch, Heard, Seat};

/// A handler with all that its task needs.
pub(crate) struct Worker<K, P, Args, H> {
    pub(crate) seat: Arc<Seat>,
    pub(crate) bus: WeakBus,
    pub(crate) handler: H,
    pub(crate) is_once: bool,
    pub(crate) types: PhantomData<fn(K, P, Args)>,
}

tokio::task_local! {
    /// The subscription whose handler is running here.
    static RUNNING: u64;
}

/// Whether this is called from within a handler of that subscription.
pub(crate) fn is_running(id: u64) -> bool {
    RUNNING.try_with(|running| *running == id).unwrap_or(false)
}

/// Runs the task of a subscription: what is called within knows where it is, and others learn
/// when it is over.
pub(crate) async fn as_seat(seat: &Arc<Seat>, running: impl Future<Output = ()>) {
    let _ended = Ended(Arc::clone(seat));
    RUNNING.scope(seat.id, running).await;
}

/// Says that a subscription's task is over, however it ended.
struct Ended(Arc<Seat>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.has_ended.send_replace(true);
    }
}

/// How far a call got, when not to its end.
enum Stop {
    Undecodable(DecodeError),
    Failed(HandlerError),
    Panicked(String),
    TimedOut,
}

impl<K, P, Args, H> Worker<K, P, Args, H>
where
    K: HearKey<P>,
    P: Send + 'static,
    H: Handler<P, Args>,
{
    /// Handles events until the queue is closed or drained, or the bus is gone.
    pub(crate) async fn run(self) {
        let is_in_order = self.is_once || self.seat.handling.concurrency == 1;
        let running = async {
            if is_in_order {
                self.run_in_order().await;
            } else {
                self.run_together().await;
            }
        };
        as_seat(&self.seat, running).await;
    }

    async fn run_in_order(&self) {
        while let Some(batch) = self.seat.queue.next().await {
            // Only for as long as there is work: an idle handler does not keep its bus alive.
            let Some(bus) = self.bus.upgrade() else {
                return;
            };
            let mut context = Context::new(bus, Arc::clone(&batch.names[0]));
            for item in &batch.events {
                // `off` lets the running call end, and nothing else.
                if self.seat.queue.is_closed() {
                    return;
                }
                let was_called = self.handle(batch.heard(item), &mut context).await;
                if was_called && self.is_once {
                    context.bus.remove(&self.seat);
                    return;
                }
            }
        }
    }

    async fn run_together(&self) {
        let mut calls = FuturesUnordered::new();
        let mut waiting: Option<(Arc<Batch>, usize)> = None;
        loop {
            while let Some((batch, next)) = waiting.take_if(|_| self.has_room(calls.len())) {
                if next < batch.events.len() && !self.seat.queue.is_closed() {
                    calls.push(self.handle_apart(Arc::clone(&batch), next));
                    waiting = Some((batch, next + 1));
                }
            }
            tokio::select! {
                batch = self.seat.queue.next(), if waiting.is_none() => match batch {
                    Some(batch) => waiting = Some((Arc::new(batch), 0)),
                    None => break,
                },
                Some(()) = calls.next() => {}
            }
        }
        while calls.next().await.is_some() {}
    }

    fn has_room(&self, calls: usize) -> bool {
        calls < self.seat.handling.concurrency
    }

    async fn handle_apart(&self, batch: Arc<Batch>, index: usize) {
        let Some(bus) = self.bus.upgrade() else {
            return;
        };
        let mut context = Context::new(bus, Arc::clone(&batch.names[0]));
        self.handle(batch.heard(&batch.events[index]), &mut context)
            .await;
    }

    /// Calls the handler if the payload is what it takes; whether it did.
    async fn handle(&self, heard: Heard<'_>, context: &mut Context) -> bool {
        heard.describe(context);
        let call = async {
            let payload = K::decode(&heard).map_err(Stop::Undecodable)?;
            self.handler
                .handle(payload, context)
                .await
                .map_err(Stop::Failed)
        };
        let Err(stop) = guarded(call, self.seat.handling.timeout).await else {
            return true;
        };
        let was_called = !matches!(stop, Stop::Undecodable(_));
        context.bus.reports().failure(self.failure(stop, context));
        was_called
    }

    fn failure(&self, stop: Stop, context: &Context) -> Failure {
        let (event, handler) = (context.event.to_string(), Arc::clone(&self.seat.handler));
        let (from, number) = (context.from, context.number);
        let cause = match stop {
            Stop::Undecodable(source) => {
                return Failure::Payload {
                    event,
                    handler,
                    from,
                    number,
                    source,
                };
            }
            stop => stop.into_cause(self.seat.handling.timeout),
        };
        Failure::Handler {
            event,
            handler,
            from,
            number,
            cause,
        }
    }
}

impl Stop {
    fn into_cause(self, timeout: Duration) -> Cause {
        match self {
            Self::Undecodable(error) => Cause::Failed(error.into()),
            Self::Failed(error) => Cause::Failed(error),
            Self::Panicked(text) => Cause::Panicked(text),
            Self::TimedOut => Cause::TimedOut(timeout),
        }
    }
}

/// Runs one call of a handler that is not about an event; says how it ended if not well.
pub(crate) async fn attempt(
    call: impl Future<Output = Result<(), HandlerError>>,
    timeout: Duration,
) -> Result<(), Cause> {
    let call = async { call.await.map_err(Stop::Failed) };
    guarded(call, timeout)
        .await
        .map_err(|stop| stop.into_cause(timeout))
}

/// Runs a call to its end, to its panic, or to the end of its time.
async fn guarded(
    call: impl Future<Output = Result<(), Stop>>,
    timeout: Duration,
) -> Result<(), Stop> {
    let mut call = pin!(AssertUnwindSafe(call).catch_unwind());
    // Most handlers end at once: a timer for each would cost more than they do.
    let ended = match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        Poll::Ready(ended) => ended,
        Poll::Pending => match tokio::time::timeout(timeout, call).await {
            Ok(ended) => ended,
            Err(_) => return Err(Stop::TimedOut),
        },
    };
    ended.unwrap_or_else(|panic| Err(Stop::Panicked(panic_text(&*panic))))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a text").to_owned()
}
