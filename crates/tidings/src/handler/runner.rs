//! The task of one subscription: takes events from its queue and calls the handler. Failures, panics
//! and timeouts of the handler are reported.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;
use tidings_codec::{DecodeError, NodeId};
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::bus::{Bus, WeakBus};
use crate::error::failure::{Failure, HandlerFailure};
use crate::error::gap::Gap;
use crate::handler::Handler;
use crate::handler::context::Context;
use crate::handler::key::Decode;
use crate::observe::metrics::Calls;
use crate::observe::reports::GapBox;
use crate::observe::trace::Call;
use crate::receive::batch::{Batch, ReceivedEvent};
use crate::receive::subscription::SubscriptionSlot;
use crate::task::panic::caught;

/// The task of a handler.
pub(crate) struct Runner<P, Args, H> {
    pub(crate) subscription: Arc<SubscriptionSlot>,
    pub(crate) bus: WeakBus,
    pub(crate) decode: Decode<P>,
    pub(crate) handler: OwnedHandler<H>,
    pub(crate) is_once: bool,
    pub(crate) calls: Calls,
    pub(crate) arguments: PhantomData<fn(Args)>,
}

/// A handler, dropped at the end of its subscription. Its drop is application code that may panic; the
/// panic is reported.
pub(crate) struct OwnedHandler<H> {
    /// `Some` until it is dropped.
    handler: Option<H>,
    subscription: Arc<SubscriptionSlot>,
    bus: WeakBus,
}

/// Makes a handler that never waits yield to the other tasks of its thread.
///
/// Tokio's own budget of 128 calls is too small for handlers that take less than a microsecond: a
/// yield costs as much as tens of them, because it wakes another thread.
struct Turn {
    began: Instant,
    calls: u32,
}

impl Turn {
    const TIME: Duration = Duration::from_micros(500);
    /// The number of calls between two readings of the clock: one costs as much as a short call.
    const CALLS: u32 = 32;

    fn begin() -> Self {
        Self {
            began: Instant::now(),
            calls: 0,
        }
    }

    async fn end_if_over(&mut self) {
        self.calls += 1;
        if self.calls.is_multiple_of(Self::CALLS) && self.began.elapsed() >= Self::TIME {
            yield_now().await;
            *self = Self::begin();
        }
    }
}

/// The reason for which a call did not succeed.
pub(crate) enum CallError {
    Undecodable(DecodeError),
    Handler(HandlerFailure),
}

/// The result of a call. The error is boxed, so that the result of a successful call fits a register.
type Called = Result<(), Box<CallError>>;

impl From<HandlerFailure> for Box<CallError> {
    fn from(cause: HandlerFailure) -> Self {
        Self::new(CallError::Handler(cause))
    }
}

impl CallError {
    fn is_timeout(&self) -> bool {
        matches!(self, Self::Handler(HandlerFailure::TimedOut(_)))
    }

    /// Returns the failure of this handler at this event.
    pub(crate) fn of(
        self,
        event: &str,
        handler: &Arc<str>,
        sender: Option<NodeId>,
        sequence: Option<u64>,
    ) -> Failure {
        let (event, handler) = (event.to_owned(), Arc::clone(handler));
        match self {
            Self::Undecodable(source) => Failure::Payload {
                event,
                handler,
                sender,
                sequence,
                source,
            },
            Self::Handler(cause) => Failure::Handler {
                event,
                handler,
                sender,
                sequence,
                cause,
            },
        }
    }
}

