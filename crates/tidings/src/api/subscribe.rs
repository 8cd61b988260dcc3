//! Registering and removing handlers and streams.
#![expect(
    clippy::needless_pass_by_value,
    reason = "keys are passed by value in the whole API"
)]

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::bus::Bus;
use crate::error::gap::Gap;
use crate::error::subscribe::{MissingState, SubscribeError};
use crate::event::{EventKey, Names, Unknown};
use crate::handler::Handler;
use crate::handler::key::{AllEvents, EventPayload, ReceiveKey, StreamKey, Wanted};
use crate::handler::runner::{OwnedHandler, Runner, handle_gaps};
use crate::handler::stream::EventStream;
use crate::observe::connection::Connection;
use crate::observe::metrics::Calls;
use crate::observe::reports::GapBox;
use crate::receive::subscription::{
    HandlerOptions, Subscription, SubscriptionSlot, in_subscription,
};
use crate::task::stage::Stage;

impl Bus {
    /// Calls `handler` for each event with this name, or of this event type.
    ///
    /// The events of one sender are handled in the order they were sent, one at a time. A handler that
    /// fails, panics or takes longer than 30 s is reported, and the next event is handled.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[derive(Debug, Serialize, Deserialize, Event)]
    /// # struct UserRenamed { id: u64 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:on-docs").start().await?;
    /// let clearing = bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
    /// bus.on(UserRenamed::EVENT, |renamed: UserRenamed, context: Context| async move {
    ///     println!("user {} was renamed by {:?}", renamed.id, context.sender());
    /// })?;
    /// bus.off(clearing).await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the name is invalid or reserved, the builder was not given a state that the handler takes,
    /// another event type uses the name, or the bus is shut down.
    pub fn on<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), HandlerOptions::default(), handler, false)
    }

    /// Registers a handler as [`on`](Self::on) does, with options for its queue, concurrency and timeout.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on), and when an option is zero.
    pub fn on_with<K, P, Args, H>(
        &self,
        event: K,
        options: HandlerOptions,
        handler: H,
    ) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), options, handler, false)
    }

    /// Registers a handler as [`on`](Self::on) does, for the first event only. An event whose payload
    /// cannot be decoded does not count.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn once<K, P, Args, H>(&self, event: K, handler: H) -> Result<Subscription, SubscribeError>
    where
        K: ReceiveKey<P>,
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.register(event.wanted(), HandlerOptions::default(), handler, true)
    }

    /// Registers a handler for the event type that it takes: short for `on(E::EVENT, handler)`.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn subscribe<P, Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
    where
        P: EventPayload,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.on::<EventKey<P::Event>, P, Args, H>(EventKey::new(), handler)
    }

    /// Calls `handler` for all events, with or without another handler. It is short for
    /// `on(AllEvents, handler)`; [`on_with`](Self::on_with) and [`stream`](Self::stream) take
    /// [`AllEvents`], too.
    ///
    /// The payload is not decoded. The buses' own events, `tidings.…`, are not included.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:subscribe-all-docs").start().await?;
    /// bus.subscribe_all(|event: Unknown| async move {
    ///     println!("{}: {:?}", event.name(), event.payload());
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn subscribe_all<Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
    where
        Args: 'static,
        H: Handler<Unknown, Args>,
    {
        self.on(AllEvents, handler)
    }

    /// Removes a handler, drops the events in its queue without a gap, and waits for the running call.
    /// With a [durable](crate::Journal::durable) name, no later process gets those events. Called by
    /// the handler itself, it does not wait. A task that the handler spawned and waits for
    /// must not call it. Use the bus on which the handler was registered, or a clone of it.
    pub async fn off(&self, subscription: Subscription) {
        let subscription = subscription.subscription;
        self.remove(&subscription);
        subscription.ended().await;
    }

    /// Returns a stream of the events with this name, or of this event type.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[derive(Debug, Serialize, Deserialize, Event)]
    /// # struct UserRenamed { id: u64 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:stream-docs").start().await?;
    /// let mut renames = bus.stream(UserRenamed::EVENT)?;
    /// bus.publish(&UserRenamed { id: 7 }).await?;
    /// assert_eq!(renames.next().await.map(|renamed| renamed.id), Some(7));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn stream<K, P>(&self, event: K) -> Result<EventStream<P>, SubscribeError>
    where
        K: StreamKey<P>,
        P: Send + 'static,
    {
        self.check_open()?;
        let wanted = event.wanted();
        wanted.names.check()?;
        let handler = label(&wanted.names.label::<P>(), "a stream");
        let subscription = Arc::new(SubscriptionSlot::of_stream(handler));
        self.inner
            .dispatcher
            .add(Arc::clone(&subscription), wanted.names, wanted.shares)?;
        Ok(EventStream::new(
            subscription,
            self.downgrade(),
            wanted.decode,
        ))
    }

    /// Calls `handler` for each gap: events may have been missed, so reload from the source of truth.
    /// It receives the gaps that occur after the registration; a handler given to the
    /// [builder](crate::BusBuilder::on_gap) receives all.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:gap-docs").start().await?;
    /// bus.on_gap(|gap: Gap| async move { println!("{gap}: clearing the whole cache") })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the builder was not given a state that the handler takes, or the bus is shut down.
    pub fn on_gap<Args, H>(&self, handler: H) -> Result<Subscription, SubscribeError>
    where
        Args: 'static,
        H: Handler<Gap, Args>,
    {
        self.check_open()?;
        handler
            .check(self)
            .map_err(|source| missing("on_gap", source))?;
        let gaps = Arc::new(GapBox::default());
        let label = label("gap", type_name::<H>());
        let subscription = Arc::new(SubscriptionSlot::of_gaps(label, Arc::clone(&gaps)));
        let handling = handle_gaps(
            Arc::clone(&subscription),
            Arc::clone(&gaps),
            self.downgrade(),
            handler,
        );
        let task = in_subscription(&subscription, Box::pin(handling));
        let dispatcher = &self.inner.dispatcher;
        dispatcher.add(Arc::clone(&subscription), Names::default(), None)?;
        self.inner.reports.add(subscription.id, gaps);
        Ok(self.run(subscription, task))
    }

    pub(crate) fn register<P, Args, H>(
        &self,
        wanted: Wanted<P>,
        options: HandlerOptions,
        handler: H,
        is_once: bool,
    ) -> Result<Subscription, SubscribeError>
    where
        P: Send + 'static,
        Args: 'static,
        H: Handler<P, Args>,
    {
        self.check_open()?;
        options.check()?;
        wanted.names.check()?;
        let name = wanted.names.label::<P>();
        handler
            .check(self)
            .map_err(|source| missing(&name, source))?;
        let subscription = Arc::new(SubscriptionSlot::new(
            label(&name, type_name::<H>()),
            options,
        ));
        let bus = self.downgrade();
        let worker = Runner {
            handler: OwnedHandler::new(handler, &subscription, &bus),
            subscription: Arc::clone(&subscription),
            bus,
            decode: wanted.decode,
            is_once,
            calls: Calls::new(&wanted.names),
            arguments: PhantomData,
        };
        let task = in_subscription(&subscription, Box::pin(worker.run()));
        self.inner
            .dispatcher
            .add(Arc::clone(&subscription), wanted.names, wanted.shares)?;
        Ok(self.run(subscription, task))
    }

    /// Spawns the task of an added subscription. A shutdown waits for it even before it is spawned.
    fn run(
        &self,
        subscription: Arc<SubscriptionSlot>,
        task: BoxFuture<'static, ()>,
    ) -> Subscription {
        let task = self.inner.runtime.spawn(task);
        subscription
            .task
            .set(task.abort_handle())
            .expect("a subscription gets its task only here");
        Subscription { subscription }
    }

    fn check_open(&self) -> Result<(), SubscribeError> {
        if *self.inner.stage.borrow() != Stage::Open {
            return Err(SubscribeError::Closed);
        }
        match *self.inner.health.connection.borrow() {
            // While the bus is open, its connection closes only with the runtime.
            Connection::Closed => Err(SubscribeError::RuntimeEnded),
            _ => Ok(()),
        }
    }
}

/// Returns the name of a handler in reports.
fn label(event: &str, handler: &str) -> Arc<str> {
    format!("{event} ({handler})").into()
}

fn missing(event: &str, source: MissingState) -> SubscribeError {
    SubscribeError::State {
        event: event.to_owned(),
        source,
    }
}