impl<P, Args, H> Runner<P, Args, H>
where
    P: Send + 'static,
    H: Handler<P, Args>,
{
    /// Handles events until the queue is closed or drained, or the bus is dropped.
    pub(crate) async fn run(self) {
        if self.is_once || self.subscription.options.concurrency == 1 {
            self.run_in_order().await;
        } else {
            let call = |batch, index| self.handle_apart(batch, index).boxed();
            run_together(&self.subscription, &call).await;
        }
    }

    async fn run_in_order(&self) {
        let mut turn = Turn::begin();
        while let Some(batch) = self.subscription.queue.next().await {
            // Held only while there is work: an idle handler does not keep its bus alive.
            let Some(bus) = self.bus.upgrade() else {
                return;
            };
            let mut context = Context::new(bus, Arc::clone(&batch.names[0]));
            let begin = self.subscription.calls.begin();
            for (index, item) in batch.events.iter().enumerate() {
                turn.end_if_over().await;
                // After `off` only the running call completes.
                if self.subscription.queue.is_closed() {
                    return;
                }
                self.subscription.begin(batch.events.len() - index - 1);
                let was_called = self.handle(batch.received(item), &mut context).await;
                if was_called && self.is_once {
                    context.bus.remove(&self.subscription);
                    return;
                }
            }
            self.subscription.calls.end(begin, batch.events.len());
        }
    }

    async fn handle_apart(&self, batch: Arc<Batch>, index: usize) {
        consume_budget().await;
        let Some(bus) = self.bus.upgrade() else {
            return;
        };
        let mut context = Context::new(bus, Arc::clone(&batch.names[0]));
        self.handle(batch.received(&batch.events[index]), &mut context)
            .await;
        self.subscription.calls.end_one();
    }

    /// Decodes the payload and calls the handler. Returns whether it was called.
    async fn handle(&self, received: ReceivedEvent<'_>, context: &mut Context) -> bool {
        context.describe(&received);
        let began = Calls::begin();
        // False also if decoding panics: that is code of the application, too.
        let mut was_called = false;
        let call = async {
            let payload = (self.decode)(&received)
                .map_err(|error| Box::new(CallError::Undecodable(error)))?;
            was_called = true;
            let called = self.handler.get().handle(payload, context).await;
            called.map_err(|error| HandlerFailure::Failed(error).into())
        };
        let (event, sender, sequence) =
            (context.event_name(), *context.sender(), context.sequence());
        let span = Call::new(
            received.remote(),
            event,
            sender,
            sequence,
            &self.subscription.handler,
        );
        let ended = guarded(span.around(call), &self.subscription).await;
        span.end(ended.is_ok());
        match ended.as_ref().map_err(|error| &**error) {
            Ok(()) => self.calls.end(began, received.name(), None),
            Err(CallError::Handler(cause)) => self.calls.end(began, received.name(), Some(cause)),
            // Not a call.
            Err(CallError::Undecodable(_)) => {}
        }
        match ended {
            Ok(()) => received.ended(None),
            Err(stop) => report(*stop, &received, &self.subscription, Some(&context.bus)),
        }
        was_called
    }
}

/// Handles several events at the same time. Compiled once, for all handlers.
async fn run_together<'call>(
    subscription: &SubscriptionSlot,
    call: &(dyn Fn(Arc<Batch>, usize) -> BoxFuture<'call, ()> + Sync),
) {
    let mut calls = FuturesUnordered::new();
    let mut waiting: Option<(Arc<Batch>, usize)> = None;
    let has_room = |calls: usize| calls < subscription.options.concurrency;
    loop {
        while let Some((batch, next)) = waiting.take_if(|_| has_room(calls.len())) {
            if next < batch.events.len() && !subscription.queue.is_closed() {
                subscription.begin(batch.events.len() - next - 1);
                calls.push(call(Arc::clone(&batch), next));
                waiting = Some((batch, next + 1));
            }
        }
        tokio::select! {
            batch = subscription.queue.next(), if waiting.is_none() => match batch {
                Some(batch) => waiting = Some((Arc::new(batch), 0)),
                None => break,
            },
            Some(()) = calls.next() => {}
        }
    }
    while calls.next().await.is_some() {}
}

/// Counts and reports an event that was not handled.
pub(super) fn report(
    stop: CallError,
    received: &ReceivedEvent<'_>,
    subscription: &SubscriptionSlot,
    bus: Option<&Bus>,
) {
    subscription.calls.fail(stop.is_timeout());
    let (handler, sequence) = (&subscription.handler, received.item().number());
    let failure = stop.of(received.name(), handler, received.sender(), sequence);
    received.ended(Some(&failure));
    if let Some(bus) = bus {
        bus.reports().failure(failure);
    }
}

/// The task of a handler of gaps.
pub(crate) async fn handle_gaps<Args, H: Handler<Gap, Args>>(
    subscription: Arc<SubscriptionSlot>,
    gaps: Arc<GapBox>,
    bus: WeakBus,
    handler: H,
) {
    let handler = OwnedHandler::new(handler, &subscription, &bus);
    while let Some(gap) = gaps.next().await {
        let Some(bus) = bus.upgrade() else { break };
        let mut context = Context::new(bus, Arc::from("gap"));
        context.sender = gap.sender;
        let call = async {
            let called = handler.get().handle(gap, &context).await;
            called.map_err(|error| HandlerFailure::Failed(error).into())
        };
        let Err(stop) = guarded(call, &subscription).await else {
            continue;
        };
        // The sender of the missed events did not send the gap.
        let failure = stop.of(&context.event, &subscription.handler, None, None);
        context.bus.reports().failure(failure);
    }
}

impl<H> OwnedHandler<H> {
    pub(crate) fn new(handler: H, subscription: &Arc<SubscriptionSlot>, bus: &WeakBus) -> Self {
        Self {
            handler: Some(handler),
            subscription: Arc::clone(subscription),
            bus: bus.clone(),
        }
    }

    fn get(&self) -> &H {
        let handler = self.handler.as_ref();
        handler.expect("the handler is not dropped while its task runs")
    }
}

impl<H> Drop for OwnedHandler<H> {
    fn drop(&mut self) {
        let handler = self.handler.take();
        if let Err(text) = caught(|| drop(handler)) {
            report_drop(&self.subscription.handler, &self.bus, text);
        }
    }
}

/// Reports a handler whose drop panicked.
fn report_drop(handler: &str, bus: &WeakBus, text: String) {
    let Some(bus) = bus.upgrade() else {
        tracing::error!(
            handler,
            panic = text,
            "a handler panicked when it was dropped"
        );
        return;
    };
    let event = handler.split(' ').next().unwrap_or_default();
    bus.reports().failure(Failure::Handler {
        event: event.to_owned(),
        handler: format!("{handler} (when it was dropped)").into(),
        sender: None,
        sequence: None,
        cause: HandlerFailure::Panicked(text),
    });
}

pin_project! {
    /// A call that may be dropped before its end, as when its task is aborted. Its drop may panic, and
    /// a second panic during the unwinding would abort the process.
    struct Running<F> {
        #[pin]
        call: Option<F>,
    }

    impl<F> PinnedDrop for Running<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Err(panic) = drop_call(this.project().call) {
                tracing::error!(panic, "an aborted call panicked when it was dropped");
            }
        }
    }
}

/// Runs a call until it ends, panics or exceeds its timeout.
async fn guarded(
    call: impl Future<Output = Called> + Send,
    subscription: &SubscriptionSlot,
) -> Called {
    let call = Some(call);
    let running = pin!(Running { call });
    let mut call = running.project().call;
    // Most calls end at the first poll; a timer for each would cost more than they do.
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(poll_guarded(call.as_mut(), cx))).await {
        return ended;
    }
    let running = pin!(poll_fn(|cx| poll_guarded(call.as_mut(), cx)));
    if let Some(ended) = in_time(running, subscription).await {
        return ended;
    }
    drop_call(call)
        .map_err(HandlerFailure::Panicked)
        .and(Err(HandlerFailure::TimedOut(subscription.options.timeout)))
        .map_err(Box::from)
}

/// Waits for a call; returns `None` at its timeout. Compiled once, for all handlers.
async fn in_time(
    call: Pin<&mut (dyn Future<Output = Called> + Send)>,
    subscription: &SubscriptionSlot,
) -> Option<Called> {
    let waits = Instant::now();
    let ended = timeout(subscription.options.timeout, call).await;
    subscription.calls.waited(waits.elapsed());
    ended.ok()
}

/// Drops a call. Its drop may panic, too.
fn drop_call<F>(mut call: Pin<&mut Option<F>>) -> Result<(), String> {
    caught(|| call.set(None))
}

/// Polls a call and catches its panic.
fn poll_guarded(
    mut call: Pin<&mut Option<impl Future<Output = Called>>>,
    cx: &mut task::Context<'_>,
) -> Poll<Called> {
    let polled = caught(|| {
        let running = call.as_mut().as_pin_mut();
        let polled = running
            .expect("the call is not dropped before its timeout")
            .poll(cx);
        if polled.is_ready() {
            call.set(None);
        }
        polled
    });
    polled.unwrap_or_else(|text| {
        let _ = drop_call(call);
        Poll::Ready(Err(HandlerFailure::Panicked(text).into()))
    })
}
